"""The ranges of an int8 graph's activations as parameters: tensors that must share a scale share a range."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Final

import torch

from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.quantization.calibration import ACTIVATION_LIMITS, reachable_limits
from coralsmith.quantization.ranges import LEVELS, LOWEST, NARROWEST, Range, quant_for
from coralsmith.quantization.rules import FIXED_OUTPUT, SAME_SCALE, value_inputs
from coralsmith.tuning.fake_quantization import requantize, straight_through_round

HIGHEST: Final = LOWEST + LEVELS
LEAST_SHARE: Final = 0.05
"""A learned range keeps at least this share of its first width, lest one bad batch closes it for good; and each
end moves out by at most the first width."""


@dataclass(frozen=True)
class Group:
    """Activations with one scale.

    Attributes:
        tensors: int8 activations.
        quant: Their scale and zero point before training.
        is_fixed: Whether a kernel or the host decides the scale.
    """

    tensors: list[Tensor]
    quant: Quant
    is_fixed: bool


def shared_scales(graph: Graph) -> list[Group]:
    """The int8 activations of a graph, in groups that the kernels force to share a scale."""
    group: dict[Tensor, list[Tensor]] = {
        tensor: [tensor] for tensor in graph.tensors() if tensor.quant is not None and not tensor.is_constant
    }
    for op in graph.ops:
        if op.kind in SAME_SCALE:
            inputs = [tensor for _, tensor in value_inputs(op) if not tensor.is_constant]
            for tensor in (*inputs, *op.outputs[1:]):
                first, second = group[op.output], group[tensor]
                if first is not second:
                    first += second
                    group.update(dict.fromkeys(second, first))
    decided = {*graph.inputs, *(op.output for op in graph.ops if op.kind in FIXED_OUTPUT)}
    distinct = {id(members): members for members in group.values()}.values()
    return [Group(members, _quant(members[0]), not decided.isdisjoint(members)) for members in distinct]


def _quant(tensor: Tensor) -> Quant:
    assert tensor.quant is not None, "an int8 activation has a scale"
    return tensor.quant


class LearnedRanges:
    """The range of every group: where it starts, and by how much of its first width each end has moved.

    An end at zero stays there: below a RELU there is nothing to represent.

    Attributes:
        moved: float64 [groups, 2], the parameter.
    """

    def __init__(self, graph: Graph, device: str) -> None:
        groups = shared_scales(graph)
        self.number = {tensor: i for i, group in enumerate(groups) for tensor in group.tensors}
        scales = torch.tensor([float(group.quant.scale[0]) for group in groups], dtype=torch.float64)
        zeros = torch.tensor([int(group.quant.zero_point[0]) for group in groups], dtype=torch.float64)
        ends = torch.stack([LOWEST - zeros, HIGHEST - zeros], dim=1) * scales[:, None]
        learned = torch.tensor([not group.is_fixed for group in groups])[:, None] & (ends != 0)
        self.groups = groups
        self.start = ends.to(device)
        self.width = (self.start[:, 1:] - self.start[:, :1]) * learned.to(device)
        self.limits = self.start.new_tensor([_limits(graph, group) for group in groups])
        self.products = [op for op in graph.ops if op.kind == "MUL"]
        self.moved = torch.zeros_like(self.start, requires_grad=True)
        self.refresh()

    def refresh(self) -> None:
        """Derive scales and zero points (`quant_for`) from the parameter, once a step."""
        ends = self.start + self.moved * self.width
        scale = ((ends[:, 1] - ends[:, 0]) / LEVELS).float()
        zero_point = straight_through_round(LOWEST - ends[:, 0] / scale.double()).clamp(LOWEST, HIGHEST).float()
        self.plain_scale, zeros = scale.tolist(), zero_point.tolist()
        self.plain_ends = [(LOWEST - zero, HIGHEST - zero) for zero in zeros]
        learned = zip(self.groups, zeros, scale.unbind(), zero_point.unbind(), strict=True)
        self.scale, self.zero_point = [], []
        for group, zero, one_scale, one_zero in learned:  # what is not learned needs no gradient, which takes time
            self.scale.append(one_scale.detach() if group.is_fixed else one_scale)
            self.zero_point.append(one_zero.detach() if group.is_fixed or zero == LOWEST else one_zero)

    def scale_of(self, tensor: Tensor) -> Any:
        """The scale of an activation: float32 without dimensions."""
        return self.scale[self.number[tensor]]

    def steps(self, tensor: Tensor, values: Any, multiplier: Any, function: str = "NONE") -> Any:
        """Values times the multiplier as whole steps of `tensor`, clipped as a fused activation function does."""
        i = self.number[tensor]
        low, high = self.plain_ends[i]
        if function in ACTIVATION_LIMITS:
            lowest, highest = (limit / self.plain_scale[i] for limit in ACTIVATION_LIMITS[function])
            low, high = max(low, round(lowest)), high if highest == inf else min(high, round(highest))
        return requantize(values, multiplier, self.zero_point[i], low, high)

    def confine(self) -> None:
        """Keep the ranges valid after a step of the optimiser.

        Zero lies inside; a range neither closes nor outgrows what an activation function can reach; and the
        product of the scales of MUL's inputs stays below the scale of its output, as in `solve_scales`.
        """
        with torch.no_grad():
            first_width = self.start[:, 1] - self.start[:, 0]
            narrowest = (LEAST_SHARE * first_width).clamp(min=NARROWEST)
            ends = self.start + self.moved * self.width
            ends[:, 0].clamp_(max=0.0)
            ends[:, 1].clamp_(min=0.0)
            ends = torch.maximum(torch.minimum(ends, self.limits[:, 1:]), self.limits[:, :1])
            is_closing = ends[:, 1] - ends[:, 0] < narrowest
            ends = torch.where(is_closing[:, None], self.start * (narrowest / first_width)[:, None], ends)
            self._store(ends)
            for op in self.products:
                self._cover_product(op, ends)

    def _store(self, ends: Any) -> None:
        moved = (ends - self.start) / torch.where(self.width > 0, self.width, 1.0)
        self.moved.copy_(torch.where(self.width > 0, moved, 0.0))

    def _cover_product(self, op: Op, ends: Any) -> None:
        factors = [tensor for _, tensor in value_inputs(op)]
        ratio = 1.0 / self._scale(op.output, ends)
        for tensor in (factors[0], factors[-1]):
            ratio *= self._scale(tensor, ends)
        if ratio >= 1.0:
            ends[self.number[op.output]] *= 1.01 * ratio
            self._store(ends)

    def _scale(self, tensor: Tensor, ends: Any) -> float:
        if tensor.is_constant:
            return float(_quant(tensor).scale[0])
        low, high = ends[self.number[tensor]].tolist()
        return float(high - low) / LEVELS

    def quants(self) -> dict[Tensor, Quant]:
        """Scale and zero point of every activation as they are now."""
        found: dict[Tensor, Quant] = {}
        ends = (self.start + self.moved.detach() * self.width).cpu().tolist()
        for group, (low, high) in zip(self.groups, ends, strict=True):
            quant = group.quant if group.is_fixed else quant_for(Range.of(min(low, 0.0), max(high, 0.0)))
            found.update(dict.fromkeys(group.tensors, quant))
        return found


def _limits(graph: Graph, group: Group) -> tuple[float, float]:
    """What the values of a group can reach, by the activation functions behind which they are computed."""
    reachable = reachable_limits(graph)
    moved = {tensor for op in graph.ops if op.kind in SAME_SCALE for tensor in op.outputs}
    limits = [reachable.get(tensor, (-inf, inf)) for tensor in group.tensors if tensor not in moved]
    low, high = min((low for low, _ in limits), default=-inf), max((high for _, high in limits), default=inf)
    scale, zero_point = float(group.quant.scale[0]), int(group.quant.zero_point[0])
    first, last, width = scale * (LOWEST - zero_point), scale * (HIGHEST - zero_point), scale * LEVELS
    return min(max(low, first - width), first), max(min(high, last + width), last)
