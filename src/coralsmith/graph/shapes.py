"""The output shapes of the operators that detectors are made of, from their inputs and attributes.

Source: the shape functions that TFLite documents for its kernels. Operators without an entry are not judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from coralsmith.graph.model import Op, Tensor

Shape = tuple[int, ...]


def infer_shapes(op: Op) -> list[Shape] | None:
    """The shapes of the outputs of `op`; None where no rule knows them or an input decides at run time.

    Raises:
        ValueError: The inputs do not fit each other or the attributes.
    """
    rule = _RULES.get(op.kind)
    return None if rule is None else rule(op)


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


def _shape(op: Op, position: int) -> Shape:
    tensor = op.inputs[position]
    if tensor is None:
        raise ValueError(f"input {position} is missing")
    return tensor.shape


def _rank(shape: Shape, rank: int) -> Shape:
    if len(shape) != rank:
        raise ValueError(f"{list(shape)} has not {rank} dimensions")
    return shape


def _values(tensor: Tensor | None) -> list[int] | None:
    return None if tensor is None or tensor.data is None else [int(v) for v in tensor.data.reshape(-1)]


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank} dimensions")
    return axis % rank


def _integer(op: Op, name: str, default: int | None = None) -> int:
    value = op.attributes.get(name, default)
    if not isinstance(value, int):
        raise ValueError(f"the attribute {name} is missing")
    return value


def _window(op: Op, size: Shape, window: tuple[int, int]) -> tuple[int, int]:
    padding = str(op.attributes.get("padding", "SAME"))
    strides = _integer(op, "stride_h"), _integer(op, "stride_w")
    dilations = _integer(op, "dilation_h_factor", 1), _integer(op, "dilation_w_factor", 1)
    height, width = (window_output(size[1 + i], window[i], strides[i], dilations[i], padding) for i in (0, 1))
    return height, width


def _bias_fits(op: Op, channels: int) -> None:
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    if bias is not None and bias.elements != channels:
        raise ValueError(f"{bias.elements} biases for {channels} channels")


def _conv_2d(op: Op) -> list[Shape]:
    data, weights = _rank(_shape(op, 0), 4), _rank(_shape(op, 1), 4)
    if weights[3] == 0 or data[3] % weights[3] or weights[0] % (data[3] // weights[3]):
        raise ValueError(f"{weights[3]} filter channels for {data[3]} input channels")
    _bias_fits(op, weights[0])
    return [(data[0], *_window(op, data, (weights[1], weights[2])), weights[0])]


def _depthwise(op: Op) -> list[Shape]:
    data, weights = _rank(_shape(op, 0), 4), _rank(_shape(op, 1), 4)
    if data[3] == 0 or weights[0] != 1 or weights[3] % data[3]:
        raise ValueError(f"a filter {list(weights)} for {data[3]} input channels")
    _bias_fits(op, weights[3])
    return [(data[0], *_window(op, data, (weights[1], weights[2])), weights[3])]


def _fully_connected(op: Op) -> list[Shape]:
    data, weights = _shape(op, 0), _rank(_shape(op, 1), 2)
    elements = int(np.prod(data, dtype=np.int64))
    if weights[1] == 0 or elements % weights[1]:
        raise ValueError(f"{elements} values for rows of {weights[1]}")
    _bias_fits(op, weights[0])
    if op.attributes.get("keep_num_dims"):
        return [(*data[:-1], weights[0])]
    return [(elements // weights[1], weights[0])]


def _pool(op: Op) -> list[Shape]:
    data = _rank(_shape(op, 0), 4)
    window = _integer(op, "filter_height"), _integer(op, "filter_width")
    return [(data[0], *_window(op, data, window), data[3])]


def _unary(op: Op) -> list[Shape]:
    return [_shape(op, 0)]


def _binary(op: Op) -> list[Shape]:
    return [broadcast(_shape(op, 0), _shape(op, 1))]


def _add_n(op: Op) -> list[Shape]:
    shapes = {_shape(op, i) for i in range(len(op.inputs))}
    if len(shapes) != 1:
        raise ValueError("the summands have different shapes")
    return [shapes.pop()]


def _concatenation(op: Op) -> list[Shape]:
    shapes = [_shape(op, i) for i in range(len(op.inputs))]
    axis = _axis(_integer(op, "axis"), len(shapes[0]))
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) != 1:
        raise ValueError(f"{[list(shape) for shape in shapes]} do not line up along {axis}")
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])]


def _pack(op: Op) -> list[Shape]:
    shapes = [_shape(op, i) for i in range(len(op.inputs))]
    if len(set(shapes)) != 1:
        raise ValueError("the parts have different shapes")
    axis = _axis(_integer(op, "axis"), len(shapes[0]) + 1)
    return [(*shapes[0][:axis], len(shapes), *shapes[0][axis:])]


def _reshape(op: Op) -> list[Shape] | None:
    elements = int(np.prod(_shape(op, 0), dtype=np.int64))
    shape_input = op.inputs[1] if len(op.inputs) > 1 else None
    target = _values(shape_input)
    if target is None and shape_input is None:
        wanted = op.attributes.get("new_shape")
        target = [int(v) for v in wanted] if isinstance(wanted, tuple) else None
    if target is None:
        if op.output.elements != elements:
            raise ValueError(f"{elements} values into {list(op.output.shape)}")
        return None
    known = int(np.prod([v for v in target if v != -1], dtype=np.int64))
    if target.count(-1) > 1 or (known == 0 and -1 in target) or min(target, default=0) < -1:
        raise ValueError(f"{target} is not a shape")
    shape = tuple(elements // known if v == -1 else v for v in target)
    if int(np.prod(shape, dtype=np.int64)) != elements:
        raise ValueError(f"{elements} values into {list(shape)}")
    return [shape]


def _pad(op: Op) -> list[Shape] | None:
    data, pads = _shape(op, 0), _values(op.inputs[1])
    if pads is None:
        return None
    if len(pads) != 2 * len(data) or min(pads, default=0) < 0:
        raise ValueError(f"paddings {pads} for {len(data)} dimensions")
    return [tuple(size + pads[2 * i] + pads[2 * i + 1] for i, size in enumerate(data))]


def _resize(op: Op) -> list[Shape] | None:
    data, size = _rank(_shape(op, 0), 4), _values(op.inputs[1])
    if size is None:
        return None
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"a size of {size}")
    return [(data[0], size[0], size[1], data[3])]


def _transpose(op: Op) -> list[Shape] | None:
    data, order = _shape(op, 0), _values(op.inputs[1])
    if order is None:
        return None
    order = [_axis(axis, len(data)) for axis in order]
    if sorted(order) != list(range(len(data))):
        raise ValueError(f"{order} is not an order of {len(data)} dimensions")
    return [tuple(data[axis] for axis in order)]


def _reduce(op: Op) -> list[Shape] | None:
    data, axes = _shape(op, 0), _values(op.inputs[1])
    if axes is None:
        return None
    reduced = {_axis(axis, len(data)) for axis in axes}
    if op.attributes.get("keep_dims"):
        return [tuple(1 if i in reduced else size for i, size in enumerate(data))]
    return [tuple(size for i, size in enumerate(data) if i not in reduced)]


def _split(op: Op) -> list[Shape] | None:
    axes, data, parts = _values(op.inputs[0]), _shape(op, 1), _integer(op, "num_splits")
    if axes is None:
        return None
    axis = _axis(axes[0], len(data))
    if data[axis] % parts or len(op.outputs) != parts:
        raise ValueError(f"{data[axis]} into {parts} parts and {len(op.outputs)} outputs")
    return [(*data[:axis], data[axis] // parts, *data[axis + 1 :])] * parts


def _unpack(op: Op) -> list[Shape]:
    data = _shape(op, 0)
    axis = _axis(_integer(op, "axis"), len(data))
    if len(op.outputs) != data[axis]:
        raise ValueError(f"{len(op.outputs)} outputs for {data[axis]} parts")
    return [(*data[:axis], *data[axis + 1 :])] * data[axis]


def _prelu(op: Op) -> list[Shape]:
    if broadcast(_shape(op, 0), _shape(op, 1)) != _shape(op, 0):
        raise ValueError("alpha is larger than the input")
    return [_shape(op, 0)]


_RULES: Final[dict[str, Callable[[Op], list[Shape] | None]]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "ADD_N": _add_n,
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "UNPACK": _unpack,
    "RESHAPE": _reshape,
    "PAD": _pad,
    "PADV2": _pad,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "TRANSPOSE": _transpose,
    "SPLIT": _split,
    "PRELU": _prelu,
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"), _reduce),
    **dict.fromkeys(
        ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV", "POW"), _binary
    ),
    **dict.fromkeys(
        (
            "RELU", "RELU6", "RELU_N1_TO_1", "ELU", "LEAKY_RELU", "HARD_SWISH", "GELU", "LOGISTIC", "TANH",
            "SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION", "EXP", "LOG", "SQRT", "RSQRT", "ABS", "NEG", "SQUARE",
            "QUANTIZE", "DEQUANTIZE", "CAST",
        ),
        _unary,
    ),
}  # fmt: skip
