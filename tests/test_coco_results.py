"""COCO results name images and classes as the data set does, and its own tool takes them."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import coralsmith
from coralsmith.coco_results import CocoResults
from coralsmith.detection.detections import Detections
from coralsmith.errors import UsageError
from tests.tiny_detector import tiny_head, write_tiny_detector


def write_coco(folder: Path) -> Path:
    """A data set of one image, whose id is not its name."""
    (folder / "images").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "images" / "first.png")
    document = {
        "images": [{"id": 4711, "file_name": "first.png", "width": 60, "height": 40}],
        "annotations": [
            {"id": 1, "image_id": 4711, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
        ],
        "categories": [{"id": 1, "name": "left"}, {"id": 2, "name": "right"}],
    }
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def found() -> Detections:
    return Detections(
        np.array([[0.25, 0.1, 0.75, 0.5]], np.float32),
        np.array([1]),
        np.array([0.5], np.float32),
        ("left", "right"),
    )


def test_boxes_are_x_y_width_height_in_pixels_and_classes_the_category_ids(tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data")
    for source in (data, data / "images"):
        results = CocoResults([source], replace(tiny_head(), category_ids=(18, 44)))
        results.add(data / "images" / "first.png", (40, 60), found())
        results.write(tmp_path / "results.json")
        (entry,) = json.loads((tmp_path / "results.json").read_text())
        assert (entry["image_id"], entry["category_id"], entry["score"]) == (4711, 44, 0.5)
        assert entry["bbox"] == pytest.approx([6, 10, 24, 20], abs=1e-3)


def test_classes_without_category_ids_count_from_one_and_named_numbers_are_ids(tmp_path: Path) -> None:
    results = CocoResults([], tiny_head())
    results.add(tmp_path / "000000000139.jpg", (40, 60), found())
    results.write(tmp_path / "results.json")
    (entry,) = json.loads((tmp_path / "results.json").read_text())
    assert (entry["image_id"], entry["category_id"]) == (139, 2)


def test_an_image_without_an_id_is_refused() -> None:
    with pytest.raises(UsageError, match="no COCO id"):
        CocoResults([], tiny_head()).add(Path("photo.jpg"), (40, 60), found())


def test_the_file_keeps_low_scores_that_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coralsmith.detect_images.SHOWN", 0.95)  # this model finds nothing below 0.3
    model, data = write_tiny_detector(tmp_path / "model"), write_coco(tmp_path / "data")
    (shown,) = coralsmith.detect(model, [data], coco_results=tmp_path / "results.json").values()
    written = [entry["score"] for entry in json.loads((tmp_path / "results.json").read_text())]
    assert min(written) < 0.95 <= min(detection.score for detection in shown)


@pytest.mark.slow
def test_the_tool_of_the_data_set_scores_what_detect_writes(tmp_path: Path) -> None:
    tool = pytest.importorskip("pycocotools.coco")
    model, data = write_tiny_detector(tmp_path / "model"), write_coco(tmp_path / "data")
    coralsmith.detect(model, [data], coco_results=tmp_path / "results.json")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = tool.COCO(str(data / "annotations.json"))
        loaded = truth.loadRes(str(tmp_path / "results.json"))
    assert loaded.getImgIds() == [4711]
    assert len(loaded.getAnnIds()) == len(json.loads((tmp_path / "results.json").read_text())) > 0
