"""Evaluation from image files to numbers, with detectors that need no model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from coralsmith.detection.detections import Detections
from coralsmith.errors import DetectionHeadError, ImageDataError, UnsupportedModelError, UsageError
from coralsmith.evaluation.dataset import Dataset, load_dataset
from coralsmith.evaluation.evaluate import compare, evaluate
from coralsmith.progress import SilentProgress
from tests.evaluation.data_sets import detections, write_image, write_voc

CAT = [0.1, 0.1, 0.6, 0.6]  # of 60 x 80 pixels
LABELS = ["dog", "cat"]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    cat = ("Cat", (8.0, 6.0, 48.0, 36.0), 0)
    return load_dataset(write_voc(tmp_path, {name: [cat] for name in "abcdef"}, {}))


def find_cat(image: NDArray[np.uint8]) -> Detections:
    assert image.dtype == np.uint8 and image.ndim == 3
    return detections([CAT], [1], [0.9])


def find_nothing(image: NDArray[np.uint8]) -> Detections:
    return detections([], [], [])


def test_a_detector_that_finds_everything_scores_one(dataset: Dataset) -> None:
    result = evaluate(find_cat, dataset, LABELS)
    assert (result.images, result.ap, result.ap50, result.ap75) == (6, *[pytest.approx(1)] * 3)
    assert result.ap_interval == pytest.approx((1, 1))
    assert result.per_class["Cat"].ap == pytest.approx(1) and result.per_class["Cat"].objects == 6


def test_boxes_are_cut_at_the_edges_of_the_image(tmp_path: Path) -> None:
    whole = ("cat", (0.0, 0.0, 80.0, 60.0), 0)
    dataset = load_dataset(write_voc(tmp_path, {"a": [whole]}, {}))
    result = evaluate(lambda image: detections([[-1, -2, 3, 4]], [0], [0.9]), dataset, ["cat"])
    assert result.ap == pytest.approx(1)


def test_detections_of_classes_that_the_data_set_lacks_are_dropped(dataset: Dataset) -> None:
    result = evaluate(lambda image: detections([CAT, CAT], [0, 1], [0.99, 0.9]), dataset, LABELS)
    assert result.ap == pytest.approx(1)


def test_an_image_that_cannot_be_read_is_left_out_with_a_finding(dataset: Dataset) -> None:
    dataset.images[0].path.write_bytes(b"no picture")
    result = evaluate(find_cat, dataset, LABELS)
    assert result.images == 5
    assert [finding.rule for finding in result.findings] == ["unusable-image"]


def test_an_image_of_another_shape_than_annotated_is_left_out(dataset: Dataset) -> None:
    write_image(dataset.images[0].path, size=(80, 60))
    result = evaluate(find_cat, dataset, LABELS)
    assert result.images == 5 and "60 x 80 pixels, its annotation says 80 x 60" in result.findings[0].reason


def test_an_image_at_another_scale_than_annotated_is_used(dataset: Dataset) -> None:
    write_image(dataset.images[0].path, size=(30, 40))
    assert evaluate(find_cat, dataset, LABELS).images == 6


def test_without_any_usable_image_it_is_an_error(dataset: Dataset) -> None:
    for image in dataset.images:
        image.path.write_bytes(b"no picture")
    with pytest.raises(ImageDataError, match="Nothing is left"):
        evaluate(find_cat, dataset, LABELS)


def test_nan_in_the_detections_is_an_error(dataset: Dataset) -> None:
    with pytest.raises(UnsupportedModelError, match="NaN"):
        evaluate(lambda image: detections([CAT], [1], [float("nan")]), dataset, LABELS)


def test_a_class_without_label_is_an_error(dataset: Dataset) -> None:
    with pytest.raises(DetectionHeadError, match="class 2, but has 2 labels"):
        evaluate(lambda image: detections([CAT], [2], [0.9]), dataset, LABELS)


def test_progress_is_told_of_every_image(dataset: Dataset) -> None:
    class Counter(SilentProgress):
        images = 0

        def advance(self, units: int = 1) -> None:
            self.images += units

    counter = Counter()
    evaluate(find_cat, dataset, LABELS, progress=counter)
    assert counter.images == 6


def test_the_drop_is_what_the_model_loses_against_the_other(dataset: Dataset) -> None:
    good, bad = evaluate(find_cat, dataset, LABELS), evaluate(find_nothing, dataset, LABELS)
    assert compare(bad, against=good).drop == pytest.approx(1)
    assert compare(good, against=bad).drop == pytest.approx(-1)
    assert compare(good, against=good).drop_interval == (0, 0)


def test_the_interval_of_the_drop_is_paired(dataset: Dataset) -> None:
    """Two models that fail on the same image differ by nothing, however uncertain each one's AP is."""
    Image.new("RGB", (80, 60)).save(dataset.images[0].path)

    def misses_black(image: NDArray[np.uint8]) -> Detections:
        return find_cat(image) if image.any() else find_nothing(image)

    first, second = (evaluate(misses_black, dataset, LABELS) for _ in range(2))
    assert first.ap_interval[1] - first.ap_interval[0] > 0.2
    assert compare(first, second).drop_interval == (0, 0)


def test_models_are_compared_on_the_same_images_only(dataset: Dataset) -> None:
    fewer = Dataset(dataset.images[:3], dataset.labels)
    with pytest.raises(UsageError, match="same images"):
        compare(evaluate(find_cat, dataset, LABELS), evaluate(find_cat, fewer, LABELS))


def test_the_json_document_has_the_agreed_fields(dataset: Dataset) -> None:
    document = json.loads(json.dumps(evaluate(find_cat, dataset, LABELS).to_json()))
    assert set(document) == {"images", "ap", "ap50", "ap75", "ap_interval", "per_class", "findings"}
    assert document["per_class"]["Cat"] == {"ap": pytest.approx(1), "ap50": pytest.approx(1), "objects": 6}
