"""The constants that follow from scales and zero points, in float32 exactly as the compiler rounds them.

Every step is rounded to float32; another order of the same steps gives other last bits (of 11 orders tried for the
multiplier this is the only one that fits 159 of 159 layers).

Source: measured on published pairs; each function says on how many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.packing import INT8_OFFSET
from coralsmith.graph.model import Tensor

_STEPS: Final = 255
_ACTIVATIONS: Final = frozenset({"NONE", "RELU", "RELU6"})
_LARGEST_TERM: Final = 32_767
SOFTMAX_CLAMP: Final = np.float32(-13.0380983)
"""Least value of the steps of a SOFTMAX."""

_LOGISTIC_CLAMP: Final = np.float32(10.396732)  # 15 ln 2


@dataclass(frozen=True)
class Requantization:
    """The constants of one operator, as a block of the program holds them.

    Attributes:
        multiplier: Steps of the output for one step of the sum; 1 where each channel has its own.
        clamp_min: Least value before the output's zero point is added.
        clamp_max: Greatest value before it is added.
        bias: Integer added to the sum.
        output_zero_point: In the uint8 domain.
        input_zero_point: In the uint8 domain; None where the block holds none.
        weight_zero_point: In the uint8 domain; None where the block holds none.
    """

    multiplier: np.float32
    clamp_min: np.float32
    clamp_max: np.float32
    bias: int
    output_zero_point: int
    input_zero_point: int | None
    weight_zero_point: int | None


def zero_point(tensor: Tensor) -> int:
    """The zero point of a per-tensor quantized tensor in the uint8 domain.

    Raises:
        ValueError: The tensor is not quantized per tensor to 8 bits.
    """
    if tensor.quant is None or tensor.quant.is_per_channel or tensor.dtype not in (np.int8, np.uint8):
        raise ValueError(f"'{tensor.name}' is not quantized to 8 bits by one scale")
    return int(tensor.quant.zero_point[0]) + (INT8_OFFSET if tensor.dtype == np.int8 else 0)


def scale(tensor: Tensor) -> np.float32:
    """The scale of a per-tensor quantized tensor.

    Raises:
        ValueError: As `zero_point`, or the scale is no positive number.
    """
    zero_point(tensor)
    assert tensor.quant is not None
    value = np.float32(tensor.quant.scale[0])
    if not 0 < value < np.inf:
        raise ValueError(f"'{tensor.name}' has the scale {value}")
    return value


def mean_the_same(first: Tensor, second: Tensor) -> bool:
    """Whether the bytes of two tensors on the chip mean the same numbers. Raises like `zero_point`."""
    return bool(scale(first) == scale(second)) and zero_point(first) == zero_point(second)


def multipliers(
    input_scale: np.float32, weight_scales: NDArray[np.float32], output_scale: np.float32
) -> NDArray[np.float32]:
    """Steps of the output for one step of each channel's sum: 2,242 of 2,262 layers.

    Args:
        input_scale: Scale of the input.
        weight_scales: Scales of the weights, float32.
        output_scale: Scale of the output.

    Returns:
        float32, one for each weight scale.
    """
    products: NDArray[np.float32] = (input_scale * weight_scales).astype(np.float32)
    result: NDArray[np.float32] = (products * _reciprocal(output_scale)).astype(np.float32)
    return result


def clamps(output_scale: np.float32, output_zero_point: int, activation: Any) -> tuple[np.float32, np.float32]:
    """The least and greatest value of an output before its zero point is added.

    The limits go from integers to real numbers and back, rounding on the way: 255.00002 occurs.

    Args:
        output_scale: Scale of the output.
        output_zero_point: In the uint8 domain.
        activation: The operator's fused activation function: NONE, RELU or RELU6.

    Raises:
        ValueError: How the compiler writes another activation is not known.
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f"the clamps of {activation} are not known")
    low = there_and_back(-output_zero_point, output_scale)
    high = there_and_back(_STEPS - output_zero_point, output_scale)
    if activation != "NONE":
        low = np.float32(0)
    if activation == "RELU6":
        high = min(high, np.float32(np.float32(6) * _reciprocal(output_scale)))
    return low, high


def there_and_back(steps: int, output_scale: np.float32) -> np.float32:
    """A number of steps as the real number it stands for, and that as steps again."""
    return np.float32(np.float32(np.float32(steps) * output_scale) * _reciprocal(output_scale))


