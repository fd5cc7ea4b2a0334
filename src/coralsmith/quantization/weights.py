"""Constants as integers: symmetric int8 weights, int32 biases, asymmetric int8 operands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Array, Quant, Tensor
from coralsmith.quantization.adaptive_rounding import WEIGHT_LIMIT, round_together

BIAS_LIMIT: Final = 1 << 30  # half of int32, which leaves the accumulator room
SMALLEST_SCALE: Final = 1e-12


@dataclass(frozen=True)
class IntegerLayer:
    """Weights int8 and bias int32 of one layer, with the scales the kernels demand."""

    weights: Tensor
    bias: Tensor


def quantize_layer(
    weights: Tensor,
    bias: Array,
    input_quant: Quant,
    axis: int,
    *,
    per_channel: bool,
    bias_name: str,
    input_mean: Array | None = None,
    moments: Array | None = None,
) -> IntegerLayer:
    """Integer weights and bias of a convolution or dense layer.

    The bias scale is input scale times weight scale, as the kernels check. A channel whose bias would not fit
    into int32 (its weights are almost zero) gets a wider weight scale instead of a saturated bias.

    Rounding the weights shifts each output channel by its rounding errors times the mean input; with `input_mean`
    the bias takes that shift back (bias correction, Nagel et al. 2019, with means observed on images).

    Args:
        weights: Float constant.
        bias: float, one per output channel.
        input_quant: Quantization of the layer's activation.
        axis: Output-channel dimension of `weights`.
        per_channel: One scale per output channel, or one for all.
        bias_name: Name of the bias tensor.
        input_mean: Mean of the activation, one per element of the last dimension of `weights`; None leaves the
            bias as it is.
        moments: Covariance of what the weights are multiplied with (`layer_moments`): the weights are then rounded
            together; None rounds each to the nearest.
    """
    assert weights.data is not None, "weights are constant"
    values = weights.data.astype(np.float64)
    others = tuple(i for i in range(values.ndim) if i != axis)
    largest = np.abs(values).max(axis=others)
    input_scale = float(input_quant.scale[0])
    scale = np.maximum(largest / WEIGHT_LIMIT, np.abs(bias) / (input_scale * BIAS_LIMIT))
    if not per_channel:
        scale = np.array([scale.max()])
    scale = np.maximum(scale, SMALLEST_SCALE).astype(np.float32)
    quant = Quant(scale, np.zeros(scale.size, np.int64), axis if scale.size > 1 else 0)
    if moments is None:
        integers = quant.quantize(values, np.dtype(np.int8)).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    else:
        integers = _rounded_together(values, moments, scale, axis)
    if input_mean is not None:
        rounding_error = quant.dequantize(integers) - values
        bias = bias - (rounding_error * input_mean).sum(axis=others)
    bias_scale = (np.float32(input_scale) * scale).astype(np.float32)
    bias_quant = Quant(bias_scale, np.zeros(scale.size, np.int64))
    return IntegerLayer(
        Tensor.constant(weights.name, integers.astype(np.int8), quant),
        Tensor.constant(bias_name, bias_quant.quantize(bias, np.dtype(np.int32)), bias_quant),
    )


def _rounded_together(values: Array, moments: Array, scale: Array, axis: int) -> Array:
    """The integers of `round_together` in the shape of the weights."""
    groups, _, side = moments.shape
    outputs_first = np.moveaxis(values, axis, 0)  # depthwise: the outputs of one channel stand together
    rows = outputs_first.reshape(groups, -1, side)
    steps = np.broadcast_to(scale.astype(np.float64), values.shape[axis]).reshape(rows.shape[:2])
    integers = round_together(rows, moments, steps)
    result: Array = np.moveaxis(integers.reshape(outputs_first.shape), 0, axis)
    return result


def quantize_operand(constant: Tensor, quant: Quant) -> Tensor:
    """A constant operand of an element-wise operator as int8 with the given scale."""
    assert constant.data is not None, "operands are constant"
    return Tensor.constant(constant.name, quant.quantize(constant.data, np.dtype(np.int8)), quant)
