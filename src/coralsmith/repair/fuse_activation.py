"""Moves activations to where the Edge TPU wants them: into the operator before, but never into a pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coralsmith.graph import Graph, Op
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import LINEAR, NO_ACTIVATION, fused_activation, is_float, with_attributes
from coralsmith.repair.rewriter import Rewriter

_FUSIBLE: Final = ("RELU", "RELU6", "RELU_N1_TO_1")
_HOSTS: Final = (*LINEAR, "ADD", "SUB", "MUL")


@dataclass(frozen=True)
class FuseActivation(RepairPass):
    """A RELU, RELU6 or RELU_N1_TO_1 behind a convolution or arithmetic becomes its fused activation."""

    name = "fuse-activation"
    reason = "a fused activation is applied to the same value, without an operator of its own"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        changes: list[Change | Refusal] = []
        for op in rewriter.ops(*_FUSIBLE):
            source = op.inputs[0]
            host = rewriter.producer(source)
            if source is None or host is None or host.kind not in _HOSTS or not is_float(op):
                continue
            if fused_activation(host) != NO_ACTIVATION or not rewriter.has_one_reader(source):
                continue
            attributes = with_attributes(host, fused_activation_function=op.kind)
            fused = Op(host.kind, list(host.inputs), [op.output], attributes, options_table=host.options_table)
            rewriter.replace(op, fused)
            changes.append(self.change([host, op], [fused]))
        return changes


@dataclass(frozen=True)
class UnfusePoolActivation(RepairPass):
    """The fused activation of a pooling becomes an operator of its own."""

    name = "unfuse-pool-activation"
    reason = "the Edge TPU takes poolings without fused activation only (Coral documentation)"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        changes: list[Change | Refusal] = []
        for op in rewriter.ops("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            if fused_activation(op) not in _FUSIBLE or not is_float(op):
                continue
            pooled = rewriter.tensor(op.output, "pooled")
            attributes = with_attributes(op, fused_activation_function=NO_ACTIVATION)
            pool = Op(op.kind, list(op.inputs), [pooled], attributes, options_table=op.options_table)
            activation = Op(fused_activation(op), [pooled], op.outputs)
            rewriter.replace(op, pool, activation)
            changes.append(self.change([op], [pool, activation]))
        return changes
