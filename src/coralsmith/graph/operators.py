"""The operator table: for each builtin operator the names of its inputs and the schema table of its options.

Source: the TFLite schema and the operator documentation. Operators that are not listed are read, kept and
written unchanged; only their inputs have no names.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

VALUES: Final = ("input", "input1", "input2", "alpha", "value")
"""Names of inputs that are computed with, all of one element type."""

_DATA: Final = ("filter", "bias", "indices", "condition")


@dataclass(frozen=True)
class OperatorSpec:
    """What the schema says of one builtin operator.

    Attributes:
        inputs: Names of the inputs by position.
        options: Schema table of the attributes, or None for an operator without options.
        required: How many of the inputs must be there.
        variadic: Whether any number of inputs (at least `required`) is allowed.
    """

    inputs: tuple[str, ...]
    options: str | None = None
    required: int = 1
    variadic: bool = False

    @property
    def sizes(self) -> tuple[str, ...]:
        """The inputs that are no values but decide the output's shape: axes, sizes, paddings."""
        return tuple(role for role in self.inputs if role not in (*VALUES, *_DATA))


_CONVOLUTION = ("input", "filter", "bias")
_POOL = OperatorSpec(("input",), "Pool2DOptions")
_REDUCE = OperatorSpec(("input", "axis"), "ReducerOptions", 2)
_PLAIN = OperatorSpec(("input",))


def _unary(options: str) -> OperatorSpec:
    return OperatorSpec(("input",), options)


def _binary(options: str) -> OperatorSpec:
    return OperatorSpec(("input1", "input2"), options, 2)


