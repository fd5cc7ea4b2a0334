"""Detection in image files: every image is drawn, whatever it is called."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import coralsmith
from coralsmith.errors import UsageError
from coralsmith.graph.writer import serialize
from tests.importers.model_maker import Packed, halved, pack
from tests.tiny_detector import tiny_detector, tiny_head, write_photos, write_tiny_detector


def test_images_of_one_name_in_two_folders_are_both_drawn(tmp_path: Path) -> None:
    model = write_tiny_detector(tmp_path / "model")
    photo = sorted(write_photos(tmp_path / "photos").iterdir())[0]
    for folder in ("left", "right"):
        (tmp_path / "both" / folder).mkdir(parents=True)
        shutil.copy(photo, tmp_path / "both" / folder / "photo.png")
    found = coralsmith.detect(model, [tmp_path / "both"], draw=tmp_path / "drawn")
    assert len(found) == 2
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {
        "photo_detections.jpg",
        "photo_detections_2.jpg",
    }


def test_a_model_maker_file_detects_as_it_is(tmp_path: Path) -> None:
    packed = Packed(tiny_head().anchors, 2, ["left", "right"], threshold=0.2)
    model = tmp_path / "model maker.tflite"
    model.write_bytes(pack(serialize(halved(tiny_detector())), packed))
    photo = sorted(write_photos(tmp_path / "photos").iterdir())[0]
    (found,) = coralsmith.detect(model, [photo]).values()
    (expected,) = coralsmith.detect(write_tiny_detector(tmp_path / "plain"), [photo]).values()
    assert found[0].label == expected[0].label
    assert abs(found[0].score - expected[0].score) < 0.01


def test_a_video_is_detected_frame_by_frame_and_drawn(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    model = write_tiny_detector(tmp_path / "model")
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48))
    for level in (30, 120, 210):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    found = coralsmith.detect(model, [tmp_path / "clip.avi"], draw=tmp_path / "drawn")
    assert list(found) == [f"{tmp_path / 'clip.avi'}#{number}" for number in range(3)]
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["clip_detections.mp4"]
    drawn = cv2.VideoCapture(str(tmp_path / "drawn" / "clip_detections.mp4"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    drawn.release()
    with pytest.raises(UsageError, match="no COCO image id"):
        coralsmith.detect(model, [tmp_path / "clip.avi"], coco_results=tmp_path / "results.json")
