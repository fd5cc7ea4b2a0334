"""Which anchor has to find which object: the matching of SSD (Liu et al. 2016, section 2.2)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.tuning.objects import Objects, areas

LEAST_OVERLAP: Final = 0.5
"""Intersection over union from which an anchor has to find an object; and the share of an anchor inside an ignored
object from which the anchor is ignored."""

BACKGROUND: Final = -1
IGNORED: Final = -2


def match_anchors(anchors: NDArray[np.float64], objects: Objects) -> NDArray[np.int64]:
    """The object of each anchor.

    Every object gets the anchor that it overlaps most, however little; where several want the same one, the
    greatest overlap is served first, and the others take the best of the rest. Any other anchor gets the object
    that it overlaps most, from `LEAST_OVERLAP`.

    Args:
        anchors: float64 [A, 4] (ymin, xmin, ymax, xmax).
        objects: Of one image.

    Returns:
        int64 [A], index of an object, `BACKGROUND` or `IGNORED`.
    """
    found = np.full(len(anchors), BACKGROUND, np.int64)
    wanted = np.flatnonzero(~objects.ignored)
    if len(wanted):
        overlaps = intersection_over_union(anchors, objects.boxes[wanted])
        best = overlaps.argmax(axis=1)
        near = overlaps.max(axis=1) >= LEAST_OVERLAP
        found[near] = wanted[best[near]]
        for _ in wanted:
            anchor, position = np.unravel_index(overlaps.argmax(), overlaps.shape)
            if overlaps[anchor, position] <= 0:
                break  # objects that no anchor touches
            found[anchor] = wanted[position]
            overlaps[anchor, :] = overlaps[:, position] = 0
    inside = _intersections(anchors, objects.boxes[objects.ignored]) / areas(anchors)[:, None]
    covered = (inside >= LEAST_OVERLAP).any(axis=1)
    found[covered & (found == BACKGROUND)] = IGNORED
    return found


def corners(anchors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Anchors (y centre, x centre, height, width) as float64 [A, 4] (ymin, xmin, ymax, xmax)."""
    centres, halves = anchors[:, :2].astype(np.float64), anchors[:, 2:].astype(np.float64) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def intersection_over_union(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [N, M] of boxes [N, 4] and [M, 4] (ymin, xmin, ymax, xmax), each with an area."""
    shared = _intersections(first, second)
    return shared / (areas(first)[:, None] + areas(second)[None] - shared)


def _intersections(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return areas(np.concatenate([low, np.maximum(low, high)], axis=2))
