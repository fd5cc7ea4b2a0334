"""Computes with three dimensions what was written with four or more that the Edge TPU cannot take.

Its tensors may exceed 1 in their three innermost dimensions only. Where an operator treats several dimensions
alike, they can be merged; the RESHAPE operators around it usually meet others and vanish with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Attribute, Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import ARITHMETIC, ELEMENTWISE, integer_attribute, rank_is_supported, reshape
from coralsmith.repair.rewriter import Rewriter

_ALONG_LAST_AXIS: Final = ("SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION")
_ROWS: Final = (*ELEMENTWISE, *ARITHMETIC, *_ALONG_LAST_AXIS)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LowerRank(RepairPass):
    """Element-wise operators, SOFTMAX, CONCATENATION and PACK over too many dimensions work on merged ones."""

    name = "lower-rank"
    reason = "dimensions that an operator treats alike can be merged into one"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        changes: list[Change | Refusal] = []
        for op in rewriter.ops(*_ROWS, "CONCATENATION", "PACK"):
            if all(rank_is_supported(tensor.shape) for tensor in (*op.activations(), *op.outputs)):
                continue
            lowered = _join(rewriter, op) if op.kind in ("CONCATENATION", "PACK") else _by_rows(rewriter, op)
            if lowered:
                rewriter.replace(op, *lowered)
                changes.append(self.change([op], lowered))
        return changes


def _by_rows(rewriter: Rewriter, op: Op) -> list[Op]:
    """All dimensions but the last merged: [1, rows, last]; nothing where the operands do not allow it."""
    shape = op.output.shape
    rows = (1, op.output.elements // max(shape[-1], 1), shape[-1])
    if any(tensor.shape != shape for tensor in op.activations()):
        return []
    constants = [tensor for tensor in op.inputs if tensor is not None and tensor.is_constant]
    if any(c.elements != 1 and (not c.shape or c.elements != c.shape[-1]) for c in constants):
        return []
    shapes = [(t.elements,) if t.is_constant else rows for t in op.inputs if t is not None]
    return _around(rewriter, op, shapes, rows, op.kind, op.attributes)


def _join(rewriter: Rewriter, op: Op) -> list[Op]:
    """[outer, joined, inner]; PACK joins parts of size 1, which is a CONCATENATION."""
    shape = op.output.shape
    axis = integer_attribute(op, "axis", 0) % len(shape)
    outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    if any(tensor is None or tensor.is_constant for tensor in op.inputs):
        return []
    shapes = [(outer, t.elements // max(outer * inner, 1), inner) for t in op.activations()]
    attributes: dict[str, Attribute] = {"axis": 1, "fused_activation_function": "NONE"}
    joined = (outer, shape[axis], inner)
    return _around(rewriter, op, shapes, joined, "CONCATENATION", attributes)


def _around(
    rewriter: Rewriter, op: Op, shapes: Sequence[Shape], result: Shape, kind: str, attributes: dict[str, Attribute]
) -> list[Op]:
    """An operator of `kind` over the inputs of `op` in these shapes, with RESHAPE on both sides."""
    inputs: list[Tensor | None] = []
    reshapes: list[Op] = []
    for tensor, shape in zip((t for t in op.inputs if t is not None), shapes, strict=True):
        if tensor.data is not None:
            inputs.append(Tensor.constant(tensor.name, tensor.data.reshape(shape), tensor.quant))
            continue
        merged = rewriter.tensor(tensor, "merged", shape)
        reshapes.append(reshape(tensor, merged))
        inputs.append(merged)
    output = rewriter.tensor(op.output, "merged", result)
    table = op.options_table if kind == op.kind else None
    return [
        *reshapes,
        Op(kind, inputs, [output], dict(attributes), options_table=table),
        reshape(output, op.output),
    ]
