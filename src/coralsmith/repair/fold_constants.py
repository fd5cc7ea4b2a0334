"""Computes at conversion what does not depend on the image.

A Keras model with an unknown batch holds SHAPE, STRIDED_SLICE and PACK before each RESHAPE, and a float16 model
a DEQUANTIZE behind each weight: integer and float16 values, which the Edge TPU does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.errors import CoralsmithError
from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.rewriter import Rewriter

MAX_ELEMENTS: Final = 1 << 24  # larger than any weight of a detector: such a constant would only swell the file
_NOT_A_FUNCTION: Final = frozenset({"CUSTOM", "MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM"})


def _shape(op: Op) -> Array:
    return np.array(_source(op).shape, op.output.dtype)


def _rank(op: Op) -> Array:
    return np.array(len(_source(op).shape), op.output.dtype)


def _zeros(op: Op) -> Array:
    return np.zeros(op.output.shape, op.output.dtype)


def _source(op: Op) -> Tensor:
    tensor = op.inputs[0]
    assert tensor is not None, "the verifier requires the first input"
    return tensor


_OF_THE_SHAPE: Final[dict[str, Callable[[Op], Array]]] = {"SHAPE": _shape, "RANK": _rank, "ZEROS_LIKE": _zeros}


@dataclass(frozen=True)
class FoldConstants(RepairPass):
    """Replaces operators over constants, and those over static shapes, by their results."""

    name = "fold-constants"
    reason = "its result is the same for every image"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        outcomes: list[Change | Refusal] = []
        for op in rewriter.ops(*_OF_THE_SHAPE):
            if not rewriter.is_output(op.output) and op.output.elements <= MAX_ELEMENTS:
                outcomes.append(self.change([op], []))
                _become_constant(rewriter, op, [_OF_THE_SHAPE[op.kind](op)])
        foldable = _foldable(rewriter)
        try:
            values = _evaluate(foldable)
        except (CoralsmithError, RuntimeError) as error:
            return [*outcomes, self.refusal(foldable[0], f"the interpreter cannot compute it: {error}")]
        for op in foldable:
            outcomes.append(self.change([op], []))
            _become_constant(rewriter, op, [values[tensor] for tensor in op.outputs])
        outcomes.extend(self._fix_shapes(rewriter))
        return outcomes

    def _fix_shapes(self, rewriter: Rewriter) -> list[Change]:
        """Every RESHAPE states its target as a constant, without -1: all shapes are static by now."""
        changes = []
        for op in rewriter.ops("RESHAPE"):
            target = op.input("shape")
            wanted = np.array(op.output.shape, np.int32)
            if target is not None and target.data is not None and np.array_equal(target.data, wanted):
                continue
            constant = rewriter.constant(op.name, "shape", wanted)
            plain = Op("RESHAPE", [op.inputs[0], constant], op.outputs)
            rewriter.replace(op, plain)
            changes.append(self.change([op], [plain], "the target shape is known"))
        return changes


def _foldable(rewriter: Rewriter) -> list[Op]:
    """The operators, in execution order, whose every input is a constant or the output of one of them."""
    known: set[Tensor] = set()
    found = []
    for op in rewriter.ops():
        inputs = [tensor for tensor in op.inputs if tensor is not None]
        if op.kind in _NOT_A_FUNCTION or not inputs or any(tensor.is_variable for tensor in inputs):
            continue
        if any(rewriter.is_output(t) or t.elements > MAX_ELEMENTS for t in op.outputs):
            continue
        if all(tensor.is_constant or tensor in known for tensor in inputs):
            found.append(op)
            known.update(op.outputs)
    return found


def _evaluate(ops: list[Op]) -> dict[Tensor, Array]:
    """The outputs of operators over constants; the reference kernels alone run a graph without inputs."""
    if not ops:
        return {}
    outputs = [tensor for op in ops for tensor in op.outputs]
    values = Executor(Graph(ops, [], outputs), reference_kernels=True).run()
    return dict(zip(outputs, values, strict=True))


def _become_constant(rewriter: Rewriter, op: Op, values: list[Array]) -> None:
    for tensor, value in zip(op.outputs, values, strict=True):
        tensor.data = Tensor.constant(tensor.name, value).data
        tensor.shape = value.shape
    rewriter.replace(op)
