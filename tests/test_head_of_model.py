"""A head that was given is held against images; one that was recognised, or proved by its source, is not again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec
from coralsmith.head_of_model import examine_head
from tests.tiny_detector import tiny_head, write_photos, write_tiny_detector


def rules(model: Path, images: Path | None, head: Path | None = None) -> set[str]:
    return {finding.rule for finding in examine_head(model, images, head=head).findings}


def test_a_head_beside_the_model_is_checked_on_the_images(tmp_path: Path) -> None:
    model, photos = write_tiny_detector(tmp_path), write_photos(tmp_path / "photos")
    assert "anchors-off-cells" not in rules(model, photos)
    replace(tiny_head(), anchors=tiny_head().anchors[::-1]).save(tmp_path / "tiny_head.json")
    assert "anchors-off-cells" in rules(model, photos)


def test_the_users_head_is_checked_too(tmp_path: Path) -> None:
    model, photos = write_tiny_detector(tmp_path), write_photos(tmp_path / "photos")
    replace(tiny_head(), anchors=tiny_head().anchors[::-1]).save(tmp_path / "turned.json")
    assert "anchors-off-cells" in rules(model, photos, tmp_path / "turned.json")


@pytest.mark.slow
def test_a_head_of_another_column_order_is_told_on_photos_and_the_right_one_not(
    shared: Path, tmp_path: Path
) -> None:
    model, trained = shared / "models/bccd_ssdlite/bccd_ssdlite_float.tflite", shared / "models/bccd_ssdlite"
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted((shared / "data/bccd/JPEGImages").glob("*.jpg"))[:6]:
        Image.open(path).save(photos / path.name)
    right = DetectionHead(
        InputSpec((300, 300), 1 / 127.5, -1.0),
        "StatefulPartitionedCall_1:0",
        "StatefulPartitionedCall_1:1",
        np.load(trained / "anchors.npy"),
        ("RBC", "WBC", "Platelets"),
    )
    right.save(tmp_path / "right.json")
    replace(right, box_coder=BoxCoder("xywh")).save(tmp_path / "wrong.json")
    assert rules(model, photos, tmp_path / "right.json") == set()
    assert rules(model, photos, tmp_path / "wrong.json") == {"head-implausible"}