def with_weights(source: Tensor, weights: Tensor, output: Tensor, activation: Any) -> Requantization:
    """The block of a convolution, depthwise convolution or fully connected operator.

    Per-channel multipliers and zero points stand among the parameters; the block then holds 1 and 0.

    Raises:
        ValueError: A tensor is not quantized to 8 bits, or the activation's clamps are not known.
    """
    if weights.quant is None or weights.dtype not in (np.int8, np.uint8):
        raise ValueError(f"'{weights.name}' is not quantized to 8 bits")
    is_per_channel = weights.quant.is_per_channel
    one = multipliers(scale(source), weights.quant.scale, scale(output))[0]
    return Requantization(
        np.float32(1) if is_per_channel else one,
        *clamps(scale(output), zero_point(output), activation),
        0,
        zero_point(output),
        zero_point(source),
        0 if is_per_channel else zero_point(weights),
    )


def of_add(
    first: Tensor, second: Tensor, output: Tensor, activation: Any
) -> tuple[Requantization, tuple[int, int]]:
    """The block of an ADD, and the two integers by which its operands are multiplied: 66 of 66 ADDs.

    Raises:
        ValueError: As `with_weights`.
    """
    terms = ratio(scale(first), scale(second))
    unit = np.float32(scale(second) / np.float32(terms[1]))
    block = Requantization(
        np.float32(unit * _reciprocal(scale(output))),
        *clamps(scale(output), zero_point(output), activation),
        -(zero_point(first) * terms[0] + zero_point(second) * terms[1]),
        zero_point(output),
        None,
        None,
    )
    return block, terms


def ratio(first: np.float32, second: np.float32) -> tuple[int, int]:
    """The best rational approximation of `first / second` with terms up to 32,767, in lowest terms."""
    value = float(first) / float(second)
    larger = np.arange(1, _LARGEST_TERM + 1, dtype=np.float64)
    smaller = np.maximum(np.rint(larger / value if value >= 1 else larger * value), 1)
    numerator, denominator = (larger, smaller) if value >= 1 else (smaller, larger)
    best = int(np.argmin(np.abs(numerator / denominator - value)))
    terms = int(numerator[best]), int(denominator[best])
    divisor = math.gcd(*terms)
    return terms[0] // divisor, terms[1] // divisor


def of_rescaling(source: Tensor, output: Tensor) -> Requantization:
    """The block that carries a tensor over to another scale: an input of CONCATENATION, or QUANTIZE.

    Source: 28 blocks of the SSD heads, 12 of the colour trackers; not proved on two sources of one structure.

    Raises:
        ValueError: As `with_weights`.
    """
    return Requantization(
        np.float32(scale(source) * _reciprocal(scale(output))),
        *clamps(scale(output), zero_point(output), "NONE"),
        0,
        zero_point(output),
        zero_point(source),
        0,
    )


def of_product(first: Tensor, second: Tensor, output: Tensor, activation: Any) -> Requantization:
    """The block of a MUL, which takes the place of the weights by its second operand. Source: 2 of 2.

    Raises:
        ValueError: As `with_weights`.
    """
    return Requantization(
        multipliers(scale(first), np.array([scale(second)]), scale(output))[0],
        *clamps(scale(output), zero_point(output), activation),
        0,
        zero_point(output),
        zero_point(first),
        zero_point(second),
    )


def of_average(source: Tensor, output: Tensor, window: int, activation: Any) -> Requantization:
    """The block of an AVERAGE_POOL_2D that keeps the scale: 2 of 2 files of min_runtime 14; older ones have none.

    Args:
        source: Its input.
        output: Its output.
        window: Values that are averaged.
        activation: Its fused activation function.

    Raises:
        ValueError: As `with_weights`, or the scale changes.
    """
    if window < 1 or not mean_the_same(source, output):
        raise ValueError("how an average in another scale is written is not known")
    return Requantization(
        np.float32(1 / window),
        *clamps(scale(output), zero_point(output), activation),
        0,
        zero_point(output),
        zero_point(source),
        0,
    )


def of_logistic(source: Tensor) -> Requantization:
    """The block that feeds a LOGISTIC: real numbers in place of steps. Source: 3 of 3 files.

    Raises:
        ValueError: As `with_weights`.
    """
    return _function_input(source, -_LOGISTIC_CLAMP, _LOGISTIC_CLAMP)


def of_softmax(source: Tensor) -> Requantization:
    """The block that feeds a SOFTMAX of newer files: the greatest input has become step 255 before.

    Source: 5 of 5 files of min_runtime 14; older files use tables.

    Raises:
        ValueError: As `with_weights`.
    """
    block = _function_input(source, SOFTMAX_CLAMP, np.float32(0))
    return Requantization(block.multiplier, block.clamp_min, block.clamp_max, 0, 0, _STEPS, 0)


def _function_input(source: Tensor, low: np.float32, high: np.float32) -> Requantization:
    return Requantization(scale(source), low, high, 0, 0, zero_point(source), 0)


def _reciprocal(value: np.float32) -> np.float32:
    return np.float32(np.float32(1) / value)
