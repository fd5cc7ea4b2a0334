"""The detector that comes with coralsmith finds what is on the images that come with it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from coralsmith.detection.head import DetectionHead
from coralsmith.detection.images import load_rgb
from coralsmith.evaluation.coco import read_coco
from coralsmith.evaluation.evaluate import evaluate
from coralsmith.graph.reader import read_tflite
from coralsmith.runtime.detector import Detector


@pytest.fixture(scope="module")
def assets() -> Path:
    return Path(str(files("coralsmith") / "demo_assets"))


def test_the_package_stays_small(assets: Path) -> None:
    assert (assets / "reef_ssdlite.tflite").stat().st_size <= 2_000_000
    assert sum(image.stat().st_size for image in (assets / "images").iterdir()) <= 1_500_000


def test_the_images_are_those_of_the_annotations(assets: Path) -> None:
    dataset = read_coco(assets)
    assert len(dataset.images) == 24
    assert dataset.findings == []
    assert all(load_rgb(image.path).shape[:2] == image.size for image in dataset.images)
    assert len({image.size for image in dataset.images}) >= 4


def test_the_head_belongs_to_the_model_and_the_model_has_something_to_repair(assets: Path) -> None:
    graph = read_tflite(assets / "reef_ssdlite.tflite")
    head = DetectionHead.load(assets / "reef_ssdlite_head.json")
    head.check_against(graph)
    assert head.labels == ("fish", "starfish", "turtle")
    kinds = {op.kind for op in graph.ops}
    assert {"HARD_SWISH", "LEAKY_RELU"} <= kinds


def test_the_float_model_finds_the_creatures(assets: Path) -> None:
    head = DetectionHead.load(assets / "reef_ssdlite_head.json")
    detector = Detector(assets / "reef_ssdlite.tflite", head)
    result = evaluate(detector.detect, read_coco(assets), head.labels, head.category_ids, resamples=10)
    assert result.ap50 > 0.7  # 0.769 when it was made
