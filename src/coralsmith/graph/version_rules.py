"""What asks for an operator version above 1: element types, ranks and options.

Source: TensorFlow's ``lite/tools/versioning/op_version.cc``, whose order the rules keep: the first that applies
decides. Its one rule that is not here asks for version 6 of a FULLY_CONNECTED without bias; the writer stores such
a bias as left out, which every version reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from coralsmith.graph.model import Op, Tensor

Condition = Callable[[Op], bool]
INT8: Final = np.dtype(np.int8)
UINT8: Final = np.dtype(np.uint8)
INT16: Final = np.dtype(np.int16)
INT32: Final = np.dtype(np.int32)
INT64: Final = np.dtype(np.int64)
UINT16: Final = np.dtype(np.uint16)
UINT32: Final = np.dtype(np.uint32)
BOOL: Final = np.dtype(np.bool_)
HALF: Final = np.dtype(np.float16)
DOUBLE: Final = np.dtype(np.float64)
COMPLEX: Final = np.dtype(np.complex64)


@dataclass(frozen=True)
class VersionRule:
    """An operator that `applies` needs `version`, because of `option`."""

    version: int
    option: str
    applies: Condition


def _input(op: Op, position: int = 0) -> Tensor | None:
    return op.inputs[position] if position < len(op.inputs) else None


def _holds(tensor: Tensor | None, *dtypes: np.dtype[Any]) -> bool:
    return tensor is not None and tensor.dtype in dtypes


def _input_of(*dtypes: np.dtype[Any], position: int = 0) -> Condition:
    return lambda op: _holds(_input(op, position), *dtypes)


def _either_end_of(*dtypes: np.dtype[Any]) -> Condition:
    return lambda op: _holds(_input(op), *dtypes) or _holds(op.output, *dtypes)


def _attribute(name: str) -> Condition:
    return lambda op: bool(op.attributes.get(name))


def _all(*conditions: Condition) -> Condition:
    return lambda op: all(condition(op) for condition in conditions)


def _always(_: Op) -> bool:
    return True


def _rank(judge: Callable[[int], bool]) -> Condition:
    def applies(op: Op) -> bool:
        first = _input(op)
        return first is not None and judge(len(first.shape))

    return applies


def _is_per_channel(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.quant is not None and tensor.quant.is_per_channel


def _lacks_scale(op: Op) -> bool:
    first = _input(op)
    return first is not None and first.quant is None


def _is_hybrid(op: Op) -> bool:
    first = _input(op)
    return first is not None and first.is_float and op.output.is_float and _holds(_input(op, 1), INT8)


def _has_weights_per_channel(op: Op) -> bool:
    return _is_per_channel(_input(op, 1))


def _is_grouped(op: Op) -> bool:
    data, weights = _input(op), _input(op, 1)
    return data is not None and weights is not None and weights.shape[-1:] != data.shape[-1:]


def _is_dilated(op: Op) -> bool:
    return any(op.attributes.get(f"dilation_{side}_factor", 1) != 1 for side in "wh")


def _rescales_up(op: Op) -> bool:
    """Whether s1 * s2 / s_out >= 1, which the first two versions of MUL cannot express."""
    quants = [tensor.quant for tensor in (*op.inputs, *op.outputs) if tensor is not None]
    if len(quants) != 3 or any(quant is None for quant in quants):
        return False
    first, second, output = (float(quant.scale[0]) for quant in quants if quant is not None)
    return first * second >= output


def _broadcasts_beyond_four(op: Op) -> bool:
    shapes = [tensor.shape for tensor in op.inputs if tensor is not None]
    return len(set(shapes)) > 1 and max(len(shape) for shape in shapes) > 4


def _is_fused(op: Op) -> bool:
    return op.attributes.get("fused_activation_function", "NONE") != "NONE"


def _is_shuffled(op: Op) -> bool:
    return op.attributes.get("weights_format", "DEFAULT") != "DEFAULT"


def _has_general_int16_scales(op: Op) -> bool:
    return _holds(_input(op), INT16) and not op.attributes.get("pot_scale_int16", True)


def _int8(version: int) -> VersionRule:
    return VersionRule(version, "int8 values", _input_of(INT8))


def _int16(version: int) -> VersionRule:
    return VersionRule(version, "int16 values", _input_of(INT16))


def _raw_int16(version: int) -> VersionRule:
    return VersionRule(version, "int16 values without a scale", _all(_input_of(INT16), _lacks_scale))


def _beyond_four(version: int) -> VersionRule:
    return VersionRule(version, "more than four dimensions", _rank(lambda rank: rank > 4))


def _typed(version: int, *dtypes: np.dtype[Any], position: int = 0) -> VersionRule:
    option = " or ".join(dtype.name for dtype in dtypes) + " values"
    return VersionRule(version, option, _input_of(*dtypes, position=position))


_HYBRID: Final = "int8 weights between float values (dynamic range)"
_HYBRID_PER_CHANNEL: Final = "per-channel int8 weights between float values (dynamic range)"
_is_hybrid_per_channel: Final = _all(_is_hybrid, _has_weights_per_channel)
_has_own_bias_type: Final = _all(_input_of(INT16), _input_of(INT8, position=1), _attribute("quantized_bias_type"))
_BROADCAST: Final = VersionRule(3, "broadcasting beyond four dimensions", _broadcasts_beyond_four)
_HALF_PIXEL: Final = VersionRule(3, "half_pixel_centers", _attribute("half_pixel_centers"))
_ALIGN_CORNERS: Final = VersionRule(3, "align_corners", _attribute("align_corners"))
_INT16_OR_INT8: Final = (_int16(3), _int8(2))
_ONLY_INT8: Final = (_int8(2),)
_PAD: Final = (_beyond_four(4), *_INT16_OR_INT8)
_BLOCKS: Final = (
    _int16(4),
    VersionRule(3, "other than four dimensions", _rank(lambda rank: rank != 4)),
    _int8(2),
)

RULES: Final[dict[str, tuple[VersionRule, ...]]] = {
    "CONV_2D": (
        VersionRule(8, "quantized_bias_type", _has_own_bias_type),
        VersionRule(6, "groups (grouped convolution)", _is_grouped),
        _int16(4),
        _int8(3),
        VersionRule(5, _HYBRID_PER_CHANNEL, _is_hybrid_per_channel),
        VersionRule(2, _HYBRID, _is_hybrid),
    ),
    "DEPTHWISE_CONV_2D": (
        _int16(5),
        VersionRule(6, _HYBRID_PER_CHANNEL, _is_hybrid_per_channel),
        VersionRule(4, _HYBRID, _is_hybrid),
        _int8(3),
        VersionRule(2, "dilation", _is_dilated),
    ),
    "FULLY_CONNECTED": (
        VersionRule(12, _HYBRID_PER_CHANNEL, _is_hybrid_per_channel),
        VersionRule(11, "quantized_bias_type", _has_own_bias_type),
        _int16(7),
        VersionRule(5, "keep_num_dims", _attribute("keep_num_dims")),
        _int8(4),
        VersionRule(9, "asymmetric_quantize_inputs", _all(_is_hybrid, _attribute("asymmetric_quantize_inputs"))),
        VersionRule(3, _HYBRID, _is_hybrid),
        VersionRule(2, "shuffled weights", _is_shuffled),
    ),
    "TRANSPOSE_CONV": (
        VersionRule(4, "a fused activation", _is_fused),
        VersionRule(3, "a bias", lambda op: _input(op, 3) is not None),
        _typed(2, INT8, position=1),
    ),
    "BATCH_MATMUL": (
        *_INT16_OR_INT8,
        VersionRule(4, "asymmetric_quantize_inputs", _all(_is_hybrid, _attribute("asymmetric_quantize_inputs"))),
    ),
    "MUL": (
        _raw_int16(7),
        _typed(7, UINT32),
        _typed(6, COMPLEX),
        _typed(5, INT64),
        _int16(4),
        VersionRule(3, "an output scale below the product of the input scales", _rescales_up),
        _int8(2),
    ),
    "ADD": (
        _raw_int16(5),
        _typed(4, INT64),
        VersionRule(3, "int16 values of any scale", _has_general_int16_scales),
        _int8(2),
    ),
    "SUB": (
        VersionRule(5, "int16 values of any scale", _has_general_int16_scales),
        _typed(4, INT64),
        _BROADCAST,
        _int8(2),
    ),
    "DIV": (VersionRule(2, "broadcasting beyond four dimensions", _broadcasts_beyond_four),),
    "MAXIMUM": (_int16(4), _BROADCAST, _int8(2)),
    "MINIMUM": (_int16(4), _BROADCAST, _int8(2)),
    "FLOOR_DIV": (_typed(3, INT16, INT8), _typed(2, np.dtype(np.float32))),
    "FLOOR_MOD": (_typed(2, INT16, INT8),),
    "RESIZE_BILINEAR": (_int16(4), _HALF_PIXEL, _int8(2)),
    "RESIZE_NEAREST_NEIGHBOR": (_int16(4), _HALF_PIXEL, _ALIGN_CORNERS, _int8(2)),
    "STRIDED_SLICE": (
        VersionRule(8, "offset", _attribute("offset")),
        _typed(7, UINT32),
        VersionRule(6, "ellipsis_mask", _attribute("ellipsis_mask")),
        VersionRule(6, "new_axis_mask", _attribute("new_axis_mask")),
        _beyond_four(4),
        _typed(3, BOOL),
        _int8(2),
    ),
    "SLICE": (_typed(6, UINT32), _beyond_four(5), _int16(4), _int8(2)),
    "TRANSPOSE": (
        VersionRule(6, "more than five dimensions", _rank(lambda rank: rank > 5)),
        _int16(5),
        _beyond_four(4),
        _typed(3, BOOL),
        _int8(2),
    ),
    "SPLIT": (_typed(4, INT16, position=1), _typed(3, INT32, position=1), _typed(2, INT8, position=1)),
    "GATHER": (
        _typed(6, INT16, position=1),
        VersionRule(5, "batch_dims", _attribute("batch_dims")),
        _int16(4),
        _typed(3, BOOL),
        _int8(2),
    ),
    "GATHER_ND": (_typed(5, BOOL), _typed(4, INT16, position=1), _int16(3)),
    "UNPACK": (_typed(2, INT8, UINT8), _typed(3, BOOL), _int16(4)),
    "PACK": (_int8(2), _int16(3), _typed(4, UINT32)),
    "CONCATENATION": (_typed(4, UINT32), *_INT16_OR_INT8),
    "TILE": (_int8(3),),
    "PAD": _PAD,
    "PADV2": _PAD,
    "SPACE_TO_BATCH_ND": _BLOCKS,
    "BATCH_TO_SPACE_ND": _BLOCKS,
    "BROADCAST_TO": (_typed(3, INT8, INT16), VersionRule(2, "its new operator code", _always)),
    "REVERSE_V2": (_int8(3), _typed(2, BOOL)),
    "FILL": (_typed(4, HALF, position=1), _typed(3, INT8, INT16, position=1), _typed(2, BOOL, position=1)),
    "DEQUANTIZE": (
        _typed(3, INT16, HALF),
        VersionRule(5, "per-channel int8 values", _all(_input_of(INT8), lambda op: _is_per_channel(_input(op)))),
        _int8(2),
    ),
    "QUANTIZE": (
        VersionRule(3, "per-channel quantization of an activation", lambda op: _is_per_channel(op.output)),
        VersionRule(2, "int16 values", lambda op: _holds(op.output, INT16)),
    ),
    "CAST": (
        VersionRule(5, "float16 or float64 values", _either_end_of(HALF, DOUBLE)),
        VersionRule(4, "uint16 values", _either_end_of(UINT16)),
        VersionRule(3, "int8 values", _either_end_of(INT8)),
        VersionRule(2, "uint32 values", _either_end_of(UINT32)),
    ),
    "ABS": (
        _typed(5, INT32),
        _raw_int16(4),
        _int16(3),
        _typed(2, INT8, UINT8),
    ),
    "RELU": (_int16(3), _typed(2, INT8, UINT8)),
    "GELU": (_typed(2, INT8, UINT8),),
    "LEAKY_RELU": (_int16(2),),
    "L2_NORMALIZATION": (VersionRule(2, "int8 values", lambda op: _holds(op.output, INT8)),),
    "ARG_MAX": (_typed(3, BOOL), _int8(2)),
    "ARG_MIN": (_typed(3, BOOL), _int8(2)),
    "EQUAL": (_int16(4), _int8(2)),
    "SELECT": (_typed(4, UINT32), _beyond_four(3), _int8(2)),
    "TOPK_V2": (_int16(3), _int8(2)),
    **dict.fromkeys(("EXP", "LOG", "REDUCE_PROD"), (_typed(2, INT8, INT16),)),
    **dict.fromkeys(
        (
            "AVERAGE_POOL_2D", "MAX_POOL_2D", "LOGISTIC", "TANH", "SOFTMAX", "MEAN", "MIRROR_PAD", "REDUCE_MAX",
            "REDUCE_MIN", "RELU6", "RSQRT", "LESS", "GREATER_EQUAL",
        ),
        _INT16_OR_INT8,
    ),
    **dict.fromkeys(
        (
            "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPLIT_V", "SUM", "LOG_SOFTMAX", "GREATER", "LESS_EQUAL",
            "NOT_EQUAL", "SQUARED_DIFFERENCE",
        ),
        _ONLY_INT8,
    ),
}  # fmt: skip
