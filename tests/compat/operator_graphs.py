"""A minimal graph around one operator of each kind, as the rules about it allow it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from coralsmith.graph.model import Graph, Op, Quant, Tensor
from tests.builders import CONVOLUTION, activation, constant, graph, op

QUANT: Final = Quant.per_tensor(0.5, 0)
POOL: Final = {
    "padding": "VALID",
    "stride_w": 1,
    "stride_h": 1,
    "filter_width": 2,
    "filter_height": 2,
    "fused_activation_function": "NONE",
}


def value(*shape: int, name: str = "input", dtype: Any = np.int8) -> Tensor:
    """An activation of 8-bit integers (or another type)."""
    return activation(name, shape, dtype, QUANT)


def numbers(*values: int) -> Tensor:
    """A constant of axes, sizes and the like."""
    return constant("numbers", values, np.int32)


def ones(*shape: int, name: str = "weights", dtype: Any = np.int8) -> Tensor:
    """A constant of quantized values."""
    return constant(name, np.ones(shape), dtype, QUANT)


def bias(count: int = 4) -> Tensor:
    """A bias that fits an input and weights of scale `QUANT`."""
    return constant("bias", np.ones(count), np.int32, Quant.per_tensor(0.25, 0))


def alone(made: Op, *more: Op) -> Graph:
    """A verified graph of one operator, or of several; what no operator makes is an input."""
    ops = [made, *more]
    outputs = [tensor for each in ops for tensor in each.outputs]
    read = {t: None for each in ops for t in each.inputs if t is not None and not t.is_constant}
    unread = [tensor for tensor in outputs if tensor not in read]
    return graph(ops, [tensor for tensor in read if tensor not in outputs], unread)


def unary(kind: str, *shape: int, dtype: Any = np.int8, **attributes: Any) -> Graph:
    """An operator on one value."""
    return alone(op(kind, [value(*shape, dtype=dtype)], "output", **attributes))


def binary(kind: str, dtype: Any = np.int8) -> Graph:
    """An operator on two values."""
    first, second = value(1, 4, 4, 8, dtype=dtype), value(1, 4, 4, 8, name="second", dtype=dtype)
    return alone(op(kind, [first, second], "output", fused_activation_function="NONE"))


def with_numbers(
    kind: str, shape: tuple[int, ...], *values: int, dtype: Any = np.int8, **attributes: Any
) -> Graph:
    """An operator on one value and a constant of numbers."""
    return alone(op(kind, [value(*shape, dtype=dtype), numbers(*values)], "output", **attributes))


def conv(filters: Tensor | None = None, dtype: Any = np.int8, **attributes: Any) -> Graph:
    """A convolution of 4 to 4 channels."""
    weights = filters if filters is not None else ones(4, 3, 3, 4, dtype=dtype)
    inputs = [value(1, 8, 8, 4, dtype=dtype), weights, bias()]
    return alone(op("CONV_2D", inputs, "output", **{**CONVOLUTION, **attributes}))


def depthwise(dtype: Any = np.int8) -> Graph:
    """A depthwise convolution of 4 channels."""
    inputs = [value(1, 8, 8, 4, dtype=dtype), ones(1, 3, 3, 4, dtype=dtype), bias()]
    return alone(op("DEPTHWISE_CONV_2D", inputs, "output", **CONVOLUTION, depth_multiplier=1))


def dense(outputs: int = 10, rows: int = 1, dtype: Any = np.int8, **attributes: Any) -> Graph:
    """A dense layer of 4 inputs."""
    inputs = [value(rows, 4, dtype=dtype), ones(outputs, 4, dtype=dtype), None]
    return alone(op("FULLY_CONNECTED", inputs, "output", **{"keep_num_dims": False, **attributes}))


def transpose_conv(dtype: Any = np.int8) -> Graph:
    """A transposed convolution that doubles a map."""
    inputs = [numbers(1, 8, 8, 4), ones(4, 2, 2, 4, dtype=dtype), value(1, 4, 4, 4, dtype=dtype)]
    return alone(op("TRANSPOSE_CONV", inputs, "output", padding="SAME", stride_w=2, stride_h=2))


def joined(kind: str, dtype: Any = np.int8, **attributes: Any) -> Graph:
    """Two maps put together."""
    inputs = [value(1, 8, 8, 4, dtype=dtype), value(1, 8, 8, 4, name="second", dtype=dtype)]
    return alone(op(kind, inputs, "output", **attributes))


def packed(axis: int = 1, dtype: Any = np.int8) -> Graph:
    """Two rows stacked along a new dimension."""
    inputs = [value(1, 8, dtype=dtype), value(1, 8, name="second", dtype=dtype)]
    return alone(op("PACK", inputs, "output", axis=axis, values_count=2))


def pad(*rows: tuple[int, int], kind: str = "PAD", dtype: Any = np.int8) -> Graph:
    """A map with something around it."""
    paddings = constant("paddings", rows, np.int32)
    inputs = [value(1, 4, 4, 4, dtype=dtype), paddings, *([ones(dtype=dtype)] if kind == "PADV2" else [])]
    return alone(op(kind, inputs, "output", **({"mode": "REFLECT"} if kind == "MIRROR_PAD" else {})))


def resize(kind: str, before: int, after: int, channels: int = 4, dtype: Any = np.int8) -> Graph:
    """A square map resized."""
    return with_numbers(kind, (1, before, before, channels), after, after, dtype=dtype)


def reshape(before: tuple[int, ...], after: tuple[int, ...], dtype: Any = np.int8) -> Graph:
    """A value in another shape."""
    return with_numbers("RESHAPE", before, *after, dtype=dtype)


def strided_slice(stride: int = 1, dtype: Any = np.int8, **masks: int) -> Graph:
    """A slice of a map."""
    bounds = [numbers(0, 0, 0, 0), numbers(1, 8, 8, 4), numbers(1, stride, stride, 1)]
    inputs = [value(1, 8, 8, 4, dtype=dtype), *bounds]
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    return alone(op("STRIDED_SLICE", inputs, "output", **{**dict.fromkeys(names, 0), **masks}))


def split(kind: str, axis: int, shape: tuple[int, ...] = (1, 8, 8, 4), dtype: Any = np.int8) -> Graph:
    """A map cut into two."""
    source, last = value(*shape, dtype=dtype), shape[axis] // 2
    half = tuple(last if position == axis else size for position, size in enumerate(shape))
    inputs = {
        "SPLIT": [numbers(axis), source],
        "SPLIT_V": [source, numbers(last, last), numbers(axis)],
        "UNPACK": [source],
    }
    numbered = {"UNPACK": {"num": 2, "axis": axis}}.get(kind, {"num_splits": 2})
    halves = [value(*half, name=name, dtype=dtype) for name in ("first", "second")]
    if kind == "SPLIT":
        inputs[kind][0] = constant("axis", axis, np.int32)
    if kind == "SPLIT_V":
        inputs[kind][2] = constant("axis", axis, np.int32)
    if kind == "UNPACK":
        halves = [value(*shape[:axis], *shape[axis + 1 :], name=name, dtype=dtype) for name in ("first", "second")]
    return alone(Op(kind, list(inputs[kind]), halves, dict(numbered)))


def prelu(alpha: Tensor | None = None, dtype: Any = np.int8) -> Graph:
    """A rectifier with slopes."""
    slopes = alpha if alpha is not None else ones(1, 1, 4, dtype=dtype)
    return alone(op("PRELU", [value(1, 8, 8, 4, dtype=dtype), slopes], "output"))


def converting(kind: str, before: Any, after: Any, shape: tuple[int, ...] = (1, 8)) -> Graph:
    """A value in another element type."""
    source = activation("input", shape, before, None if np.dtype(before).kind == "f" else QUANT)
    output = activation("output", shape, after, None if np.dtype(after).kind == "f" else QUANT)
    return alone(Op(kind, [source], [output], {}))


def behind_relu(last: Graph) -> Graph:
    """A graph that is surely quantized: a RELU before the operator of another graph."""
    (source,) = last.inputs
    first = op("RELU", [value(*source.shape, name="image", dtype=source.dtype)], "rectified")
    last.replace_tensor(source, first.output)
    return alone(first, *last.ops)


def lstm(features: int = 28, dtype: Any = np.int8, kind: str = "UNIDIRECTIONAL_SEQUENCE_LSTM") -> Graph:
    """A recurrent layer of 20 units; its state of 16 bits is its own affair."""
    state = activation("state", (1, 20), np.int16, QUANT)
    state.is_variable = True
    inputs = [value(1, 28, features, dtype=dtype), ones(20, features, dtype=dtype), state]
    return alone(Op(kind, inputs, [value(1, 28, 20, name="output", dtype=dtype)]))


def custom(code: str = "TFLite_Detection_PostProcess") -> Graph:
    """A custom operator with a float output."""
    return alone(Op("CUSTOM", [value(1, 4)], [activation("boxes", (1, 10, 4))], custom_code=code))


def _matmul(dtype: Any) -> Graph:
    inputs = [value(1, 4, 4, dtype=dtype), value(1, 4, 4, name="second", dtype=dtype)]
    return alone(Op("BATCH_MATMUL", inputs, [value(1, 4, 4, name="output", dtype=dtype)]))


def _blocks(kind: str, dtype: Any) -> Graph:
    """Blocks of one pixel: larger ones make a batch, which is another rule's affair."""
    nothing = constant("nothing", np.zeros((2, 2)), np.int32)
    return alone(op(kind, [value(1, 8, 8, 4, dtype=dtype), numbers(1, 1), nothing], "output"))


