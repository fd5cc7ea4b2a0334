"""DIV by a constant, which the Edge TPU does not have, as MUL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import fused_activation, is_float, with_constant
from coralsmith.repair.rewriter import Rewriter


@dataclass(frozen=True)
class DivideByMultiplying(RepairPass):
    """DIV by a constant becomes MUL by its reciprocal."""

    name = "div-to-mul"
    reason = "dividing by a constant is multiplying by its reciprocal, and the Edge TPU has no DIV"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        changes: list[Change | Refusal] = []
        for op in rewriter.ops("DIV"):
            operands = with_constant(op) if is_float(op) else None
            divisor = None if operands is None else operands[1].data
            if operands is None or divisor is None or not np.all(divisor):
                continue
            reciprocal = (1.0 / divisor.astype(np.float64)).astype(np.float32)
            inputs: list[Tensor | None] = [operands[0], rewriter.constant(op.name, "reciprocal", reciprocal)]
            product = Op("MUL", inputs, op.outputs, {"fused_activation_function": fused_activation(op)})
            rewriter.replace(op, product)
            changes.append(self.change([op], [product]))
        return changes
