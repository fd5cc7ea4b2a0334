"""Average precision on scenes whose result is known."""

from __future__ import annotations

import builtins
import math
import sys
from typing import Any

import numpy as np
import pytest

from coralsmith.errors import MissingExtraError
from coralsmith.evaluation.average_precision import match
from tests.evaluation.data_sets import annotated, detections

A, B, C = [0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9], [0.05, 0.6, 0.25, 0.8]


def test_every_object_found_and_nothing_else_is_one() -> None:
    result = match([annotated([A, B], [0, 1])], [detections([A, B], [0, 1], [0.9, 0.8])], 2)
    assert (result.ap, result.ap50, result.ap75) == pytest.approx((1, 1, 1))


def test_nothing_found_is_zero() -> None:
    assert match([annotated([A], [0])], [detections([], [], [])], 1).ap == 0


def test_a_wrong_detection_before_the_right_one_halves_the_precision() -> None:
    result = match([annotated([A], [0])], [detections([B, A], [0, 0], [0.9, 0.8])], 1)
    assert result.ap == pytest.approx(0.5)


def test_a_wrong_detection_behind_the_last_right_one_costs_nothing() -> None:
    result = match([annotated([A], [0])], [detections([A, B], [0, 0], [0.9, 0.8])], 1)
    assert result.ap == pytest.approx(1)


def test_one_of_two_objects_found_reaches_half_the_recalls() -> None:
    result = match([annotated([A, B], [0, 0])], [detections([A], [0], [0.9])], 1)
    assert result.ap == pytest.approx(51 / 101)  # recalls 0.00 to 0.50


def test_overlap_decides_at_which_thresholds_a_detection_hits() -> None:
    narrower = [0.1, 0.1, 0.3, 0.1 + 0.2 * 0.72]  # covers 72 % of A: hits at 0.50, 0.55, ... 0.70
    result = match([annotated([A], [0])], [detections([narrower], [0], [0.9])], 1)
    assert (result.ap50, result.ap75, result.ap) == pytest.approx((1, 0, 0.5))


def test_a_second_detection_of_the_same_object_is_wrong() -> None:
    result = match([annotated([A, B], [0, 0])], [detections([A, A, B], [0, 0, 0], [0.9, 0.8, 0.7])], 1)
    assert result.ap == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_detection_on_a_crowd_is_neither_right_nor_wrong() -> None:
    image = annotated([A, B], [0, 0], crowd=[False, True])
    inside_b = [0.6, 0.6, 0.7, 0.7]
    result = match([image], [detections([inside_b, B, A], [0, 0, 0], [0.9, 0.8, 0.7])], 1)
    assert result.ap == pytest.approx(1)


def test_a_detection_in_an_image_without_objects_is_wrong() -> None:
    images = [annotated([A], [0]), annotated([], [])]
    result = match(images, [detections([A], [0], [0.5]), detections([C], [0], [0.9])], 1)
    assert result.ap == pytest.approx(0.5)


def test_a_class_without_objects_does_not_enter_the_mean() -> None:
    result = match([annotated([A], [0])], [detections([A, B], [0, 1], [0.9, 0.9])], 2)
    assert result.ap == pytest.approx(1)
    assert math.isnan(result.average_precision(class_id=1))


def test_pycocotools_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    match([annotated([A], [0])], [detections([A], [0], [0.9])], 1)
    assert capfd.readouterr() == ("", "")


def test_without_pycocotools_the_error_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_pycocotools(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real_import(name, *arguments, **named)

    for name in [name for name in sys.modules if name.startswith("pycocotools")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without_pycocotools)
    with pytest.raises(MissingExtraError) as error:
        match([annotated([A], [0])], [detections([A], [0], [0.9])], 1)
    assert error.value.hint == "pip install 'coralsmith[eval]'"


def test_class_matches_are_sorted_best_first_over_all_images() -> None:
    images = [annotated([A], [0]), annotated([B], [0])]
    found = [detections([A, C], [0, 0], [0.9, 0.2]), detections([B], [0], [0.5])]
    (matches,) = match(images, found, 1).classes
    assert matches.image.tolist() == [0, 1, 0]
    assert matches.hit[0].tolist() == [True, True, False]
    np.testing.assert_array_equal(matches.objects, [1, 1])