def _select(dtype: Any) -> Graph:
    either = [value(1, 8, dtype=dtype), value(1, 8, name="second", dtype=dtype)]
    return alone(op("SELECT_V2", [constant("condition", [[True] * 8], np.bool_), *either], "output"))


def _indexed(kind: str, dtype: Any) -> Graph:
    indices = constant("indices", [[0]] if kind == "GATHER_ND" else [0, 1], np.int32)
    attributes = {} if kind == "GATHER_ND" else {"axis": 1, "batch_dims": 0}
    return alone(op(kind, [value(1, 8, 4, dtype=dtype), indices], "output", **attributes))


def _slice(dtype: Any) -> Graph:
    return alone(op("SLICE", [value(1, 8, 8, 4, dtype=dtype), numbers(0, 0, 0, 0), numbers(1, 4, 4, 4)], "output"))


def _scalar_axis(kind: str, dtype: Any, axis: int, output: Any = None) -> Graph:
    made = op(kind, [value(1, 8, dtype=dtype), constant("axis", axis, np.int32)], "output", output)
    return alone(made)


def _power(dtype: Any) -> Graph:
    return alone(op("POW", [value(1, 8, dtype=dtype), ones(1, 8, name="exponent", dtype=dtype)], "output"))


_ON_ONE_VALUE: Final = (
    "ABS", "ELU", "EXP", "GELU", "HARD_SWISH", "LOG", "LOGISTIC", "LOG_SOFTMAX", "NEG", "RELU", "RELU6",
    "RELU_N1_TO_1", "RSQRT", "SOFTMAX", "SQRT", "SQUARE", "TANH",
)  # fmt: skip
_ON_TWO_VALUES: Final = ("ADD", "SUB", "MUL", "DIV", "FLOOR_DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
_REDUCING: Final = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
_RESIZING: Final = ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")

OPERATOR_GRAPHS: Final[dict[str, Callable[[Any], Graph]]] = {
    **{kind: lambda dtype, kind=kind: unary(kind, 1, 8, dtype=dtype) for kind in _ON_ONE_VALUE},
    **{kind: lambda dtype, kind=kind: binary(kind, dtype) for kind in _ON_TWO_VALUES},
    **{kind: lambda dtype, kind=kind: with_numbers(kind, (1, 8, 8, 4), 1, 2, dtype=dtype) for kind in _REDUCING},
    **{kind: lambda dtype, kind=kind: resize(kind, 8, 16, dtype=dtype) for kind in _RESIZING},
    **{kind: lambda dtype, kind=kind: _blocks(kind, dtype) for kind in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")},
    **{kind: lambda dtype, kind=kind: _indexed(kind, dtype) for kind in ("GATHER", "GATHER_ND")},
    **{kind: lambda dtype, kind=kind: unary(kind, 1, 8, 8, 4, dtype=dtype, **POOL)
       for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D")},
    **{kind: lambda dtype, kind=kind: unary(kind, 1, 8, 8, 4, dtype=dtype, block_size=2)
       for kind in ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")},
    **{kind: lambda dtype, kind=kind: pad((0, 0), (1, 1), (1, 1), (0, 0), kind=kind, dtype=dtype)
       for kind in ("PAD", "PADV2", "MIRROR_PAD")},
    "ADD_N": lambda dtype: joined("ADD_N", dtype),
    "ARG_MAX": lambda dtype: _scalar_axis("ARG_MAX", dtype, 1, np.int32),
    "BATCH_MATMUL": _matmul,
    "BIDIRECTIONAL_SEQUENCE_LSTM": lambda dtype: lstm(dtype=dtype, kind="BIDIRECTIONAL_SEQUENCE_LSTM"),
    "BROADCAST_TO": lambda dtype: with_numbers("BROADCAST_TO", (1, 1, 4), 1, 8, 4, dtype=dtype),
    "CAST": lambda dtype: converting("CAST", dtype, np.int8 if dtype == np.uint8 else np.uint8),
    "CONCATENATION": lambda dtype: joined("CONCATENATION", dtype, axis=3, fused_activation_function="NONE"),
    "CONV_2D": lambda dtype: conv(dtype=dtype),
    "DEPTHWISE_CONV_2D": depthwise,
    "DEQUANTIZE": lambda dtype: behind_relu(converting("DEQUANTIZE", dtype, np.float32)),
    "EXPAND_DIMS": lambda dtype: _scalar_axis("EXPAND_DIMS", dtype, 1),
    "FULLY_CONNECTED": lambda dtype: dense(dtype=dtype),
    "L2_NORMALIZATION": lambda dtype: unary("L2_NORMALIZATION", 1, 8, dtype=dtype),
    "LEAKY_RELU": lambda dtype: unary("LEAKY_RELU", 1, 8, dtype=dtype, alpha=0.1),
    "PACK": lambda dtype: packed(dtype=dtype),
    "POW": _power,
    "PRELU": lambda dtype: prelu(dtype=dtype),
    "QUANTIZE": lambda dtype: converting("QUANTIZE", dtype, np.uint8 if dtype == np.int8 else dtype),
    "RESHAPE": lambda dtype: reshape((1, 8), (1, 2, 4), dtype),
    "SELECT_V2": _select,
    "SLICE": _slice,
    "SPLIT": lambda dtype: split("SPLIT", 3, dtype=dtype),
    "SPLIT_V": lambda dtype: split("SPLIT_V", 3, dtype=dtype),
    "SQUEEZE": lambda dtype: unary("SQUEEZE", 1, 1, 8, dtype=dtype, squeeze_dims=(0,)),
    "STRIDED_SLICE": lambda dtype: strided_slice(dtype=dtype),
    "TILE": lambda dtype: with_numbers("TILE", (1, 1, 1, 4), 1, 8, 8, 1, dtype=dtype),
    "TRANSPOSE": lambda dtype: with_numbers("TRANSPOSE", (1, 8, 4), 0, 2, 1, dtype=dtype),
    "TRANSPOSE_CONV": transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lambda dtype: lstm(dtype=dtype),
    "UNPACK": lambda dtype: split("UNPACK", 1, (1, 2, 8), dtype),
}  # fmt: skip
"""By kind; each takes the element type of the values."""
