"""Neighbouring anchors are paired without looking at an anchor set, and agree only under the right one."""

from __future__ import annotations

import numpy as np
import pytest
from tests.detection.spelled_detector import ANCHORS, REDUCED, SIDE, SIZES, Scores, SpelledDetector, see_objects

from coralsmith.detection.agreement import NeighbourPairs, agreement, find_pairs, rescaled
from coralsmith.detection.anchors import ssd_anchors
from coralsmith.detection.head import BoxCoder
from coralsmith.detection.layout import HeadLayout, find_layouts

LAYOUT: HeadLayout = find_layouts(SpelledDetector(REDUCED, 3).graph())[0]


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    boxes, logits = see_objects(ANCHORS, 3, Scores(), seed=seed)
    return boxes.astype(np.float32), (1 / (1 + np.exp(-logits))).astype(np.float32)


@pytest.fixture(scope="module")
def images() -> list[NeighbourPairs]:
    return [find_pairs(LAYOUT, *scene(seed)) for seed in range(8)]


class TestPairs:
    def test_partners_are_confident_of_the_same_class_and_in_reach(self, images: list[NeighbourPairs]) -> None:
        centres, sizes = LAYOUT.cells()
        for seed, pairs in enumerate(images):
            _, probabilities = scene(seed)
            for a, b in zip(pairs.first, pairs.second, strict=True):
                assert a != b
                assert probabilities[a].max() >= 0.5
                assert probabilities[b].max() >= 0.5
                assert probabilities[a].argmax() == probabilities[b].argmax()
                assert (np.abs(centres[a] - centres[b]) <= 1.02 * np.maximum(sizes[a], sizes[b])).all()

    def test_no_confident_anchor_makes_no_pair(self) -> None:
        boxes, probabilities = scene(0)
        pairs = find_pairs(LAYOUT, boxes, probabilities * 0.1)
        assert len(pairs.first) == 0
        assert np.isnan(agreement([pairs], ANCHORS, BoxCoder()))


class TestAgreement:
    def test_is_high_under_the_anchors_of_training(self, images: list[NeighbourPairs]) -> None:
        assert agreement(images, ANCHORS, BoxCoder()) > 0.85

    @pytest.mark.parametrize(
        ("anchors", "coder"),
        [
            (ssd_anchors(SIZES, (SIDE, SIDE), ratios=(1, 2, 3, 1 / 2, 1 / 3)), BoxCoder()),
            (ssd_anchors(SIZES, (SIDE, SIDE), min_scale=0.1), BoxCoder()),
            (rescaled(LAYOUT, ANCHORS, 1.25, 1.25), BoxCoder()),
            (rescaled(LAYOUT, ANCHORS, 4.0, 4.0), BoxCoder()),
            (ANCHORS, BoxCoder("xywh")),
            (ANCHORS, BoxCoder("yxhw", (10.0, 10.0, 10.0, 10.0))),
        ],
    )
    def test_is_lower_under_any_other(
        self, images: list[NeighbourPairs], anchors: np.ndarray, coder: BoxCoder
    ) -> None:
        assert agreement(images, anchors, coder) < agreement(images, ANCHORS, BoxCoder()) - 0.02

    def test_is_the_overlap_of_the_decoded_boxes(self) -> None:
        anchors = np.array([[0.5, 0.5, 0.2, 0.2], [0.5, 0.6, 0.2, 0.2]], np.float32)
        pairs = NeighbourPairs(np.array([0]), np.array([1]), np.zeros((2, 4), np.float32))
        assert agreement([pairs], anchors, BoxCoder()) == pytest.approx(1 / 3, abs=1e-6)


def test_rescaling_goes_geometrically_from_the_finest_to_the_coarsest_map() -> None:
    other = rescaled(LAYOUT, ANCHORS, 0.25, 4.0)
    assert np.array_equal(other[:, :2], ANCHORS[:, :2])
    factors = other[:, 2] / ANCHORS[:, 2]
    rows = np.cumsum([0] + [grid.anchors for grid in LAYOUT.maps[:-1]])
    assert np.allclose(factors[rows], [0.25, 0.5, 1.0, 2.0, 4.0])
