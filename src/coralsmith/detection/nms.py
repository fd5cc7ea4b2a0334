"""Greedy non-maximum suppression, with the arithmetic of TFLite_Detection_PostProcess."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
Corners = Callable[[int, int], Floats]
"""The boxes of the candidates from a first to a last one: float32 [4, count] (ymin, xmin, ymax, xmax)."""

_LARGEST_BLOCK: Final = 128
_SMALLEST_BLOCK: Final = 48
_TRIED_FOR_ONE: Final = 3  # candidates looked at for each box still wanted; as good as any near it (measured)
_EARLIER: Final = np.tri(_LARGEST_BLOCK, k=-1, dtype=np.float32)


def keep_best(
    count: int, corners: Corners, iou: float, most: int, groups: NDArray[Any] | None = None
) -> tuple[Indices, Floats]:
    """Keep the best boxes that do not overlap a better one.

    The candidates are looked at in blocks: one matrix of overlaps tells of a whole block which box covers which,
    so that numpy works on long rows, and boxes behind the last one wanted are never even decoded. The result is
    that of the textbook loop over all pairs. An overlap equal to the limit does not suppress.

    Args:
        count: Number of candidates; the best has the number 0.
        corners: Gives their boxes.
        iou: Boxes that overlap a better one by more than this intersection over union are dropped.
        most: Stop when so many are kept.
        groups: [count], the group of each candidate; boxes suppress only boxes of their own group. None where
            all are one group.

    Returns:
        The numbers of the kept candidates in rising order, and their boxes, float32 [4, kept].
    """
    most = min(most, count)
    boxes = np.empty((5, most + _LARGEST_BLOCK), np.float32)  # the kept ones, then a block; the fifth row: areas
    numbers = np.empty(most + _LARGEST_BLOCK, np.intp)
    limit = np.float32(iou)
    first = start = 0
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # empty and infinite boxes
        while start < count and first < most:
            size = max(_SMALLEST_BLOCK, _TRIED_FOR_ONE * (most - first))
            stop = min(start + min(size, _LARGEST_BLOCK), count)
            last = first + stop - start
            ymin, xmin, ymax, xmax = boxes[:4, first:last] = corners(start, stop)
            np.multiply(ymax - ymin, xmax - xmin, out=boxes[4, first:last])
            numbers[first:last] = np.arange(start, stop)
            covers = _cover(boxes[:, first:last], boxes[:, :last], limit)
            if groups is not None:
                covers &= groups[start:stop, None] == groups[numbers[:last]]
            chosen = first + _uncovered(covers, first)[: most - first]
            kept = first + len(chosen)
            boxes[:, first:kept] = boxes.take(chosen, axis=1)
            numbers[first:kept] = numbers[chosen]
            first, start = kept, stop
    return numbers[:first], boxes[:4, :first]


def _cover(block: Floats, boxes: Floats, limit: np.float32) -> NDArray[np.bool_]:
    """Which pairs overlap by more than the limit.

    Args:
        block: float32 [5, M], the fifth row their areas.
        boxes: float32 [5, N].
        limit: Of the intersection over union.

    Returns:
        bool [M, N].
    """
    ymin, xmin, ymax, xmax, area = boxes
    top, left, bottom, right, size = block[..., None]
    height = np.minimum(bottom, ymax)
    height -= np.maximum(top, ymin)
    overlap = np.minimum(right, xmax)
    overlap -= np.maximum(left, xmin)
    overlap *= height
    union = size + area
    union -= overlap
    overlap /= union
    covers: NDArray[np.bool_] = overlap > limit
    covers &= height > 0  # two negative sides make a positive area
    return covers


def _uncovered(covers: NDArray[np.bool_], kept: int) -> Indices:
    """The members of a block that no box kept before them covers; its columns are the kept ones, then the block.

    Dropping whatever a kept one covers, then again with what is left, settles at least one more member for good
    with every turn, and ends where nothing changes: at the greedy choice (Zheng et al. 2020, Cluster-NMS).
    """
    size = len(covers)
    free = np.logical_not(covers[:, :kept].any(axis=1))
    earlier = covers[:, kept:].astype(np.float32)
    earlier *= _EARLIER[:size, :size]
    alive = free
    while True:
        still = free & (earlier @ alive == 0)
        if (still == alive).all():
            return np.flatnonzero(alive)
        alive = still


def intersection_over_union(box: Floats, corners: Floats) -> Floats:
    """Overlap of one box with many, or of pairs of boxes; 0 where one of the two has no area.

    Args:
        box: float32 [4] (ymin, xmin, ymax, xmax), or [4, N], one column a box.
        corners: float32 [4, N], one column for each of the other boxes (long rows are fast to work on).

    Returns:
        float32 [N].
    """
    ymin, xmin, ymax, xmax = corners
    height = np.maximum(np.minimum(box[2], ymax) - np.maximum(box[0], ymin), np.float32(0.0))
    width = np.maximum(np.minimum(box[3], xmax) - np.maximum(box[1], xmin), np.float32(0.0))
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (ymax - ymin) * (xmax - xmin)
    intersection = height * width
    overlap: Floats = np.zeros_like(areas)
    np.divide(intersection, area + areas - intersection, out=overlap, where=(areas > 0) & (area > 0))
    return overlap
