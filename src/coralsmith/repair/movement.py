"""What a chain of operators does that only moves values around, found out by letting it move their addresses.

RESHAPE, TRANSPOSE, slices, PACK, TILE and their like compute nothing: each element of the result is one element
of the source. Run on a tensor of addresses 0, 1, 2 and so on, such operators return where each element came
from, whatever way they are written. That is an exact description, to compare with that of a simpler operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import CoralsmithError
from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.repair.patterns import fused_activation, same_quant, with_constant
from coralsmith.repair.rewriter import Rewriter

MAX_OPS: Final = 64
MAX_ADDRESSES: Final = 1 << 24  # float32 counts without gaps up to here
_MOVING: Final = frozenset(
    {
        "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "STRIDED_SLICE", "SLICE", "SPLIT", "SPLIT_V",
        "UNPACK", "TILE", "BROADCAST_TO", "GATHER", "REVERSE_V2",
        "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE",
    }
)  # fmt: skip
JOINING: Final = ("CONCATENATION", "PACK")
_NEUTRAL: Final = {"MUL": 1.0, "DIV": 1.0, "ADD": 0.0, "SUB": 0.0}

Addresses = NDArray[np.int64]


@dataclass(frozen=True)
class Movement:
    """Operators that carry the values of `source` to `result`, in execution order."""

    source: Tensor
    result: Tensor
    ops: tuple[Op, ...]

    def addresses(self) -> Addresses | None:
        """For each element of the result the flat position of its origin in the source.

        Returns:
            An array of the result's shape; None where the interpreter cannot run these operators.
        """
        if max(self.source.elements, self.result.elements) > MAX_ADDRESSES:
            return None
        copies = {
            tensor: Tensor(tensor.name, tensor.shape, np.dtype(np.float32), tensor.data)
            for op in self.ops
            for tensor in (*op.activations(), *op.outputs)
        }
        ops = [
            Op(
                op.kind,
                [copies.get(tensor, tensor) if tensor is not None else None for tensor in op.inputs],
                [copies[tensor] for tensor in op.outputs],
                op.attributes,
                options_table=op.options_table,
            )
            for op in self.ops
        ]
        numbers = np.arange(self.source.elements, dtype=np.float32).reshape(self.source.shape)
        try:
            executor = Executor(Graph(ops, [copies[self.source]], [copies[self.result]]), reference_kernels=True)
            return executor.run(numbers)[0].astype(np.int64)
        except (CoralsmithError, RuntimeError, ValueError):
            return None


def only_moves(op: Op | None) -> bool:
    """Whether `op` computes nothing: it moves values, or adds zero to them, or multiplies them by one."""
    if op is None or not op.outputs or fused_activation(op) != "NONE":
        return False
    if any(not same_quant(op.output, tensor) for tensor in op.activations()):
        return False
    if op.kind in JOINING:
        return all(tensor is not None and not tensor.is_constant for tensor in op.inputs)
    if op.kind in _MOVING:
        data = op.inputs[1 if op.kind == "SPLIT" else 0]
        return list(op.activations()) == [data]
    operands = with_constant(op) if op.kind in _NEUTRAL else None
    if operands is None or operands[1].data is None or not operands[1].is_float:
        return False
    return bool(np.all(operands[1].data == _NEUTRAL[op.kind]))


def movements_to(rewriter: Rewriter, last: Op) -> list[Movement]:
    """Every chain of moving operators with one source that ends in `last`, the longest first."""
    ops: list[Op] = []
    sources: dict[Tensor, None] = {last.output: None}
    found: list[Movement] = []
    while len(ops) < MAX_OPS:
        producers = [op for op in map(rewriter.producer, sources) if op is not None and only_moves(op)]
        if not producers:
            break
        latest = max(producers, key=rewriter.position)
        ops.append(latest)
        for output in latest.outputs:
            sources.pop(output, None)
        sources.update(dict.fromkeys(latest.activations()))
        if len(sources) == 1:
            found.append(Movement(next(iter(sources)), last.output, tuple(ops[::-1])))
    return found[::-1]
