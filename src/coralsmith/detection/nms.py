"""Greedy non-maximum suppression, with the arithmetic of TFLite_Detection_PostProcess."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.head import NmsSpec

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]


def suppress_overlaps(boxes: Floats, scores: Floats, spec: NmsSpec) -> tuple[Indices, Indices]:
    """Keep the best boxes of each column of scores that do not overlap a better one of the same column.

    Going through all pairs of box and column by falling score and stopping at ``max_detections`` gives what
    suppression column by column, followed by a merge of the best, would give. With one column it is the fast
    mode of TFLite_Detection_PostProcess: ties go to the lower index, a score equal to the limit is kept, an
    overlap equal to the limit does not suppress.

    Args:
        boxes: float32 [N, 4] (ymin, xmin, ymax, xmax).
        scores: float32 [N, K], a column for each class.
        spec: The limits.

    Returns:
        Rows and columns of the kept scores, best first.
    """
    above = scores >= np.float32(spec.score)
    rows = np.flatnonzero(above.any(axis=1))
    corners, alive, limit = np.ascontiguousarray(boxes[rows].T), above[rows], np.float32(spec.iou)
    row, column = np.nonzero(alive)
    best_first = np.argsort(-scores[rows[row], column], kind="stable")
    kept: list[tuple[int, int]] = []
    for index, label in zip(row[best_first].tolist(), column[best_first].tolist(), strict=True):
        if not alive[index, label]:
            continue
        kept.append((index, label))
        if len(kept) == spec.max_detections:
            break
        with np.errstate(invalid="ignore", over="ignore"):  # infinite boxes
            alive[:, label] &= ~(intersection_over_union(corners[:, index], corners) > limit)
    kept_rows, kept_columns = np.array(kept, np.intp).reshape(-1, 2).T
    return rows[kept_rows], kept_columns


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
