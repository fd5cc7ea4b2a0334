"""The output shapes of the operators in the operator table, from their inputs and attributes.

Source: the shape functions that TFLite documents for its kernels. Other operators are not judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from coralsmith.graph.layout_shapes import LAYOUT_RULES
from coralsmith.graph.model import Op, Tensor
from coralsmith.graph.operands import DecidedAtRunTimeError, Operands, Shape, checked_axis


def infer_shapes(op: Op, known: Mapping[Tensor, Shape] | None = None) -> list[Shape] | None:
    """The shapes of the outputs of `op`; None where no rule knows them or an input decides at run time.

    Args:
        op: The operator.
        known: True shapes of tensors that the file declares dynamic; those that are missing are unknown. None
            to believe what is declared.

    Raises:
        ValueError: The inputs do not fit each other or the attributes.
    """
    rule = _RULES.get(op.kind)
    try:
        return None if rule is None else rule(Operands(op, known))
    except DecidedAtRunTimeError:
        return None


def window_output(size: int, window: int, stride: int, dilation: int, padding: str) -> int:
    """Output length of a sliding window along one dimension (TensorFlow's SAME and VALID).

    Raises:
        ValueError: The window does not fit.
    """
    covered = (window - 1) * dilation + 1
    length = -(-size // stride) if padding == "SAME" else -(-(size - covered + 1) // stride)
    if length < 1:
        raise ValueError(f"a window of {covered} does not fit into {size}")
    return length


def same_padding(size: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros that SAME puts before and after a dimension (TensorFlow's rule: the odd one goes behind)."""
    covered = (window - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + covered - size, 0)
    return total // 2, total - total // 2


def broadcast(first: Shape, second: Shape) -> Shape:
    """The common shape of two operands (numpy's rule).

    Raises:
        ValueError: They have none.
    """
    return tuple(np.broadcast_shapes(first, second))


def _window(op: Operands, size: Shape, window: tuple[int, int]) -> tuple[int, int]:
    padding = str(op.op.attributes.get("padding", "SAME"))
    strides = op.integer("stride_h"), op.integer("stride_w")
    dilations = op.integer("dilation_h_factor", 1), op.integer("dilation_w_factor", 1)
    height, width = (window_output(size[1 + i], window[i], strides[i], dilations[i], padding) for i in (0, 1))
    return height, width


def _require_bias(op: Operands, position: int, channels: int) -> None:
    if op.has(position) and op.shape(position) != (channels,) and math.prod(op.shape(position)) != channels:
        raise ValueError(f"a bias {list(op.shape(position))} for {channels} channels")


def _conv_2d(op: Operands) -> list[Shape]:
    data, weights = op.shape(0, rank=4), op.shape(1, rank=4)
    if weights[3] == 0 or data[3] % weights[3] or weights[0] % (data[3] // weights[3]):
        raise ValueError(f"{weights[3]} filter channels for {data[3]} input channels")
    _require_bias(op, 2, weights[0])
    return [(data[0], *_window(op, data, (weights[1], weights[2])), weights[0])]


def _depthwise(op: Operands) -> list[Shape]:
    data, weights = op.shape(0, rank=4), op.shape(1, rank=4)
    if data[3] == 0 or weights[0] != 1 or weights[3] % data[3]:
        raise ValueError(f"a filter {list(weights)} for {data[3]} input channels")
    _require_bias(op, 2, weights[3])
    return [(data[0], *_window(op, data, (weights[1], weights[2])), weights[3])]


def _transpose_conv(op: Operands) -> list[Shape]:
    """The output shape is given; a convolution back from it must give the input (conv2d_transpose)."""
    weights, data = op.shape(1, rank=4), op.shape(2, rank=4)
    target = tuple(op.values(0))
    if (
        len(target) != 4
        or min(target) < 1
        or weights[3] != data[3]
        or (target[0], target[3]) != (data[0], weights[0])
    ):
        raise ValueError(f"a filter {list(weights)} from {list(data)} to {list(target)}")
    if _window(op, target, (weights[1], weights[2])) != data[1:3]:
        raise ValueError(f"{list(target)} does not come from {list(data)}")
    _require_bias(op, 3, weights[0])
    return [target]


def _fully_connected(op: Operands) -> list[Shape]:
    data, weights = op.shape(0), op.shape(1, rank=2)
    elements = math.prod(data)
    _require_bias(op, 2, weights[0])
    if op.op.attributes.get("keep_num_dims"):
        if data[-1:] != weights[1:]:
            raise ValueError(f"{list(data)} for rows of {weights[1]}")
        return [(*data[:-1], weights[0])]
    if weights[1] == 0 or elements % weights[1]:
        raise ValueError(f"{elements} values for rows of {weights[1]}")
    return [(elements // weights[1], weights[0])]


def _pool(op: Operands) -> list[Shape]:
    data = op.shape(0, rank=4)
    window = op.integer("filter_height"), op.integer("filter_width")
    return [(data[0], *_window(op, data, window), data[3])]


def _unary(op: Operands) -> list[Shape]:
    return [op.shape(0)]


def _binary(op: Operands) -> list[Shape]:
    return [broadcast(op.shape(0), op.shape(1))]


def _add_n(op: Operands) -> list[Shape]:
    shapes = set(op.shapes())
    if len(shapes) != 1:
        raise ValueError("the summands have different shapes")
    return [shapes.pop()]


def _prelu(op: Operands) -> list[Shape]:
    if broadcast(op.shape(0), op.shape(1)) != op.shape(0):
        raise ValueError("alpha is larger than the input")
    return [op.shape(0)]


def _resize(op: Operands) -> list[Shape]:
    data, size = op.shape(0, rank=4), op.values(1)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"a size of {size}")
    return [(data[0], size[0], size[1], data[3])]


def _reduce(op: Operands) -> list[Shape]:
    data = op.shape(0)
    reduced = {checked_axis(axis, len(data)) for axis in op.values(1)}
    if op.op.attributes.get("keep_dims"):
        return [tuple(1 if i in reduced else size for i, size in enumerate(data))]
    return [tuple(size for i, size in enumerate(data) if i not in reduced)]


def _select(op: Operands) -> list[Shape]:
    """The older SELECT takes a condition of the same shape, or one value a row; SELECT_V2 broadcasts."""
    condition, first, second = op.shapes()
    if op.op.kind == "SELECT_V2":
        return [broadcast(condition, broadcast(first, second))]
    if first != second or condition not in (first, first[:1], ()):
        raise ValueError(f"{list(condition)} between {list(first)} and {list(second)}")
    return [first]


def _along_axis(op: Operands) -> list[Shape]:
    data = op.shape(0)
    for axis in op.values(1):
        checked_axis(axis, len(data))
    return [data]


def _arg_max(op: Operands) -> list[Shape]:
    data = op.shape(0)
    axis = checked_axis(op.value(1), len(data))
    return [(*data[:axis], *data[axis + 1 :])]


_RULES: Final[dict[str, Callable[[Operands], list[Shape]]]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transpose_conv,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "ADD_N": _add_n,
    "PRELU": _prelu,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "ARG_MAX": _arg_max,
    "ARG_MIN": _arg_max,
    "SELECT": _select,
    "SELECT_V2": _select,
    "REVERSE_V2": _along_axis,
    "CUMSUM": _along_axis,
    **dict.fromkeys(
        ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL"), _reduce
    ),
    **dict.fromkeys(
        (
            "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV", "FLOOR_MOD",
            "POW", "EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOGICAL_AND",
            "LOGICAL_OR",
        ),
        _binary,
    ),
    **dict.fromkeys(
        (
            "RELU", "RELU6", "RELU_N1_TO_1", "ELU", "LEAKY_RELU", "HARD_SWISH", "GELU", "LOGISTIC", "TANH",
            "SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION", "EXP", "LOG", "SQRT", "RSQRT", "ABS", "NEG", "SQUARE",
            "QUANTIZE", "DEQUANTIZE", "CAST", "LOGICAL_NOT", "ZEROS_LIKE", "SIGN", "SIN", "COS", "CEIL", "FLOOR",
            "ROUND",
        ),
        _unary,
    ),
    **LAYOUT_RULES,
}  # fmt: skip
