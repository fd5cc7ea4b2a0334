"""Rounding all weights of a layer together, so that the errors of some cancel those of others.

The error of a layer's output is quadratic in its weights: for each output channel, the mean of ((q - w) x)^2 over
inputs x is (q - w) G (q - w)^T with their second moments G. Once G is known no image is needed any more.

The objective is AdaRound's (Nagel et al. 2020, "Up or down? Adaptive rounding for post-training quantization"). It
is searched without training: one weight is rounded after the other while the weights still open make up for the
error (Frantar et al. 2022, "OPTQ"); then single weights are moved to where the error is least, given all others.
The constant part of the error is the bias's, so G is taken around the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from coralsmith.graph import Array

WEIGHT_LIMIT: Final = 127  # narrow range: -128 is not used, so that kernels may negate (TFLite specification)
_SWEEPS: Final = 3  # the later ones change next to nothing
_BLOCK: Final = 64


def round_together(weights: Array, moments: Array, scale: Array) -> Array:
    """Integers whose layer output differs least from that of the real weights.

    Args:
        weights: float64 [groups, outputs, inputs]; a depthwise layer has one group a channel, others have one.
        moments: Second moments of the inputs around their mean, positive definite [groups, inputs, inputs].
        scale: Step of each output's weights, float64 [groups, outputs].

    Returns:
        Integers from -127 to 127 as float64 [groups, outputs, inputs]; never worse than rounding to nearest.
    """
    single = (values.astype(np.float32) for values in (weights.transpose(0, 2, 1), moments, scale))
    wanted, products, step = (np.ascontiguousarray(values) for values in single)
    together = _descend(_with_feedback(wanted, products, step), wanted, products, step).transpose(0, 2, 1)
    nearest = _nearest(weights, scale[:, :, None])
    is_better = output_error(together, weights, moments, scale) < output_error(nearest, weights, moments, scale)
    return np.where(is_better[:, :, None], together, nearest)


def output_error(integers: Array, weights: Array, moments: Array, scale: Array) -> Array:
    """Mean squared error of each output around its mean, [groups, outputs]."""
    error = integers * scale[:, :, None] - weights
    result: Array = np.sum((error @ moments) * error, axis=-1)
    return result


def _nearest(weights: Array, step: Array | float) -> Array:
    integers: Array = np.rint(weights / step).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    return integers


def _with_feedback(weights: Array, moments: Array, scale: Array) -> Array:
    """Round one input after the other; the weights still open move to where they cancel most of the error.

    Here and in `_descend`, weights and integers are [groups, inputs, outputs], so that an input's are neighbours.
    """
    upper = np.linalg.cholesky(np.linalg.inv(moments)).transpose(0, 2, 1)
    wanted, integers = weights.copy(), np.empty_like(weights)
    for start, end in _blocks(weights.shape[1]):
        missed = np.empty_like(weights[:, start:end])
        for i in range(start, end):
            integers[:, i] = _nearest(wanted[:, i], scale)
            missed[:, i - start] = (wanted[:, i] - integers[:, i] * scale) / upper[:, i, i, None]
            wanted[:, i:end] -= upper[:, i, i:end, None] * missed[:, i - start, None]
        wanted[:, end:] -= upper[:, start:end, end:].transpose(0, 2, 1) @ missed
    return integers


def _descend(integers: Array, weights: Array, moments: Array, scale: Array) -> Array:
    """Move one weight at a time to its best integer, given all others, in a few sweeps."""
    integers = integers.copy()
    error = integers * scale[:, None] - weights
    for _ in range(_SWEEPS):
        changed = False
        for start, end in _blocks(weights.shape[1]):
            gradient = moments[:, start:end] @ error
            for i in range(start, end):
                wanted = integers[:, i] - gradient[:, i - start] / (moments[:, i, i, None] * scale)
                better = _nearest(wanted, 1.0)
                move = (better - integers[:, i]) * scale
                if not move.any():
                    continue
                changed = True
                integers[:, i] = better
                error[:, i] += move
                gradient += moments[:, start:end, i, None] * move[:, None]
        if not changed:
            break
    return integers


def _blocks(inputs: int) -> Iterator[tuple[int, int]]:
    """Inputs that are treated one by one; what they do to all others is one matrix product."""
    for start in range(0, inputs, _BLOCK):
        yield start, min(start + _BLOCK, inputs)
