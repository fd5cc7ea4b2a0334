"""Which anchor has to find which object: against a loop over anchors and objects."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from coralsmith.detection.anchors import ssd_anchors
from coralsmith.tuning.matching import BACKGROUND, IGNORED, corners, intersection_over_union, match_anchors
from coralsmith.tuning.objects import Objects
from tests.tiny_detector import MAPS, SIDE

ANCHORS = corners(ssd_anchors([(cells, cells) for cells, _ in MAPS], (SIDE, SIDE)))


def objects(boxes: list[list[float]], ignored: list[bool] | None = None) -> Objects:
    marks = np.array(ignored if ignored is not None else [False] * len(boxes), np.bool_)
    return Objects(np.array(boxes, np.float64).reshape(-1, 4), np.zeros(len(boxes), np.int64), marks)


def some_objects(seed: int, count: int) -> Objects:
    generator = np.random.default_rng(seed)
    low = generator.uniform(0, 0.8, (count, 2))
    return objects(np.concatenate([low, low + generator.uniform(0.02, 0.6, (count, 2))], axis=1).tolist())


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    height, width = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    shared = height * width
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def by_loops(anchors: NDArray[np.float64], boxes: NDArray[np.float64]) -> list[int]:
    found = []
    for anchor in anchors:
        overlaps = [overlap(anchor, box) for box in boxes]
        best = max(range(len(boxes)), key=lambda i: overlaps[i])
        found.append(best if overlaps[best] >= 0.5 else BACKGROUND)
    pairs = [(overlap(a, b), -i, -j) for i, a in enumerate(anchors) for j, b in enumerate(boxes)]
    served_anchors: set[int] = set()
    served_objects: set[int] = set()
    for value, i, j in sorted(pairs, reverse=True):
        if value > 0 and -i not in served_anchors and -j not in served_objects:
            found[-i] = -j
            served_anchors.add(-i)
            served_objects.add(-j)
    return found


@pytest.mark.parametrize("count", [1, 3, 12])
def test_anchors_get_the_objects_that_a_loop_over_all_pairs_gives_them(count: int) -> None:
    for seed in range(4):
        wanted = some_objects(seed, count)
        assert match_anchors(ANCHORS, wanted).tolist() == by_loops(ANCHORS, wanted.boxes)


def test_every_object_gets_an_anchor_even_where_two_want_the_same() -> None:
    twins = objects([[0.1, 0.1, 0.13, 0.13], [0.1, 0.1, 0.13, 0.131]])
    overlaps = intersection_over_union(ANCHORS, twins.boxes)
    assert overlaps.max() < 0.5
    assert len(set(overlaps.argmax(axis=0))) == 1
    assert set(match_anchors(ANCHORS, twins)) == {BACKGROUND, 0, 1}


def test_an_object_that_no_anchor_touches_gets_none() -> None:
    assert (match_anchors(ANCHORS[:1], objects([[0.9, 0.9, 1.0, 1.0]])) == BACKGROUND).all()


def test_without_objects_everything_is_background() -> None:
    assert (match_anchors(ANCHORS, Objects.none()) == BACKGROUND).all()


def test_an_anchor_inside_a_crowd_is_neither_background_nor_an_object() -> None:
    crowd = [0.0, 0.0, 0.6, 1.0]
    found = match_anchors(ANCHORS, objects([crowd], [True]))
    for anchor, match in zip(ANCHORS, found, strict=True):
        height, width = (min(anchor[i + 2], crowd[i + 2]) - max(anchor[i], crowd[i]) for i in (0, 1))
        inside = max(0.0, height) * max(0.0, width) / ((anchor[2] - anchor[0]) * (anchor[3] - anchor[1]))
        assert match == (IGNORED if inside >= 0.5 else BACKGROUND)
    assert {IGNORED, BACKGROUND} <= set(found)


def test_an_object_in_front_of_a_crowd_is_to_be_found() -> None:
    person = ANCHORS[0].tolist()
    found = match_anchors(ANCHORS, objects([[-1.0, -1.0, 2.0, 2.0], person], [True, False]))
    assert found[0] == 1
