"""What the int8 kernels of TFLite ask of scales and zero points, operator by operator, as data.

Source: the TFLite 8-bit quantization specification and the kernels' own checks. Operators that are not listed
have no int8 kernel that coralsmith relies on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coralsmith.graph import Op, Quant, Tensor


@dataclass(frozen=True)
class WeightRule:
    """Where an operator's weights and bias stand, and along which dimension its output channels lie.

    Attributes:
        input: Position of the activation.
        weights: Position of the weights.
        bias: Position of the bias.
        channel_axis: Dimension of `weights` that has one scale per output channel.
        per_channel: Whether per-channel scales are written at all; readers of 2021 take only the first scale
            of FULLY_CONNECTED weights, so those are always per-tensor.
    """

    input: int
    weights: int
    bias: int
    channel_axis: int
    per_channel: bool = True


WEIGHTED: Final = {
    "CONV_2D": WeightRule(0, 1, 2, 0),
    "DEPTHWISE_CONV_2D": WeightRule(0, 1, 2, 3),
    "FULLY_CONNECTED": WeightRule(0, 1, 2, 0, per_channel=False),
    "TRANSPOSE_CONV": WeightRule(2, 1, 3, 0),
}

# The output, and every activation, have one scale: the kernel moves integers without rescaling them.
SAME_SCALE: Final = frozenset(
    {
        "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "PAD", "MIRROR_PAD", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT",
        "SPLIT_V", "UNPACK", "GATHER", "TILE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "REDUCE_MAX", "REDUCE_MIN",
        "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "PADV2", "CONCATENATION", "PACK", "MAXIMUM", "MINIMUM",
    }
)  # fmt: skip

# Operators of SAME_SCALE that join several values: there a producer may have to give up resolution.
JOINING: Final = frozenset({"CONCATENATION", "PACK", "MAXIMUM", "MINIMUM", "PADV2"})

# Inputs and output have scales of their own; the kernel rescales.
FREE_SCALE: Final = frozenset(
    {
        "ADD", "SUB", "MUL", "SQUARED_DIFFERENCE", "RELU", "RELU6", "RELU_N1_TO_1", "PRELU", "LEAKY_RELU",
        "HARD_SWISH", "MEAN", "SUM", "RSQRT", "QUANTIZE",
    }
)  # fmt: skip

# The kernel computes into one fixed scale.
FIXED_OUTPUT: Final = {
    "LOGISTIC": Quant.per_tensor(1 / 256, -128),
    "SOFTMAX": Quant.per_tensor(1 / 256, -128),
    "TANH": Quant.per_tensor(1 / 128, 0),
    "L2_NORMALIZATION": Quant.per_tensor(1 / 128, 0),
    "LOG_SOFTMAX": Quant.per_tensor(16 / 256, 127),
}

# Positions of constants that are shapes, axes or indices and never quantized.
_INDEX_INPUTS: Final = {"SPLIT": (0,), "TRANSPOSE_CONV": (0,)}
_VALUE_INPUTS: Final = {"PADV2": (0, 2)}
_ALL_VALUES: Final = JOINING | FREE_SCALE


def is_supported(kind: str) -> bool:
    """Whether coralsmith knows how to run this kind of operator in int8."""
    return kind in WEIGHTED or kind in SAME_SCALE or kind in FREE_SCALE or kind in FIXED_OUTPUT


def value_inputs(op: Op) -> list[tuple[int, Tensor]]:
    """The inputs of `op` that carry real values (activations and constants), with their positions.

    Weights, biases, shapes, axes and indices are left out.
    """
    present = [(i, tensor) for i, tensor in enumerate(op.inputs) if tensor is not None]
    if op.kind in WEIGHTED:
        return [(i, tensor) for i, tensor in present if i == WEIGHTED[op.kind].input]
    if op.kind in _VALUE_INPUTS:
        return [(i, tensor) for i, tensor in present if i in _VALUE_INPUTS[op.kind]]
    if op.kind in _ALL_VALUES:
        return present
    skipped = _INDEX_INPUTS.get(op.kind, ())
    return [(i, tensor) for i, tensor in present if i not in skipped][:1]
