"""Which activations carry their channels through unchanged, so that each channel's unit may be chosen freely.

A channel may be multiplied by a positive number where a layer writes it and divided by it where a layer reads it.
In between it may only meet operators that commute with a positive factor: sums with values in the same unit, RELU,
PRELU, pooling, resizing. A clamp at 6 commutes only below 6, so such a group has a ceiling.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.quantization.rules import WEIGHTED

# f(k x) = k f(x) for every k > 0, channel by channel, and the channels stay in the last dimension.
_COMMUTING: Final = frozenset(
    {
        "RELU", "PRELU", "LEAKY_RELU", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR", "PAD", "MIRROR_PAD",
    }
)  # fmt: skip
_SUMS: Final = frozenset({"ADD", "SUB"})
_CEILINGS: Final = {"NONE": math.inf, "RELU": math.inf, "RELU6": 6.0}
_LAYERS: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


@dataclass(frozen=True)
class ChannelGroup:
    """Activations that share the unit of each channel.

    Attributes:
        tensors: The activations, all with the same number of channels.
        writers: The layers that compute into them.
        readers: The layers that read them.
        ceiling: Where a clamp cuts the values off; infinite where none does.
    """

    tensors: tuple[Tensor, ...]
    writers: tuple[Op, ...]
    readers: tuple[Op, ...]
    ceiling: float = math.inf

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.tensors[0].shape[-1]


def channel_groups(graph: Graph) -> list[ChannelGroup]:
    """The groups of a float graph whose units are free, in order of first use."""
    groups = _Groups(graph)
    for op in graph.ops:
        if op.kind in _LAYERS:
            groups.pass_layer(op)
        elif _commutes(op):
            groups.join(op)
        else:
            groups.fix(*(t for t in (*op.inputs, *op.outputs) if t is not None))
    return groups.free()


class _Groups:
    """Disjoint sets of activations (union-find), those whose unit is fixed, and those behind a clamp."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.parent: dict[Tensor, Tensor] = {}
        self.fixed: set[Tensor] = {*graph.inputs, *graph.outputs}
        self.ceilings: dict[Tensor, float] = {}
        uses = Counter(_weights(op) for op in graph.ops if op.kind in _LAYERS)
        self.shared = {weights for weights, count in uses.items() if count > 1}

    def find(self, tensor: Tensor) -> Tensor:
        self.parent.setdefault(tensor, tensor)
        while self.parent[tensor] is not tensor:
            tensor = self.parent[tensor]
        return tensor

    def join(self, op: Op) -> None:
        """All activations of a commuting operator have one unit."""
        for tensor in op.activations():
            self.parent[self.find(tensor)] = self.find(op.output)

    def fix(self, *tensors: Tensor) -> None:
        """The unit of these cannot be chosen."""
        self.fixed.update(tensors)

    def pass_layer(self, op: Op) -> None:
        """Behind a layer the units are new."""
        source = op.required_input("input")
        self.find(source)
        self.find(op.output)
        if _weights(op).shape[-1] != source.shape[-1] or _weights(op) in self.shared:
            self.fix(source)  # groups, a channel multiplier, a flattened map, or weights that others read too
        ceiling = _CEILINGS.get(str(op.attributes.get("fused_activation_function", "NONE")))
        if ceiling is None or _weights(op) in self.shared:
            self.fix(op.output)
        else:
            self.ceilings[op.output] = ceiling

    def free(self) -> list[ChannelGroup]:
        fixed = {self.find(tensor) for tensor in self.fixed}
        members: dict[Tensor, list[Tensor]] = {}
        for tensor in self.graph.tensors():
            if tensor in self.parent and self.find(tensor) not in fixed:
                members.setdefault(self.find(tensor), []).append(tensor)
        producers, consumers = self.graph.producers(), self.graph.consumers()
        groups = []
        for tensors in members.values():
            writers = [producers[tensor] for tensor in tensors if producers[tensor].kind in _LAYERS]
            readers = [op for tensor in tensors for op in consumers.get(tensor, []) if op.kind in _LAYERS]
            ceiling = min((self.ceilings[op.output] for op in writers), default=math.inf)
            if writers and readers:
                unique = tuple(dict.fromkeys(readers))
                groups.append(ChannelGroup(tuple(tensors), tuple(writers), unique, ceiling))
        return groups


def _weights(op: Op) -> Tensor:
    weights = op.inputs[WEIGHTED[op.kind].weights]
    assert weights is not None, "a layer has weights"
    return weights


def _commutes(op: Op) -> bool:
    if op.attributes.get("fused_activation_function", "NONE") not in ("NONE", "RELU"):
        return False
    if op.kind in _SUMS:
        return all(t is not None and not t.is_constant and t.shape == op.output.shape for t in op.inputs)
    source = op.inputs[0]
    return op.kind in _COMMUTING and source is not None and source.shape[-1:] == op.output.shape[-1:]
