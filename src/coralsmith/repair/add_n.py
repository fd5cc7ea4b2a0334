"""Turns ADD_N, the sum of any number of tensors, into ADD."""

from __future__ import annotations

from dataclasses import dataclass

from coralsmith.graph import Graph, Op
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import arithmetic, is_float
from coralsmith.repair.rewriter import Rewriter


@dataclass(frozen=True)
class SplitAddN(RepairPass):
    """ADD_N of n tensors becomes n - 1 ADD in the same order of summation."""

    name = "add-n-to-add"
    reason = "ADD_N sums its inputs one after the other, and ADD does the same for two"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        changes: list[Change | Refusal] = []
        for op in rewriter.ops("ADD_N"):
            summands = [tensor for tensor in op.inputs if tensor is not None]
            if len(summands) < 2 or not is_float(op):
                continue
            additions: list[Op] = []
            total = summands[0]
            for position, summand in enumerate(summands[1:], 2):
                last = position == len(summands)
                result = op.output if last else rewriter.tensor(op.output, f"sum_of_{position}")
                additions.append(arithmetic("ADD", total, summand, result))
                total = result
            rewriter.replace(op, *additions)
            changes.append(self.change([op], additions))
        return changes
