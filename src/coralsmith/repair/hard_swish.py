"""HARD_SWISH, x * relu6(x + 3) / 6, in operators that the Edge TPU has."""

from __future__ import annotations

from dataclasses import dataclass

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import arithmetic, is_float
from coralsmith.repair.rewriter import Rewriter


@dataclass(frozen=True)
class ExpandHardSwish(RepairPass):
    """HARD_SWISH becomes ADD with RELU6, MUL, and a MUL by 1/6 that a following convolution can absorb."""

    name = "expand-hard-swish"
    reason = "hard-swish is defined as x * relu6(x + 3) / 6 (Howard et al. 2019, MobileNetV3)"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        outcomes: list[Change | Refusal] = []
        for op in rewriter.ops("HARD_SWISH"):
            source = op.inputs[0]
            if source is None or not is_float(op):
                outcomes.append(self.refusal(op, "the model is quantized already: repair the float model"))
                continue
            expanded = _expand(rewriter, op, source)
            rewriter.replace(op, *expanded)
            outcomes.append(self.change([op], expanded))
        return outcomes


def _expand(rewriter: Rewriter, op: Op, source: Tensor) -> list[Op]:
    three = rewriter.number(op.name, "three", 3.0)
    sixth = rewriter.number(op.name, "sixth", 1.0 / 6.0)
    gate = rewriter.tensor(op.output, "relu6")
    product = rewriter.tensor(op.output, "product")
    return [
        arithmetic("ADD", source, three, gate, "RELU6"),
        arithmetic("MUL", source, gate, product),
        arithmetic("MUL", product, sixth, op.output),
    ]
