"""Detections in the frames of cameras and videos, through OpenCV.

A detector that is slower than a camera must not work through a growing queue: whoever looks at the picture would
see the past. A thread of its own empties the camera, and only its newest frame is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.detections import Detections
from coralsmith.errors import ImageDataError, MissingExtraError, OutputError

VIDEO_SUFFIXES: Final = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})

_SECONDS_TO_STOP: Final = 2.0
_USUAL_RATE: Final = 25.0  # frames a second, where a file states none


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a camera or video.

    Attributes:
        image: uint8 RGB [height, width, 3].
        detections: What was found in it.
        number: Its number in the source, from 0; dropped frames are counted.
        dropped: Frames that were dropped between the last one and this.
    """

    image: NDArray[np.uint8]
    detections: Detections
    number: int
    dropped: int


class Capture(Protocol):
    """What is used of OpenCV's VideoCapture."""

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        """Whether there was a frame, and the frame: uint8 BGR [height, width, 3]."""

    def release(self) -> None:
        """Let go of the camera."""


class Detect(Protocol):
    """A detector's function."""

    def __call__(self, image: NDArray[np.uint8], *, bgr: bool = False) -> Detections:
        """The detections in an image."""


def watch(detect: Detect, source: int | str | Path, *, every: bool | None = None) -> Iterator[Frame]:
    """Detect objects in the frames of a source; see `Detector.watch`."""
    is_file = not isinstance(source, int) and "://" not in str(source)
    return detect_frames(detect, open_capture(source), every=is_file if every is None else every)


def open_capture(source: int | str | Path) -> Any:
    """OpenCV's capture of a camera (its number), a stream (its address) or a video file.

    Raises:
        MissingExtraError: OpenCV is not installed.
        ImageDataError: It cannot be opened.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("video", "Reading cameras and videos") from error
    path = None if isinstance(source, int) or "://" in str(source) else Path(source).expanduser()
    if path is not None and not path.is_file():
        raise ImageDataError(f"The video '{path}' does not exist.", hint="Cameras have numbers: 0 is the first.")
    capture = cv2.VideoCapture(source if isinstance(source, int) else str(path or source))
    if not capture.isOpened():
        capture.release()
        what = f"camera {source}" if isinstance(source, int) else f"'{source}'"
        raise ImageDataError(f"OpenCV cannot open {what} as a video.", hint="Does another program hold it?")
    return capture


def detect_frames(detect: Detect, capture: Capture, *, every: bool) -> Iterator[Frame]:
    """Detect objects in every frame of a capture, or always in the newest; the capture is released at the end."""
    frames = _Every(capture) if every else _Newest(capture)
    last = -1
    try:
        while (following := frames.following()) is not None:
            number, image = following
            yield Frame(image[..., ::-1], detect(image, bgr=True), number, number - last - 1)
            last = number
    finally:
        frames.stop()


class _Every:
    """The frames one after the other."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._number = -1

    def following(self) -> tuple[int, NDArray[np.uint8]] | None:
        """Number and pixels (BGR) of the next frame; None at the end."""
        arrived, image = self._capture.read()
        self._number += 1
        return (self._number, image) if arrived and image is not None else None

    def stop(self) -> None:
        self._capture.release()


class _Newest:
    """Always the newest frame: a thread reads all, and each takes the place of the one before."""

    def __init__(self, capture: Capture) -> None:
        self._frames = _Every(capture)
        self._newest: tuple[int, NDArray[np.uint8]] | None = None
        self._has_ended = False
        self._failure: Exception | None = None
        self._stopping = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._grab, name="coralsmith-camera", daemon=True)
        self._thread.start()

    def following(self) -> tuple[int, NDArray[np.uint8]] | None:
        """Number and pixels (BGR) of the newest frame that was not taken yet; waits for one. None at the end."""
        with self._change:
            self._change.wait_for(lambda: self._newest is not None or self._has_ended)
            taken, self._newest = self._newest, None
            if taken is None and self._failure is not None:
                raise self._failure
            return taken

    def stop(self) -> None:
        """End the thread, which lets go of the camera."""
        self._stopping = True
        self._thread.join(_SECONDS_TO_STOP)

    def _grab(self) -> None:
        try:
            while not self._stopping and (frame := self._frames.following()) is not None:
                with self._change:
                    self._newest = frame
                    self._change.notify()
        except Exception as error:  # raised where somebody waits for a frame
            self._failure = error
        finally:
            self._frames.stop()
            with self._change:
                self._has_ended = True
                self._change.notify()


def is_video(path: Path) -> bool:
    """Whether a file is a video by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


class VideoFile:
    """A video file: how long and large it is, and copies of it.

    Attributes:
        frames: Number of frames, as the file states it.

    Raises:
        MissingExtraError: OpenCV is not installed.
        ImageDataError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        capture = open_capture(path)
        import cv2  # is there, since the file is open

        self.frames = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._rate = capture.get(cv2.CAP_PROP_FPS) or _USUAL_RATE
        capture.release()

    @contextmanager
    def copy(self, target: Path | None) -> Iterator[VideoCopy]:
        """A video of the same rate, to be written frame by frame; it has its name when it is whole."""
        made = VideoCopy(target, self._rate)
        try:
            yield made
        except BaseException:
            made.close(keep=False)
            raise
        made.close(keep=True)


class VideoCopy:
    """A video being written as MPEG-4; see `VideoFile.copy`."""

    def __init__(self, target: Path | None, rate: float) -> None:
        self._target, self._rate = target, rate
        self._writer: Any = None

    def write(self, image: NDArray[np.uint8]) -> None:
        """Add a frame, uint8 RGB [height, width, 3]; all have the size of the first.

        Raises:
            OutputError: The file cannot be written.
        """
        import cv2

        if self._writer is None:
            size = (image.shape[1], image.shape[0])
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._part), code, self._rate, size)
            if not self._writer.isOpened():
                raise OutputError(f"The video '{self._target}' cannot be written.")
        self._writer.write(np.ascontiguousarray(image[..., ::-1]))

    def close(self, *, keep: bool) -> None:
        """End the file; it gets its name if it is to be kept, else it is removed."""
        if self._writer is None:
            return
        self._writer.release()
        if keep and self._target is not None:
            self._part.replace(self._target)
        else:
            self._part.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        assert self._target is not None, "a copy without a target is not written"
        return self._target.with_name(f".{self._target.name}.part.mp4")
