"""Moves TRANSPOSE behind element-wise operators where it then meets the TRANSPOSE that undoes it.

Graphs that once had channels first (PyTorch, ONNX) hold such pairs around activations and residual sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import ARITHMETIC, ELEMENTWISE, integers, shape_constant
from coralsmith.repair.rewriter import Rewriter

_POINTWISE: Final = (*ELEMENTWISE, *ARITHMETIC)
_MAX_DEPTH: Final = 16

Permutation = tuple[int, ...]


@dataclass(frozen=True)
class SinkTranspose(RepairPass):
    """An element-wise operator between two transpositions that cancel works on the values as they were."""

    name = "sink-transpose"
    reason = "an element-wise operator gives the same values in whatever order they lie"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        changes: list[Change | Refusal] = []
        for op in rewriter.ops(*_POINTWISE):
            order = _common_permutation(rewriter, op)
            if order is None or not _is_undone(rewriter, op.output, order):
                continue
            inputs = [_untransposed(rewriter, tensor, order) for tensor in op.inputs]
            if any(tensor is None for tensor in inputs):
                continue
            shape = tuple(op.output.shape[axis] for axis in np.argsort(order))
            plain = rewriter.tensor(op.output, "untransposed", shape)
            moved = Op(op.kind, inputs, [plain], dict(op.attributes), options_table=op.options_table)
            transpose = Op("TRANSPOSE", [plain, shape_constant(f"{op.name}/permutation", order)], op.outputs)
            rewriter.replace(op, moved, transpose)
            changes.append(self.change([op], [moved, transpose]))
        return changes


def _permutation(op: Op | None) -> Permutation | None:
    return integers(op.inputs[1]) if op is not None and op.kind == "TRANSPOSE" else None


def _common_permutation(rewriter: Rewriter, op: Op) -> Permutation | None:
    """The permutation that every activation which `op` reads has gone through; None where they differ."""
    sources = list(op.activations())
    orders = {_permutation(rewriter.producer(tensor)) for tensor in sources}
    if len(orders) != 1 or any(tensor.shape != op.output.shape for tensor in sources):
        return None
    return orders.pop()


def _is_undone(rewriter: Rewriter, tensor: Tensor, order: Permutation, depth: int = 0) -> bool:
    """Whether every reader, element-wise operators aside, transposes `tensor` back."""
    readers = rewriter.readers(tensor)
    if not readers or rewriter.is_output(tensor) or depth == _MAX_DEPTH:
        return False
    return all(
        _permutation(reader) == tuple(int(axis) for axis in np.argsort(order))
        if reader.kind == "TRANSPOSE"
        else reader.kind in _POINTWISE and _is_undone(rewriter, reader.output, order, depth + 1)
        for reader in readers
    )


def _untransposed(rewriter: Rewriter, tensor: Tensor | None, order: Permutation) -> Tensor | None:
    """An input of `op` before the transposition; None where a constant cannot be brought there."""
    if tensor is None:
        return None
    if tensor.data is None:
        transpose = rewriter.producer(tensor)
        return None if transpose is None else transpose.inputs[0]
    if tensor.elements == 1:
        return tensor
    if len(tensor.shape) != len(order) or tensor.quant is not None:
        return None
    return rewriter.constant(tensor.name, "untransposed", np.transpose(tensor.data, np.argsort(order)))