OPERATORS: Final = MappingProxyType(
    {
        "CONV_2D": OperatorSpec(_CONVOLUTION, "Conv2DOptions", 2),
        "DEPTHWISE_CONV_2D": OperatorSpec(_CONVOLUTION, "DepthwiseConv2DOptions", 2),
        "FULLY_CONNECTED": OperatorSpec(_CONVOLUTION, "FullyConnectedOptions", 2),
        "TRANSPOSE_CONV": OperatorSpec(("output_shape", "filter", "input", "bias"), "TransposeConvOptions", 3),
        "ADD": _binary("AddOptions"),
        "SUB": _binary("SubOptions"),
        "MUL": _binary("MulOptions"),
        "DIV": _binary("DivOptions"),
        "MAXIMUM": _binary("MaximumMinimumOptions"),
        "MINIMUM": _binary("MaximumMinimumOptions"),
        "SQUARED_DIFFERENCE": _binary("SquaredDifferenceOptions"),
        "FLOOR_DIV": _binary("FloorDivOptions"),
        "POW": _binary("PowOptions"),
        "ADD_N": OperatorSpec((), "AddNOptions", 1, variadic=True),
        "CONCATENATION": OperatorSpec((), "ConcatenationOptions", 1, variadic=True),
        "PACK": OperatorSpec((), "PackOptions", 1, variadic=True),
        "AVERAGE_POOL_2D": _POOL,
        "MAX_POOL_2D": _POOL,
        "RESHAPE": OperatorSpec(("input", "shape"), "ReshapeOptions"),
        "SQUEEZE": _unary("SqueezeOptions"),
        "EXPAND_DIMS": OperatorSpec(("input", "axis"), "ExpandDimsOptions", 2),
        "PAD": OperatorSpec(("input", "paddings"), "PadOptions", 2),
        "PADV2": OperatorSpec(("input", "paddings", "value"), "PadV2Options", 3),
        "MIRROR_PAD": OperatorSpec(("input", "paddings"), "MirrorPadOptions", 2),
        "TRANSPOSE": OperatorSpec(("input", "permutation"), "TransposeOptions", 2),
        "STRIDED_SLICE": OperatorSpec(("input", "begin", "end", "strides"), "StridedSliceOptions", 4),
        "SLICE": OperatorSpec(("input", "begin", "size"), "SliceOptions", 3),
        "SPLIT": OperatorSpec(("axis", "input"), "SplitOptions", 2),
        "SPLIT_V": OperatorSpec(("input", "sizes", "axis"), "SplitVOptions", 3),
        "UNPACK": _unary("UnpackOptions"),
        "GATHER": OperatorSpec(("input", "indices"), "GatherOptions", 2),
        "TILE": OperatorSpec(("input", "multiples"), "TileOptions", 2),
        "MEAN": _REDUCE,
        "SUM": _REDUCE,
        "REDUCE_MAX": _REDUCE,
        "REDUCE_MIN": _REDUCE,
        "REDUCE_PROD": _REDUCE,
        "RESIZE_BILINEAR": OperatorSpec(("input", "size"), "ResizeBilinearOptions", 2),
        "RESIZE_NEAREST_NEIGHBOR": OperatorSpec(("input", "size"), "ResizeNearestNeighborOptions", 2),
        "SPACE_TO_DEPTH": _unary("SpaceToDepthOptions"),
        "DEPTH_TO_SPACE": _unary("DepthToSpaceOptions"),
        "SPACE_TO_BATCH_ND": OperatorSpec(("input", "block_shape", "paddings"), "SpaceToBatchNDOptions", 3),
        "BATCH_TO_SPACE_ND": OperatorSpec(("input", "block_shape", "crops"), "BatchToSpaceNDOptions", 3),
        "SOFTMAX": _unary("SoftmaxOptions"),
        "LOG_SOFTMAX": _unary("LogSoftmaxOptions"),
        "LEAKY_RELU": _unary("LeakyReluOptions"),
        "GELU": _unary("GeluOptions"),
        "HARD_SWISH": _unary("HardSwishOptions"),
        "L2_NORMALIZATION": _unary("L2NormOptions"),
        "PRELU": OperatorSpec(("input", "alpha"), None, 2),
        "LOGISTIC": _PLAIN,
        "TANH": _PLAIN,
        "RELU": _PLAIN,
        "RELU6": _PLAIN,
        "RELU_N1_TO_1": _PLAIN,
        "ELU": _PLAIN,
        "EXP": _unary("ExpOptions"),
        "LOG": _PLAIN,
        "SQRT": _PLAIN,
        "RSQRT": _PLAIN,
        "ABS": _unary("AbsOptions"),
        "NEG": _unary("NegOptions"),
        "SQUARE": _unary("SquareOptions"),
        "QUANTIZE": _unary("QuantizeOptions"),
        "DEQUANTIZE": _unary("DequantizeOptions"),
        "CAST": _unary("CastOptions"),
        "SHAPE": _unary("ShapeOptions"),
        "RANK": _unary("RankOptions"),
        "FILL": OperatorSpec(("dims", "value"), "FillOptions", 2),
        "ARG_MAX": OperatorSpec(("input", "axis"), "ArgMaxOptions", 2),
        "ARG_MIN": OperatorSpec(("input", "axis"), "ArgMinOptions", 2),
        "REDUCE_ANY": _REDUCE,
        "REDUCE_ALL": _REDUCE,
        "REVERSE_V2": OperatorSpec(("input", "axis"), "ReverseV2Options", 2),
        "CUMSUM": OperatorSpec(("input", "axis"), "CumsumOptions", 2),
        "BROADCAST_TO": OperatorSpec(("input", "shape"), "BroadcastToOptions", 2),
        "GATHER_ND": OperatorSpec(("input", "indices"), "GatherNdOptions", 2),
        "SELECT": OperatorSpec(("condition", "input1", "input2"), "SelectOptions", 3),
        "SELECT_V2": OperatorSpec(("condition", "input1", "input2"), "SelectV2Options", 3),
        "EQUAL": _binary("EqualOptions"),
        "NOT_EQUAL": _binary("NotEqualOptions"),
        "GREATER": _binary("GreaterOptions"),
        "GREATER_EQUAL": _binary("GreaterEqualOptions"),
        "LESS": _binary("LessOptions"),
        "LESS_EQUAL": _binary("LessEqualOptions"),
        "LOGICAL_AND": _binary("LogicalAndOptions"),
        "LOGICAL_OR": _binary("LogicalOrOptions"),
        "LOGICAL_NOT": _unary("LogicalNotOptions"),
        "FLOOR_MOD": _binary("FloorModOptions"),
        "ZEROS_LIKE": _unary("ZerosLikeOptions"),
        "SIGN": _unary("SignOptions"),
        "SIN": _PLAIN,
        "COS": _unary("CosOptions"),
        "CEIL": _PLAIN,
        "FLOOR": _PLAIN,
        "ROUND": _PLAIN,
    }
)
