"""What one operator asks of the chip, in numbers that cycles and instruction bytes are linear in.

Source: the compiler's own estimate of cycles in published compiled models. The 16 tiles lie in a 4x4 grid over
height and width; a tile multiplies 4 input channels by up to 64 outputs in one step, so that a convolution takes
``ceil(H/4) * ceil(W/4) * taps * ceil(inputs/4) * ceil(outputs/64)`` steps of 2 cycles. That law is exact for
stacks of convolutions. The names below tell operators apart whose steps were seen to cost different numbers of
cycles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from coralsmith.edgetpu.blocks import GRID, GROUP_ROWS, LANES
from coralsmith.graph.model import Op, Tensor

Features = Mapping[str, int]

TILES: Final = GRID * GRID

FREE: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE", "DEQUANTIZE"})
"""Operators that move no data, on the chip or on the CPU, or only change its type at the ends of the model."""


def operator_features(op: Op) -> Features:
    """What an operator on the Edge TPU asks for.

    Args:
        op: An operator with static shapes.

    Returns:
        Amounts by name. Steps: "convolution", "pointwise" (1x1), "depthwise", "strided depthwise", "dense" (one
        position), "elementwise". For the instructions: "layers" with weights, "output groups" of 64 channels,
        "softmax operators", "other operators", and the "activations" put out.
    """
    if op.kind in FREE or not op.outputs:
        return {}
    height, width, channels = _map(op.output)
    positions = _split(height) * _split(width)
    activations = op.output.elements if height * width > 1 else 0
    if op.kind == "DEPTHWISE_CONV_2D":
        name = "depthwise" if op.attributes.get("stride_h") == 1 else "strided depthwise"
        steps = positions * _taps(op) * _ceil(channels, LANES)
        return {name: steps, "layers": 1, "activations": activations}
    if op.kind in ("CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"):
        return {
            **_convolution(op, height * width, positions, channels),
            "layers": 1,
            "output groups": _ceil(channels, GROUP_ROWS),
            "activations": activations,
        }
    counted = "softmax operators" if op.kind == "SOFTMAX" else "other operators"
    return {"elementwise": positions * _ceil(channels, LANES), counted: 1, "activations": activations}


def weighted(amounts: Features, weights: Mapping[str, float]) -> float:
    """The sum of the amounts, each times its weight; what has no weight does not count."""
    return sum(weights.get(name, 0.0) * amount for name, amount in amounts.items())


def total(parts: Iterable[Features]) -> dict[str, int]:
    """The amounts of several operators together."""
    result: dict[str, int] = {}
    for part in parts:
        for name, amount in part.items():
            result[name] = result.get(name, 0) + amount
    return result


def multiplications(op: Op) -> int:
    """Multiply-accumulate operations, the same on any processor; 0 for operators without weights."""
    weights = _weights(op)
    if weights is None or not op.outputs:
        return 0
    if op.kind == "TRANSPOSE_CONV":
        source = op.input("input")
        positions = 0 if source is None or len(source.shape) != 4 else source.elements // max(1, source.shape[-1])
        return positions * weights.elements
    channels = max(1, op.output.shape[-1] if op.output.shape else 1)
    return op.output.elements // channels * weights.elements


def _convolution(op: Op, positions: int, tile_positions: int, outputs: int) -> Features:
    """Steps of a convolution or dense layer; at one position the groups of outputs are spread over the tiles."""
    weights = _weights(op)
    if weights is None or len(weights.shape) not in (2, 4):
        return {}
    inputs, taps = _ceil(weights.shape[-1], LANES), math.prod(weights.shape[1:-1])
    groups = _ceil(outputs, GROUP_ROWS)
    if positions == 1:
        return {"dense": taps * inputs * _ceil(groups, TILES)}
    return {"pointwise" if taps == 1 else "convolution": tile_positions * taps * inputs * groups}


def _weights(op: Op) -> Tensor | None:
    known = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
    return op.input("filter") if op.kind in known else None


def _taps(op: Op) -> int:
    weights = _weights(op)
    return math.prod(weights.shape[1:-1]) if weights is not None and len(weights.shape) == 4 else 1


def _map(tensor: Tensor) -> tuple[int, int, int]:
    """Height, width and channels; what has fewer dimensions is one position, batches lie below each other."""
    shape = tensor.shape
    if len(shape) < 3:
        return 1, 1, shape[-1] if shape else 1
    return math.prod(shape[:-2]), shape[-2], shape[-1]


def _split(size: int) -> int:
    return _ceil(size, GRID)


def _ceil(value: int, step: int) -> int:
    return -(-value // step)
