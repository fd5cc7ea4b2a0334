"""What passes look for in an operator and its surroundings, and the tables of operators alike."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.graph import Array, Attribute, Op, Tensor
from coralsmith.graph.shapes import same_padding

Shape = tuple[int, ...]

LINEAR: Final = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
ELEMENTWISE: Final = (
    "ABS", "CAST", "DEQUANTIZE", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC", "NEG",
    "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "RSQRT", "SQRT", "SQUARE", "TANH",
)  # fmt: skip
ARITHMETIC: Final = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
NO_ACTIVATION: Final = "NONE"


def integers(tensor: Tensor | None) -> Shape | None:
    """The values of an integer constant; None for anything else."""
    if tensor is None or tensor.data is None or tensor.dtype.kind not in "iu":
        return None
    return tuple(int(value) for value in tensor.data.reshape(-1))


def shape_constant(name: str, values: tuple[int, ...]) -> Tensor:
    """A constant int32 vector: a shape, a permutation, paddings."""
    return Tensor.constant(name, np.array(values, np.int32))


def integer_attribute(op: Op, name: str, default: int = 1) -> int:
    """An integer attribute."""
    value = op.attributes.get(name, default)
    return value if isinstance(value, int) else default


def fused_activation(op: Op) -> str:
    """The activation that `op` applies to its own result."""
    return str(op.attributes.get("fused_activation_function") or NO_ACTIVATION)


def is_float(op: Op) -> bool:
    """Whether `op` computes with real numbers."""
    return bool(op.outputs) and all(t.dtype == np.float32 for t in (*op.activations(), *op.outputs))


def with_constant(op: Op) -> tuple[Tensor, Tensor] | None:
    """The activation and the constant of a two-input operator that has one of each.

    The constant of SUB and DIV must be the second operand: only then is the operator linear in the other.
    """
    first, second = op.inputs[0], op.inputs[1]
    if first is None or second is None or first.is_constant == second.is_constant:
        return None
    if second.is_constant:
        return first, second
    return None if op.kind in ("SUB", "DIV") else (second, first)


def per_channel(constant: Tensor, channels: int) -> NDArray[np.float64] | None:
    """A constant as one number per channel of the last dimension, [channels]; None where it is not that."""
    if constant.data is None or constant.dtype.kind != "f":
        return None
    if constant.elements == 1:
        return np.full(channels, constant.data.reshape(-1)[0], np.float64)
    if constant.elements == channels and constant.shape[-1] == channels:
        return constant.data.reshape(-1).astype(np.float64)
    return None


def scalar(tensor: Tensor | None) -> float | None:
    """The value of a float constant with one element; None for anything else."""
    if tensor is None or tensor.data is None or tensor.elements != 1 or not tensor.is_float:
        return None
    return float(tensor.data.reshape(-1)[0])


def same_quant(first: Tensor, second: Tensor) -> bool:
    """Whether equal elements of both mean equal numbers."""
    if first.dtype != second.dtype:
        return False
    return first.quant is second.quant or (first.quant is not None and first.quant.same_as(second.quant))


def rank_is_supported(shape: Shape) -> bool:
    """Whether the Edge TPU takes a tensor of this shape: only the three innermost dimensions exceed 1.

    Source: the compiler's status "Tensor has unsupported rank (up to 3 innermost dimensions mapped)".
    """
    return all(size == 1 for size in shape[:-3])


def window(op: Op) -> tuple[int, int]:
    """Height and width of the window of a convolution or pooling."""
    if op.kind.endswith("POOL_2D"):
        return integer_attribute(op, "filter_height"), integer_attribute(op, "filter_width")
    weights = op.required_input("filter")
    return weights.shape[1], weights.shape[2]


def same_paddings(op: Op, size: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns that SAME would put around an input of this shape [1, height, width, channels]."""
    strides = integer_attribute(op, "stride_h"), integer_attribute(op, "stride_w")
    dilations = integer_attribute(op, "dilation_h_factor"), integer_attribute(op, "dilation_w_factor")
    rows, columns = (same_padding(size[1 + i], window(op)[i], strides[i], dilations[i]) for i in (0, 1))
    return rows, columns


def pads_with_zeros(op: Op) -> bool:
    """Whether zeros of a SAME padding take part in a convolution."""
    if op.kind == "FULLY_CONNECTED" or op.attributes.get("padding") != "SAME":
        return False
    rows, columns = same_paddings(op, op.required_input("input").shape)
    return (*rows, *columns) != (0, 0, 0, 0)


def input_channels(op: Op) -> int:
    """Number of input channels that the weights of a linear operator speak of, one by one."""
    weights = op.required_input("filter").shape
    return op.required_input("input").shape[-1] if op.kind == "DEPTHWISE_CONV_2D" else weights[-1]


def float_weights(op: Op) -> tuple[Array, Array] | None:
    """Weights and bias (zeros where it is left out) of a linear float operator; None where not constant."""
    weights, bias = op.required_input("filter"), op.input("bias")
    if weights.data is None or weights.dtype != np.float32 or (bias is not None and bias.data is None):
        return None
    outputs = op.output.shape[-1]
    values = np.zeros(outputs, np.float32) if bias is None or bias.data is None else bias.data
    return weights.data, values.reshape(outputs)


def arithmetic(kind: str, first: Tensor, second: Tensor, output: Tensor, activation: str = NO_ACTIVATION) -> Op:
    """ADD, SUB or MUL of two tensors."""
    return Op(kind, [first, second], [output], {"fused_activation_function": activation})


def reshape(source: Tensor, output: Tensor) -> Op:
    """RESHAPE to the shape of `output`."""
    return Op("RESHAPE", [source, shape_constant(f"{output.name}/shape", output.shape)], [output])


def with_attributes(op: Op, **changed: Attribute) -> dict[str, Any]:
    """The attributes of `op` with some of them changed."""
    return {**op.attributes, **changed}
