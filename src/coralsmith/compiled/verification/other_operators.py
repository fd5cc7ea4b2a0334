"""The constants of operators without weights, where a rule for them is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from coralsmith.compiled import requantization
from coralsmith.compiled.requantization import Requantization
from coralsmith.compiled.verification.cpu_operators import needs_cpu
from coralsmith.compiled.verification.source_layers import is_layer
from coralsmith.graph.model import Graph, Op, Tensor


@dataclass(frozen=True, eq=False)
class OtherOperator:
    """An operator without weights, and the constants that must tell of it.

    Attributes:
        index: Position in the source.
        op: The operator.
        blocks: The constants of each of its blocks, with the input that each is for; None where it is for all.
        terms: The two integers that stand for the scales of an ADD's operands.
        doubt: Why a difference would be no proof, and nothing need show; empty for the proved kinds.
        reason: Why no block of it is known; empty where some is.
    """

    index: int
    op: Op
    blocks: tuple[tuple[Tensor | None, Requantization], ...]
    terms: tuple[int, int] | None = None
    doubt: str = ""
    reason: str = ""


def other_operators(graph: Graph, indices: list[int]) -> list[OtherOperator]:
    """The operators without weights that show in a program, among the operators on the Edge TPU.

    Those that only move values, or pick some, are left out: no constant tells of them. One that nothing is known
    of has no blocks.
    """
    found: list[OtherOperator] = []
    for index in indices:
        op = graph.ops[index]
        if not is_layer(op) and not needs_cpu(op) and (known := _known(index, op)) is not None:
            found.append(known)
    return found


def _known(index: int, op: Op) -> OtherOperator | None:
    """What a rule says of an operator; None where nothing of it shows."""
    rule = _RULES.get(op.kind)
    if rule is None:
        return None if op.kind in _MOVERS else OtherOperator(index, op, (), reason=f"{_NO_RULE} a {op.kind}")
    if not _are_8_bits(op):
        return OtherOperator(index, op, (), reason=f"{_NO_RULE} a {op.kind} of constants, or of other than 8 bits")
    try:
        return rule(index, op)
    except ValueError as error:  # an activation or a quantization that the rule was never seen with
        return OtherOperator(index, op, (), reason=str(error))


def near(others: Sequence[OtherOperator], layers: Sequence[Op], graph: Graph) -> list[OtherOperator]:
    """The operators whose nearest layers, up or down the data's way, are among those given."""
    own = set(layers)
    producers, readers = graph.producers(), graph.consumers()
    above: dict[Op, bool] = {}
    below: dict[Op, bool] = {}
    for op in graph.ops:
        makers = (producers[tensor] for tensor in op.activations() if tensor in producers)
        above[op] = any(maker in own or (not is_layer(maker) and above.get(maker, False)) for maker in makers)
    for op in reversed(graph.ops):
        following = (reader for tensor in op.outputs for reader in readers.get(tensor, ()))
        below[op] = any(one in own or (not is_layer(one) and below.get(one, False)) for one in following)
    return [other for other in others if above[other.op] or below[other.op]]


def _are_8_bits(op: Op) -> bool:
    tensors = (*(tensor for tensor in op.inputs if tensor is not None), op.output)
    return all(t.dtype in (np.int8, np.uint8) and t.quant is not None and not t.is_constant for t in tensors)


def _add(index: int, op: Op) -> OtherOperator:
    first, second = op.required_input("input1"), op.required_input("input2")
    activation = op.attributes.get("fused_activation_function", "NONE")
    block, terms = requantization.of_add(first, second, op.output, activation)
    return OtherOperator(index, op, ((None, block),), terms)


def _concatenation(index: int, op: Op) -> OtherOperator | None:
    rescaled = [
        tensor
        for tensor in op.inputs
        if tensor is not None and not requantization.mean_the_same(tensor, op.output)
    ]
    blocks = tuple((tensor, requantization.of_rescaling(tensor, op.output)) for tensor in rescaled)
    return OtherOperator(index, op, blocks) if blocks else None


def _quantize(index: int, op: Op) -> OtherOperator | None:
    source = op.required_input("input")
    if requantization.mean_the_same(source, op.output):
        return None  # uint8 and int8 are the same on the chip
    doubt = "how a QUANTIZE between two scales is written is not proved"
    return OtherOperator(index, op, ((source, requantization.of_rescaling(source, op.output)),), None, doubt)


def _product(index: int, op: Op) -> OtherOperator:
    first, second = op.required_input("input1"), op.required_input("input2")
    if requantization.zero_point(first) != requantization.zero_point(second):
        raise ValueError("which operand of a MUL comes first is not known where their zero points differ")
    activation = op.attributes.get("fused_activation_function", "NONE")
    return OtherOperator(index, op, ((None, requantization.of_product(first, second, op.output, activation)),))


def _average(index: int, op: Op) -> OtherOperator | None:
    source, activation = op.required_input("input"), op.attributes.get("fused_activation_function", "NONE")
    height, width = op.attributes.get("filter_height"), op.attributes.get("filter_width")
    window = height * width if isinstance(height, int) and isinstance(width, int) else 0
    doubt = "older compilers write no constants of it"
    block = requantization.of_average(source, op.output, window, activation)
    return OtherOperator(index, op, ((source, block),), None, doubt)


def _logistic(index: int, op: Op) -> OtherOperator:
    source = op.required_input("input")
    return OtherOperator(index, op, ((source, requantization.of_logistic(source)),))


def _softmax(index: int, op: Op) -> OtherOperator:
    doubt = "older compilers, and a small SOFTMAX, have its constants in tables of unknown form"
    source = op.required_input("input")
    if op.attributes.get("beta", 1.0) != 1:
        raise ValueError(f"how a SOFTMAX with a beta of {op.attributes['beta']} is written is not known")
    return OtherOperator(index, op, ((source, requantization.of_softmax(source)),), None, doubt)


_NO_RULE: Final = "no rule says how a compiled file shows"

_MOVERS: Final = frozenset({"RESHAPE", "SQUEEZE", "MAX_POOL_2D"})
"""Kinds that write no constants of their own, on published pairs or because a RESHAPE does the same."""

_RULES: Final[Mapping[str, Callable[[int, Op], OtherOperator | None]]] = MappingProxyType(
    {
        "ADD": _add,
        "MUL": _product,
        "AVERAGE_POOL_2D": _average,
        "CONCATENATION": _concatenation,
        "QUANTIZE": _quantize,
        "LOGISTIC": _logistic,
        "SOFTMAX": _softmax,
    }
)
