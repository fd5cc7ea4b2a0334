"""What LiteRT's kernels take on trust: where it does not hold they end the process instead of raising an error.

Each limit was found by the fuzz run in ``benchmarks/fuzz`` with LiteRT 2.3; its evidence says how it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.operators import OPERATORS
from coralsmith.graph.postprocess_limits import CUSTOM_CODE, postprocess_breach

_MULTIPLIER_CHECK: Final = "SIGABRT in QuantizeMultiplierSmallerThanOneExp"


@dataclass(frozen=True)
class KernelLimit:
    """Operators of `kinds` must hold a condition.

    Attributes:
        kinds: Operator names.
        reason: What is wrong where the condition does not hold.
        holds: The condition.
        evidence: What happens otherwise.
    """

    kinds: frozenset[str]
    reason: str
    holds: Callable[[Op], bool]
    evidence: str


def _has_moderate_scales(op: Op) -> bool:
    """Quotients of two scales, a million times smaller, are still single-precision numbers above 0."""
    weights = [op.input(role) for role in OPERATORS[op.kind].inputs if role in ("filter", "bias")]
    scales = [_scale(tensor) for tensor in (*op.inputs, *op.outputs) if tensor not in weights]
    return all(scale is None or 2.0**-50 <= scale <= 2.0**50 for scale in scales)


def _sum_rescales_down(op: Op) -> bool:
    """Sums are taken of inputs shifted by 20 bits: 2 s_in / (2^20 s_out) < 1."""
    output = _scale(op.output)
    return output is None or _largest_input_scale(op) < output * 2.0**19


def _square_rescales_down(op: Op) -> bool:
    """Squares are taken of inputs shifted by 7 bits: (2 s_in)^2 / (2^14 s_out) < 1."""
    output = _scale(op.output)
    return output is None or _largest_input_scale(op) ** 2 < output * 2.0**12


def _inputs_rescale_down(op: Op) -> bool:
    return _largest_input_scale(op) < 1


def _largest_input_scale(op: Op) -> float:
    return max((_scale(tensor) or 0.0 for tensor in op.inputs), default=0.0)


def _scale(tensor: Tensor | None) -> float | None:
    if tensor is None or tensor.quant is None or tensor.is_float:
        return None
    return float(tensor.quant.scale[0])


KERNEL_LIMITS: Final = (
    KernelLimit(
        frozenset(OPERATORS), "one of its scales is beyond all measure", _has_moderate_scales, _MULTIPLIER_CHECK
    ),
    KernelLimit(
        frozenset({"DEPTHWISE_CONV_2D"}), "it has no bias", lambda op: op.input("bias") is not None, "SIGSEGV"
    ),
    KernelLimit(
        frozenset({"RESHAPE"}), "its shape is listed but left out", lambda op: None not in op.inputs, "SIGSEGV"
    ),
    KernelLimit(
        frozenset({"STRIDED_SLICE"}),
        "its ends are given as offsets",
        lambda op: not op.attributes.get("offset"),
        "SIGSEGV",
    ),
    KernelLimit(
        frozenset({"ADD", "SUB"}),
        "the scale of its output is a millionth of that of an input",
        _sum_rescales_down,
        _MULTIPLIER_CHECK,
    ),
    KernelLimit(
        frozenset({"SQUARED_DIFFERENCE"}),
        "the scale of its output is thousands of times smaller than the square of that of an input",
        _square_rescales_down,
        _MULTIPLIER_CHECK,
    ),
    KernelLimit(
        frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"}),
        "it compares integers whose scale is not below 1",
        _inputs_rescale_down,
        _MULTIPLIER_CHECK,
    ),
)


def breached_limits(graph: Graph) -> Iterator[str]:
    """Where the interpreter could end the process, each in one phrase; nothing for a graph that can be run."""
    settled: set[Tensor | None] = {None}
    for op in graph.ops:
        settled.update(tensor for tensor in op.inputs if tensor is not None and tensor.is_constant)
        reason = _breach(op) or _left_to_the_input(op, settled)
        if reason:
            yield f"{op.custom_code or op.kind} '{op.name}': {reason}"
        if op.kind == "SHAPE" or settled.issuperset(op.inputs):
            settled.update(op.outputs)


def _breach(op: Op) -> str:
    if op.kind == "CUSTOM" and op.custom_code == CUSTOM_CODE:
        return postprocess_breach(op)
    if op.kind not in OPERATORS:
        return "coralsmith does not know what its kernel relies on"
    return next((limit.reason for limit in KERNEL_LIMITS if op.kind in limit.kinds and not limit.holds(op)), "")


def _left_to_the_input(op: Op, settled: set[Tensor | None]) -> str:
    """Sizes that the model's input decides may ask for any memory; kernels trust filters to be constant."""
    spec = OPERATORS.get(op.kind)
    roles = (role for role in spec.inputs if role == "filter" or role in spec.sizes) if spec else ()
    return next(
        (f"its {role} depends on the model's input" for role in roles if op.input(role) not in settled), ""
    )
