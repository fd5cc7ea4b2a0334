"""The lowest operator version whose semantics cover an operator, and the newest that compiler 16 reads.

Source of the rules: TensorFlow's ``lite/tools/versioning/op_version.cc``. Source of the limits: the refusals of
the Edge TPU compiler recorded in docs/supported-ops.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.model import Op, Tensor

INT8: Final = np.dtype(np.int8)
INT16: Final = np.dtype(np.int16)


@dataclass(frozen=True)
class VersionRule:
    """An operator that `applies` needs `version`, because of `option`."""

    version: int
    option: str
    applies: Callable[[Op], bool]


def _dtype_at(position: int, dtype: np.dtype[np.generic]) -> Callable[[Op], bool]:
    def applies(op: Op) -> bool:
        tensor = op.inputs[position] if position < len(op.inputs) else None
        return tensor is not None and tensor.dtype == dtype

    return applies


def _attribute(name: str) -> Callable[[Op], bool]:
    return lambda op: bool(op.attributes.get(name))


def _rank_above(limit: int) -> Callable[[Op], bool]:
    return lambda op: len(_first(op).shape) > limit


def _first(op: Op) -> Tensor:
    tensor = op.inputs[0]
    assert tensor is not None, "the verifier requires the first input"
    return tensor


def _is_hybrid(op: Op) -> bool:
    weights = op.inputs[1]
    return _first(op).is_float and weights is not None and weights.dtype == INT8


def _is_grouped(op: Op) -> bool:
    weights = op.inputs[1]
    return weights is not None and weights.shape[-1] != _first(op).shape[-1]


def _is_per_channel(op: Op) -> bool:
    quant = op.output.quant
    return quant is not None and quant.is_per_channel


def _rescales_up(op: Op) -> bool:
    """Whether s1 * s2 / s_out >= 1, which the first two versions of MUL cannot express."""
    quants = [tensor.quant for tensor in (*op.inputs, *op.outputs) if tensor is not None]
    if len(quants) != 3 or any(quant is None for quant in quants):
        return False
    first, second, output = (float(quant.scale[0]) for quant in quants if quant is not None)
    return first * second / output >= 1.0


def _broadcasts_beyond_four(op: Op) -> bool:
    shapes = [tensor.shape for tensor in op.inputs if tensor is not None]
    return len(set(shapes)) > 1 and max(len(shape) for shape in shapes) > 4


def _has_bias(op: Op) -> bool:
    return len(op.inputs) > 3 and op.inputs[3] is not None


_INT8_2: Final = VersionRule(2, "int8 values", _dtype_at(0, INT8))
_INT16_3: Final = VersionRule(3, "int16 values", _dtype_at(0, INT16))
_POINTWISE: Final = (_INT16_3, _INT8_2)
_BROADCAST: Final = VersionRule(3, "broadcasting beyond four dimensions", _broadcasts_beyond_four)
_PAD: Final = (VersionRule(4, "more than four dimensions", _rank_above(4)), _INT16_3, _INT8_2)
_RESIZE_INT16: Final = VersionRule(4, "int16 values", _dtype_at(0, INT16))
_HALF_PIXEL: Final = VersionRule(3, "half_pixel_centers", _attribute("half_pixel_centers"))

RULES: Final[dict[str, tuple[VersionRule, ...]]] = {
    "CONV_2D": (
        VersionRule(8, "quantized_bias_type", _attribute("quantized_bias_type")),
        VersionRule(6, "groups (grouped convolution)", _is_grouped),
        VersionRule(4, "int16 values", _dtype_at(0, INT16)),
        VersionRule(5, "int8 weights between float values (dynamic range)", _is_hybrid),
        VersionRule(3, "int8 values", _dtype_at(0, INT8)),
    ),
    "DEPTHWISE_CONV_2D": (
        VersionRule(5, "int16 values", _dtype_at(0, INT16)),
        VersionRule(6, "int8 weights between float values (dynamic range)", _is_hybrid),
        VersionRule(3, "int8 values", _dtype_at(0, INT8)),
        VersionRule(
            2,
            "dilation",
            lambda op: (op.attributes["dilation_w_factor"], op.attributes["dilation_h_factor"]) != (1, 1),
        ),
    ),
    "FULLY_CONNECTED": (
        VersionRule(12, "per-channel int8 weights between float values (dynamic range)", _is_hybrid),
        VersionRule(11, "quantized_bias_type", _attribute("quantized_bias_type")),
        VersionRule(7, "int16 values", _dtype_at(0, INT16)),
        VersionRule(5, "keep_num_dims", _attribute("keep_num_dims")),
        VersionRule(4, "int8 values", _dtype_at(0, INT8)),
        VersionRule(2, "shuffled weights", lambda op: op.attributes.get("weights_format") != "DEFAULT"),
    ),
    "TRANSPOSE_CONV": (
        VersionRule(5, "quantized_bias_type", _attribute("quantized_bias_type")),
        VersionRule(
            4,
            "a fused activation",
            lambda op: op.attributes.get("fused_activation_function", "NONE") != "NONE",
        ),
        VersionRule(3, "a bias", _has_bias),
        VersionRule(2, "int8 values", _dtype_at(1, INT8)),
    ),
    "MUL": (
        VersionRule(5, "int64 values", _dtype_at(0, np.dtype(np.int64))),
        VersionRule(4, "int16 values", _dtype_at(0, INT16)),
        VersionRule(3, "an output scale below the product of the input scales", _rescales_up),
        _INT8_2,
    ),
    "ADD": (VersionRule(4, "int64 values", _dtype_at(0, np.dtype(np.int64))), *_POINTWISE),
    "SUB": (VersionRule(5, "int16 values", _dtype_at(0, INT16)), _BROADCAST, _INT8_2),
    "DIV": (VersionRule(2, "broadcasting beyond four dimensions", _broadcasts_beyond_four),),
    "MAXIMUM": (_BROADCAST, _INT8_2),
    "MINIMUM": (_BROADCAST, _INT8_2),
    "RESIZE_BILINEAR": (_RESIZE_INT16, _HALF_PIXEL, _INT8_2),
    "RESIZE_NEAREST_NEIGHBOR": (
        _RESIZE_INT16,
        _HALF_PIXEL,
        VersionRule(3, "align_corners", _attribute("align_corners")),
        _INT8_2,
    ),
    "STRIDED_SLICE": (
        VersionRule(8, "offset", _attribute("offset")),
        VersionRule(6, "ellipsis_mask or new_axis_mask", lambda op: _has_unusual_mask(op)),
        VersionRule(4, "more than four dimensions", _rank_above(4)),
        _INT8_2,
    ),
    "SLICE": (
        VersionRule(5, "more than four dimensions", _rank_above(4)),
        VersionRule(4, "int16 values", _dtype_at(0, INT16)),
        _INT8_2,
    ),
    "TRANSPOSE": (
        VersionRule(6, "more than five dimensions", _rank_above(5)),
        VersionRule(5, "int16 values", _dtype_at(0, INT16)),
        VersionRule(4, "more than four dimensions", _rank_above(4)),
        _INT8_2,
    ),
    "SPLIT": (
        VersionRule(4, "int16 values", _dtype_at(1, INT16)),
        VersionRule(2, "int8 values", _dtype_at(1, INT8)),
    ),
    "GATHER": (VersionRule(5, "batch_dims", _attribute("batch_dims")), _INT8_2),
    "TILE": (VersionRule(3, "int8 values", _dtype_at(0, INT8)),),
    "DEQUANTIZE": (
        VersionRule(3, "int16 or float16 values", lambda op: _first(op).dtype in (INT16, np.float16)),
        _INT8_2,
    ),
    "QUANTIZE": (
        VersionRule(3, "per-channel quantization of an activation", _is_per_channel),
        VersionRule(2, "int16 values", lambda op: op.output.dtype == INT16),
    ),
    "RELU": (_INT16_3, _INT8_2),
    "UNPACK": (
        VersionRule(2, "8-bit values", lambda op: _first(op).dtype in (INT8, np.dtype(np.uint8))),
    ),
    "LEAKY_RELU": (VersionRule(2, "int16 values", _dtype_at(0, INT16)),),
    "L2_NORMALIZATION": (VersionRule(2, "int8 values", lambda op: op.output.dtype == INT8),),
    "CONCATENATION": _POINTWISE,
    "PACK": _POINTWISE,
    "PAD": _PAD,
    "PADV2": _PAD,
    **dict.fromkeys(
        (
            "AVERAGE_POOL_2D", "MAX_POOL_2D", "LOGISTIC", "TANH", "SOFTMAX", "LOG_SOFTMAX", "MEAN", "SUM",
            "REDUCE_MAX", "REDUCE_MIN", "RELU6", "RELU_N1_TO_1", "MIRROR_PAD", "RSQRT", "SPACE_TO_DEPTH",
            "DEPTH_TO_SPACE", "ARG_MAX",
        ),
        _POINTWISE,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class VersionLimit:
    """The newest version of an operator that the compiler reads, and how that is known."""

    newest: int
    evidence: str


_REFUSED: Final = "seen in refusals of compiler 16: Didn't find op for builtin opcode"
COMPILER_LIMITS: Final[dict[str, VersionLimit]] = {
    "CONV_2D": VersionLimit(4, f"{_REFUSED} CONV_2D version 5 and 6 (google-coral/edgetpu 631)"),
    "FULLY_CONNECTED": VersionLimit(8, "version 9 reported as 'Operation version not supported' by one user"),
    "QUANTIZE": VersionLimit(2, f"{_REFUSED} QUANTIZE version 3 (google-coral/edgetpu 845)"),
    "TRANSPOSE_CONV": VersionLimit(3, "inferred: an older TFLite register accepts up to 3; 4 was refused"),
    "LEAKY_RELU": VersionLimit(2, "inferred from an older TFLite register"),
    "EXP": VersionLimit(1, f"{_REFUSED} EXP version 2"),
    "REVERSE_V2": VersionLimit(2, f"{_REFUSED} REVERSE_V2 version 3"),
}


def _has_unusual_mask(op: Op) -> bool:
    return bool(op.attributes.get("ellipsis_mask")) or bool(op.attributes.get("new_axis_mask"))


def lowest_version(op: Op) -> int:
    """The lowest version that has the semantics of `op`; 1 for operators without a rule."""
    rule = version_rule(op)
    return rule.version if rule else 1


def version_rule(op: Op) -> VersionRule | None:
    """The rule that asks for a version above 1, if one applies."""
    if op.kind not in RULES:
        return None
    return next((rule for rule in RULES[op.kind] if rule.applies(op)), None)


def legal_version(op: Op) -> int:
    """The lowest version of `op`, provided that compiler 16 reads it.

    Raises:
        UnsupportedModelError: The semantics of `op` need a newer version; the error names the option.
    """
    rule = version_rule(op)
    version = rule.version if rule else 1
    limit = COMPILER_LIMITS.get(op.kind)
    if rule is not None and limit is not None and version > limit.newest:
        raise UnsupportedModelError(
            f"{op.kind} '{op.name}' needs operator version {version} because of {rule.option}; "
            f"the Edge TPU compiler reads up to version {limit.newest}.",
            hint=f"Change the model so that it does without {rule.option}.",
        )
    return version
