"""Solves the scale constraints: which activations share one scale, and which scale each of them gets.

Tensors between operators that only move integers must share a scale. Where such an operator joins several values
(CONCATENATION), its inputs' producers compute into the common scale at no cost; only where that would take
resolution from another reader, or the producer's scale is fixed, a QUANTIZE is put in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coralsmith.graph import Array, Graph, Op, Quant, Tensor
from coralsmith.quantization.ranges import Range, quant_for
from coralsmith.quantization.rules import FIXED_OUTPUT, JOINING, SAME_SCALE, value_inputs

# A value that other operators read too may be widened this much before a QUANTIZE is worth its price.
WIDENING_LIMIT: Final = 1.5


@dataclass(frozen=True)
class Scales:
    """The solution.

    Attributes:
        quants: Scale and zero point of every float activation.
        rescaled: Inputs that need a QUANTIZE in front, as (operator, input position).
    """

    quants: dict[Tensor, Quant]
    rescaled: list[tuple[Op, int]]


class _Groups:
    """Disjoint sets of tensors that share a scale (union-find), with the range and the fixed scale of each."""

    def __init__(self, ranges: dict[Tensor, Range], fixed: dict[Tensor, Quant]) -> None:
        self.parent = {tensor: tensor for tensor in ranges}
        self.members = {tensor: [tensor] for tensor in ranges}
        self.span = dict(ranges)
        self.fixed = dict(fixed)

    def find(self, tensor: Tensor) -> Tensor:
        while self.parent[tensor] is not tensor:
            self.parent[tensor] = self.parent[self.parent[tensor]]
            tensor = self.parent[tensor]
        return tensor

    def union(self, first: Tensor, second: Tensor) -> None:
        a, b = self.find(first), self.find(second)
        if a is b:
            return
        self.parent[b] = a
        self.members[a] += self.members.pop(b)
        self.span[a] = self.span[a].union(self.span.pop(b))
        if b in self.fixed:
            self.fixed[a] = self.fixed.pop(b)

    def quant(self, tensor: Tensor) -> Quant:
        root = self.find(tensor)
        return self.fixed.get(root) or quant_for(self.span[root])

    def stretch(self, tensor: Tensor, factor: float) -> None:
        root = self.find(tensor)
        self.span[root] = Range(self.span[root].low * factor, self.span[root].high * factor)


def solve_scales(graph: Graph, ranges: dict[Tensor, Range], fixed: dict[Tensor, Quant] | None = None) -> Scales:
    """Give every float activation of `graph` a scale.

    Args:
        graph: A float graph of supported operators.
        ranges: The range of every float activation.
        fixed: Activations whose scale the caller decides (the input image).
    """
    by_kernel = {op.output: FIXED_OUTPUT[op.kind] for op in graph.ops if op.kind in FIXED_OUTPUT}
    groups = _Groups(ranges, {**(fixed or {}), **by_kernel})
    for op in graph.ops:
        if op.kind in SAME_SCALE and op.kind not in JOINING:
            source = value_inputs(op)[0][1]
            for tensor in op.outputs:
                groups.union(source, tensor)
    consumers = graph.consumers()
    for op in graph.ops:
        if op.kind in JOINING:
            _join(op, groups, consumers)
        elif op.kind == "MUL":
            _cover_product(op, groups)
    quants = {tensor: groups.quant(tensor) for tensor in ranges}
    return Scales(quants, _rescaled(graph, quants))


def _activations(op: Op) -> list[Tensor]:
    return list(dict.fromkeys(tensor for _, tensor in value_inputs(op) if not tensor.is_constant))


def _join(op: Op, groups: _Groups, consumers: dict[Tensor, list[Op]]) -> None:
    """Let the inputs of `op` share the scale of its output where that costs no one resolution."""
    inputs = _activations(op)
    roots = [groups.find(tensor) for tensor in inputs]
    fixed = [groups.fixed.get(root) for root in roots]
    if fixed[0] is not None and all(fixed[0].same_as(quant) for quant in fixed):
        for tensor in inputs:
            groups.union(op.output, tensor)
        return
    whole = groups.span[groups.find(op.output)]
    for root in roots:
        whole = whole.union(groups.span[groups.find(root)])
    for tensor in inputs:
        root = groups.find(tensor)
        if root in groups.fixed:
            continue
        keeps_resolution = whole.width <= WIDENING_LIMIT * groups.span[root].width
        if keeps_resolution or not _computes_elsewhere(groups.members[root], op, consumers):
            groups.union(op.output, tensor)


def _computes_elsewhere(members: list[Tensor], join: Op, consumers: dict[Tensor, list[Op]]) -> bool:
    """Whether an operator other than `join` computes with one of the tensors (and does not merely move it)."""
    readers = (op for tensor in members for op in consumers.get(tensor, []))
    return any(op is not join and (op.kind not in SAME_SCALE or op.kind in JOINING) for op in readers)


def _cover_product(op: Op, groups: _Groups) -> None:
    """Keep s1 * s2 / s_out below 1, which the MUL kernels that a 2021 compiler knows cannot exceed."""
    scales = [_scale_of(tensor, groups) for _, tensor in value_inputs(op)]
    ratio = scales[0] * scales[-1] / float(groups.quant(op.output).scale[0])
    if ratio >= 1.0:
        groups.stretch(op.output, 1.01 * ratio)


def _scale_of(tensor: Tensor, groups: _Groups) -> float:
    quant = groups.quant(tensor) if tensor.data is None else quant_for(constant_range(tensor.data))
    return float(quant.scale[0])


def constant_range(values: Array) -> Range:
    """The range of a constant operand."""
    return Range.of(float(values.min()), float(values.max()))


def _rescaled(graph: Graph, quants: dict[Tensor, Quant]) -> list[tuple[Op, int]]:
    return [
        (op, position)
        for op in graph.ops
        if op.kind in SAME_SCALE
        for position, tensor in value_inputs(op)
        if not tensor.is_constant and not quants[tensor].same_as(quants[op.output])
    ]
