"""A camera is never watched with a delay, a video is watched to its end, and both are let go of."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from coralsmith.detection.detections import Detections
from coralsmith.errors import ImageDataError, MissingExtraError
from coralsmith.runtime.video import detect_frames, open_capture, watch
from tests.runtime.conftest import TinyForms


class Camera:
    """A stand-in: each frame is of one colour, its number; the next one comes when the test says so."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.shown = 0
        self.released = False
        self.may_go_on = threading.Semaphore(0)
        self.drained = threading.Event()

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.shown == self.frames:
            self.drained.set()
            return False, None
        self.may_go_on.acquire()
        image = np.full((4, 4, 3), self.shown % 256, np.uint8)
        image[..., 0] = 200  # blue, as OpenCV orders the channels
        self.shown += 1
        return True, image

    def release(self) -> None:
        self.released = True


def nothing(image: np.ndarray, *, bgr: bool = False) -> Detections:
    assert bgr
    return Detections(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.float32))


def test_every_frame_of_a_video_is_looked_at_in_rgb() -> None:
    camera = Camera(3)
    camera.may_go_on.release(3)
    frames = list(detect_frames(nothing, camera, every=True))
    assert [(frame.number, frame.dropped, int(frame.image[0, 0, 0])) for frame in frames] == [
        (0, 0, 0),
        (1, 0, 1),
        (2, 0, 2),
    ]
    assert frames[0].image[0, 0, 2] == 200
    assert camera.released


def test_frames_that_come_while_the_model_works_are_dropped_for_the_newest() -> None:
    camera = Camera(10)
    camera.may_go_on.release(1)
    frames = detect_frames(nothing, camera, every=False)
    first = next(frames)
    assert (first.number, first.dropped) == (0, 0)
    camera.may_go_on.release(9)  # the other nine arrive while nobody asks
    assert camera.drained.wait(10)
    last = next(frames)
    assert (last.number, last.dropped) == (9, 8)
    assert list(frames) == []
    assert camera.released


def test_whoever_stops_watching_lets_go_of_the_camera() -> None:
    camera = Camera(1000)
    camera.may_go_on.release(1000)
    frames = detect_frames(nothing, camera, every=False)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert camera.released


def test_a_camera_that_fails_fails_where_it_is_watched() -> None:
    camera = Camera(3)
    camera.read = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(ZeroDivisionError):
        next(detect_frames(nothing, camera, every=False))
    assert camera.released


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match="video"):
        open_capture(0)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    with pytest.raises(ImageDataError, match="does not exist"):
        next(watch(nothing, tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ImageDataError, match="cannot open"):
        next(watch(nothing, tmp_path / "text.mp4"))


def test_a_detector_watches_a_video_file(forms: TinyForms, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    from coralsmith.runtime.detector import Detector

    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for level in (30, 120, 210):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    detector = Detector(forms.raw)
    frames = list(detector.watch(tmp_path / "clip.avi"))
    assert [frame.number for frame in frames] == [0, 1, 2]
    expected = detector.detect(frames[1].image)
    np.testing.assert_allclose(frames[1].detections.boxes, expected.boxes, atol=1e-6)
