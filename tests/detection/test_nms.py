"""Suppression agrees with the textbook loop over all pairs, class by class."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.detection.head import NmsSpec
from coralsmith.detection.nms import intersection_over_union, keep_best
from coralsmith.detection.ranking import rank_pairs

grid = st.integers(0, 8)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Boxes with corners on a coarse grid and scores with many ties: [N, 4] and [N, K]."""
    count, classes = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    corners = np.array(draw(st.lists(st.tuples(grid, grid, grid, grid), min_size=count, max_size=count)))
    low, high = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])
    boxes = np.concatenate([low, high], axis=1).astype(np.float32) / 8
    scores = draw(st.lists(st.integers(0, 10), min_size=count * classes, max_size=count * classes))
    return boxes, np.array(scores, np.float32).reshape(count, classes) / 10


def suppress(boxes: np.ndarray, scores: np.ndarray, spec: NmsSpec) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the kept scores, best first."""
    ranking = rank_pairs(scores, np.array([spec.score], np.float32))
    corners = np.ascontiguousarray(boxes[ranking.rows].T)
    kept, found = keep_best(
        len(ranking.rows), lambda a, b: corners[:, a:b], spec.iou, spec.max_detections, ranking.columns
    )
    assert np.array_equal(found, corners[:, kept])
    return ranking.rows[kept], ranking.columns[kept]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width
    return float(height * width / union) if height * width > 0 else 0.0


def textbook(boxes: np.ndarray, scores: np.ndarray, spec: NmsSpec) -> list[tuple[float, int, int]]:
    """Suppression class by class, then the best of all classes; (score, row, class), best first."""
    kept = []
    for label in range(scores.shape[1]):
        chosen: list[int] = []
        for row in sorted(range(len(boxes)), key=lambda row: -scores[row, label]):
            free = all(overlap(boxes[row], boxes[other]) <= spec.iou for other in chosen)
            if scores[row, label] >= np.float32(spec.score) and free:
                chosen.append(row)
        kept += [(float(scores[row, label]), row, label) for row in chosen]
    return sorted(kept, key=lambda found: (-found[0], found[1], found[2]))[: spec.max_detections]


@given(scenes(), st.sampled_from([0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.3]), st.integers(1, 8))
def test_equals_the_textbook_loop(
    scene: tuple[np.ndarray, np.ndarray], iou: float, score: float, most: int
) -> None:
    boxes, scores = scene
    spec = NmsSpec(iou, score, most)
    rows, labels = suppress(boxes, scores, spec)
    found = [(float(scores[r, c]), int(r), int(c)) for r, c in zip(rows, labels, strict=True)]
    assert found == textbook(boxes, scores, spec)


def test_an_overlap_or_score_equal_to_its_limit_is_kept() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.5]], np.float32)
    scores = np.array([[0.5], [0.25]], np.float32)
    assert suppress(boxes, scores, NmsSpec(0.5, 0.25, 10))[0].tolist() == [0, 1]
    assert suppress(boxes, scores, NmsSpec(0.4999, 0.25, 10))[0].tolist() == [0]


def test_ties_go_to_the_lower_row() -> None:
    boxes = np.array([[0, 0, 1, 1]] * 3, np.float32)
    assert suppress(boxes, np.full((3, 1), 0.5, np.float32), NmsSpec())[0].tolist() == [0]


@given(scenes())
def test_overlap_equals_the_closed_form(scene: tuple[np.ndarray, np.ndarray]) -> None:
    boxes, _ = scene
    for box in boxes:
        found = intersection_over_union(box, boxes.T)
        assert np.allclose(found, [overlap(box, other) for other in boxes], atol=1e-6)


def test_scores_that_are_not_numbers_are_never_kept() -> None:
    boxes = np.array([[0, 0, 1, 1]], np.float32)
    assert len(suppress(boxes, np.array([[np.nan]], np.float32), NmsSpec(0.5, 0.0, 10))[0]) == 0
