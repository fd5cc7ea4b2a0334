"""The bootstrap against pycocotools itself, and the properties of intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.evaluation.average_precision import match
from coralsmith.evaluation.bootstrap import class_ap, interval, resampled_ap
from tests.evaluation.data_sets import annotated, detections, random_scene

CLASSES = 2


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), times=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_counting_an_image_n_times_equals_a_data_set_that_holds_it_n_times(seed: int, times: list[int]) -> None:
    generator = np.random.default_rng(seed)
    scenes = [random_scene(generator, CLASSES) for _ in times]
    matches = match([image for image, _ in scenes], [found for _, found in scenes], CLASSES)
    copies = [scene for scene, count in zip(scenes, times, strict=True) for _ in range(count)]
    if not copies:
        return
    reference = match([image for image, _ in copies], [found for _, found in copies], CLASSES)
    for class_id in range(CLASSES):
        (ap,) = class_ap(matches.classes[class_id], np.array([times]))
        assert ap == pytest.approx(reference.average_precision(class_id=class_id), abs=1e-12, nan_ok=True)


def test_the_same_seed_gives_the_same_draws() -> None:
    classes = _noisy_matches(images=6)
    np.testing.assert_array_equal(resampled_ap(classes, 20, seed=1), resampled_ap(classes, 20, seed=1))
    assert not np.array_equal(resampled_ap(classes, 20, seed=1), resampled_ap(classes, 20, seed=2))


def test_the_draws_lie_around_the_measured_value() -> None:
    generator = np.random.default_rng(0)
    scenes = [random_scene(generator, CLASSES) for _ in range(40)]
    matches = match([image for image, _ in scenes], [found for _, found in scenes], CLASSES)
    low, high = interval(resampled_ap(matches.classes, 200))
    assert low < matches.ap < high


def test_a_draw_without_objects_has_no_ap() -> None:
    box = [0.1, 0.1, 0.5, 0.5]
    images = [annotated([box], [0]), annotated([], [])]
    (matches,) = match(images, [detections([box], [0], [0.9]), detections([], [], [])], 1).classes
    assert np.isnan(class_ap(matches, np.array([[0, 2]]))).all()
    draws = resampled_ap([matches], 50)
    assert np.isnan(draws).any()
    assert interval(draws) == (1.0, 1.0)


def test_the_interval_leaves_out_two_and_a_half_percent_on_either_side() -> None:
    assert interval(np.arange(1001) / 1000) == pytest.approx((0.025, 0.975))


def _noisy_matches(images: int) -> list:
    generator = np.random.default_rng(3)
    scenes = [random_scene(generator, CLASSES) for _ in range(images)]
    return match([image for image, _ in scenes], [found for _, found in scenes], CLASSES).classes
