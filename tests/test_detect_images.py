"""Detection in image files: every image is drawn, whatever it is called."""

from __future__ import annotations

import shutil
from pathlib import Path

import coralsmith
from tests.tiny_detector import write_photos, write_tiny_detector


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
