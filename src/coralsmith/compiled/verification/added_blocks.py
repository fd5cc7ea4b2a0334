"""What stands in a program beside the constants of the operators, as far as it is known."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from coralsmith.compiled.program import RequantBlock
from coralsmith.compiled.requantization import SOFTMAX_CLAMP, zero_point
from coralsmith.compiled.verification.source_layers import LAYER_KINDS
from coralsmith.graph.model import Graph, Op, Tensor

_STEPS: Final = 255
_CLAMP_ROUNDING: Final = 1e-3  # of a step: clamps go to real numbers and back
_ONE_ROUNDING: Final = 2e-7  # the float32 before 1 and the one behind it occur
_PADDERS: Final = frozenset({"PAD", "PADV2", "MIRROR_PAD", "TRANSPOSE_CONV"})
_MOVERS: Final = frozenset({"RESHAPE", "CONCATENATION", "MAX_POOL_2D", "SOFTMAX"})
_SOFTMAX_UNIT: Final = 1.19214e-07
_SOFTMAX_UNIT_ROUNDING: Final = 1e-12


def is_added(block: RequantBlock, kinds: Collection[str]) -> bool:
    """Whether the compiler is known to write such a block beside those of the operators.

    It moves values and changes none (a factor of 1, clamps that cut nothing), or is a step of a SOFTMAX.

    Source: every run of blocks without an owner in 8 files of min_runtime 14; no other file has any.

    Args:
        block: The constants.
        kinds: Kinds of the operators on the Edge TPU.
    """
    is_one = abs(block.multiplier - 1) < _ONE_ROUNDING
    if is_one and block.clamp_min == float(SOFTMAX_CLAMP) and block.clamp_max == 0:
        return "SOFTMAX" in kinds
    zero = block.output_zero_point
    cuts = abs(block.clamp_min + zero), abs(block.clamp_max - (_STEPS - zero))
    if max(cuts) > _CLAMP_ROUNDING:
        return False
    if abs(block.multiplier - _SOFTMAX_UNIT) < _SOFTMAX_UNIT_ROUNDING:
        return "SOFTMAX" in kinds
    return is_one and block.input_zero_point in (0, zero) and not _MOVERS.isdisjoint(kinds)


def padding_values(graph: Graph) -> set[int]:
    """The zero points, in the uint8 domain, of the tensors that a source pads.

    Source: no other value in all programs of 20 pairs and a split SSD, 9 different ones in one of them.
    """
    padders = (op for op in graph.ops if _pads(op))
    return {value for op in padders for tensor in op.activations() if (value := _zero_point(tensor)) is not None}


def _pads(op: Op) -> bool:
    """Whether an operator may read beyond the edges of its input."""
    if op.attributes.get("padding") != "SAME":
        return op.kind in _PADDERS
    weights = op.input("filter") if op.kind in LAYER_KINDS else None
    return weights is None or weights.shape[1:3] != (1, 1)


def _zero_point(tensor: Tensor) -> int | None:
    try:
        return zero_point(tensor)
    except ValueError:  # not quantized to 8 bits: not on the Edge TPU
        return None
