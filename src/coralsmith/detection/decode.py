"""From raw box and score outputs to detections, in numpy, as TFLite_Detection_PostProcess computes it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.detections import Detections
from coralsmith.detection.head import BoxCoder, DetectionHead, NmsSpec, ScoreSpec
from coralsmith.detection.nms import suppress_overlaps
from coralsmith.errors import DetectionHeadError

Floats = NDArray[np.float32]


def decode_detections(
    raw_boxes: NDArray[Any], raw_scores: NDArray[Any], head: DetectionHead, *, per_class: bool = True
) -> Detections:
    """The detections in one image's raw outputs.

    Args:
        raw_boxes: Box output, real numbers, [1, N, 4] or [N, 4].
        raw_scores: Score output, real numbers, [1, N, C] or [N, C], background column included.
        head: What the outputs mean.
        per_class: Suppress boxes only by boxes of the same class, and let one box bear several classes. False
            is the fast mode of TFLite_Detection_PostProcess: each box bears its best class only, and boxes
            suppress each other whatever their classes.

    Returns:
        At most ``head.nms.max_detections`` detections, best first.

    Raises:
        DetectionHeadError: The outputs have not one row for each anchor.
    """
    boxes = decode_boxes(_rows(raw_boxes, head, "box"), head.anchors, head.box_coder)
    scores = class_probabilities(_rows(raw_scores, head, "score"), head.score)
    return select_detections(boxes, scores, head.nms, per_class=per_class)


def select_detections(boxes: Floats, scores: Floats, limits: NmsSpec, *, per_class: bool = True) -> Detections:
    """The detections among decoded boxes: overlaps suppressed, best first.

    Args:
        boxes: float32 [N, 4] (ymin, xmin, ymax, xmax).
        scores: Probabilities, float32 [N, classes].
        limits: Of the suppression.
        per_class: See `decode_detections`.
    """
    if per_class:
        anchor, class_id = suppress_overlaps(boxes, scores, limits)
    else:
        best = scores.argmax(axis=1)
        anchor, _ = suppress_overlaps(boxes, scores[np.arange(len(best)), best, None], limits)
        class_id = best[anchor]
    return Detections(boxes[anchor], class_id.astype(np.int64), scores[anchor, class_id])


def decode_boxes(raw: NDArray[Any], anchors: Floats, coder: BoxCoder) -> Floats:
    """Boxes from raw box columns (Faster R-CNN coder; in double precision as the kernel of the op).

    Args:
        raw: Real numbers [N, 4 or more]; further columns (key points) are ignored.
        anchors: float32 [N, 4] (y centre, x centre, height, width).
        coder: Order and divisors of the columns.

    Returns:
        float32 [N, 4] (ymin, xmin, ymax, xmax), not clipped.
    """
    offsets = raw[:, :4].astype(np.float64) / coder.scales
    if coder.order == "xywh":
        offsets = offsets[:, [1, 0, 3, 2]]
    sizes = anchors[:, 2:].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # a wild exponent makes an infinite box, as in the op
        centres = (offsets[:, :2] * sizes + anchors[:, :2]).astype(np.float32)
        halves = (0.5 * np.exp(offsets[:, 2:]) * sizes).astype(np.float32)
        return np.concatenate([centres - halves, centres + halves], axis=1)


def class_probabilities(raw: NDArray[Any], spec: ScoreSpec) -> Floats:
    """Probabilities of the real classes from raw scores.

    Args:
        raw: Real numbers [N, C], background column included.
        spec: Activation still to be applied, and the background column to be dropped.

    Returns:
        float32 [N, classes].
    """
    scores = raw.astype(np.float32, copy=False)
    if spec.activation == "sigmoid":
        scores = sigmoid(scores)
    elif spec.activation == "softmax":
        scores = softmax(scores)
    return scores if spec.background is None else np.delete(scores, spec.background, axis=1)


def sigmoid(logits: Floats) -> Floats:
    """``1 / (1 + exp(-x))`` without overflow and with full relative precision at both ends."""
    small: Floats = np.exp(-np.abs(logits))
    one = np.ones_like(small)
    probabilities: Floats = np.where(logits >= 0, one, small) / (one + small)
    return probabilities


def softmax(logits: Floats) -> Floats:
    """``exp(x) / sum(exp(x))`` over the last axis without overflow."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    normalised: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return normalised


def _rows(raw: NDArray[Any], head: DetectionHead, what: str) -> NDArray[Any]:
    rows = raw[0] if raw.ndim == 3 and len(raw) == 1 else raw
    columns = 4 if what == "box" else head.score_columns
    if rows.ndim != 2 or len(rows) != len(head.anchors) or rows.shape[1] < columns:
        raise DetectionHeadError(
            f"The {what} output has the shape {list(raw.shape)}, but the head says "
            f"[1, {len(head.anchors)}, {columns}].",
            hint="Check outputs.boxes and outputs.scores of the head: are they swapped?",
        )
    return rows
