"""Detection in image files: every image is drawn, whatever it is called."""

from __future__ import annotations

import shutil
from pathlib import Path

import coralsmith
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
