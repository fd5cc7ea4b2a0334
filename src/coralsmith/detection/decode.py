"""What raw boxes and scores mean, in numpy: the arithmetic of TFLite_Detection_PostProcess, and its inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.head import BoxCoder, ScoreSpec

Floats = NDArray[np.float32]


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


def encode_boxes(boxes: NDArray[Any], anchors: Floats, coder: BoxCoder) -> Floats:
    """The inverse of `decode_boxes`: what a model should write for given boxes.

    Args:
        boxes: Real numbers [N, 4] (ymin, xmin, ymax, xmax), with an area.
        anchors: float32 [N, 4] (y centre, x centre, height, width).
        coder: Order and divisors of the columns.

    Returns:
        float32 [N, 4], in the columns of the coder.
    """
    low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    sizes = anchors[:, 2:].astype(np.float64)
    offsets = np.concatenate([((low + high) / 2 - anchors[:, :2]) / sizes, np.log((high - low) / sizes)], axis=1)
    if coder.order == "xywh":
        offsets = offsets[:, [1, 0, 3, 2]]
    return (offsets * coder.scales).astype(np.float32)


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
