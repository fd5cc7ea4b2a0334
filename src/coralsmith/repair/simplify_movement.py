"""Puts the simplest operators in the place of chains that only move values around.

Identities vanish; RESHAPE of RESHAPE, transpositions that cancel or move dimensions of size 1, detours over five
or six dimensions, and nearest-neighbour upsampling by stacking or tiling become what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair.movement import JOINING, Addresses, Movement, movements_to, only_moves
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import rank_is_supported, reshape, shape_constant
from coralsmith.repair.rewriter import Rewriter

_COSTS: Final = {"RESHAPE": 1}  # everything else that moves values costs 2
_UNSUPPORTED: Final = 100  # more than any chain of supported operators


@dataclass(frozen=True)
class SimplifyMovement(RepairPass):
    """Replaces moving operators by nothing, RESHAPE, TRANSPOSE or RESIZE_NEAREST_NEIGHBOR where that is less."""

    name = "simplify-movement"
    reason = "each value ends up in the same place, as running both on the values' addresses shows"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        outcomes: list[Change | Refusal] = []
        for op in rewriter.ops():
            if not only_moves(op) or len(op.outputs) != 1 or not _is_end(rewriter, op):
                continue
            change = self._simplify(rewriter, op)
            if change is not None:
                outcomes.append(change)
            elif op.kind == "TRANSPOSE":
                outcomes.append(self.refusal(op, "it moves values, and no simpler operator moves them so"))
        return outcomes

    def _simplify(self, rewriter: Rewriter, op: Op) -> Change | None:
        """Replace the longest chain before `op` that has a simpler form."""
        for movement in movements_to(rewriter, op):
            if _is_minimal(movement):
                continue
            saved = _cost(_superfluous_without(rewriter, movement))
            for form in _forms(rewriter, movement):
                if _cost(form) >= saved:
                    continue
                if form:
                    rewriter.replace(op, *form)
                elif not rewriter.bypass(op, movement.source):
                    continue
                return self.change(movement.ops, form)
        return None


def _is_end(rewriter: Rewriter, op: Op) -> bool:
    """Whether something that computes, or joins it with others, reads the output: the place to look back from."""
    readers = rewriter.readers(op.output)
    return rewriter.is_output(op.output) or any(not only_moves(r) or r.kind in JOINING for r in readers)


def _is_minimal(movement: Movement) -> bool:
    """Whether it is one RESHAPE that changes the shape: nothing is simpler."""
    return [op.kind for op in movement.ops] == ["RESHAPE"] and movement.source.shape != movement.result.shape


def _superfluous_without(rewriter: Rewriter, movement: Movement) -> list[Op]:
    """The operators of the chain that leave the graph once something else writes its result."""
    gone = [movement.ops[-1]]
    for op in movement.ops[-2::-1]:
        readers = [reader for output in op.outputs for reader in rewriter.readers(output)]
        if all(reader in gone for reader in readers) and not any(map(rewriter.is_output, op.outputs)):
            gone.append(op)
    return gone


def _cost(ops: list[Op]) -> int:
    return sum(_COSTS.get(op.kind, 2) + _UNSUPPORTED * _needs_more_dimensions(op) for op in ops)


def _needs_more_dimensions(op: Op) -> bool:
    return not all(rank_is_supported(tensor.shape) for tensor in (*op.activations(), *op.outputs))


def _forms(rewriter: Rewriter, movement: Movement) -> Iterator[list[Op]]:
    """Operators that do the same as `movement`, the simplest first."""
    source, result = movement.source, movement.result
    factors = _upsampling_factors(source.shape, result.shape)
    if source.elements != result.elements and factors is None:
        return
    addresses = movement.addresses()
    if addresses is None:
        return
    if source.elements == result.elements:
        if np.array_equal(addresses.reshape(-1), np.arange(source.elements)):
            yield [] if source.shape == result.shape else [reshape(source, result)]
            return
        yield from _transpositions(rewriter, source, result, addresses)
    elif factors is not None:
        numbers = np.arange(source.elements).reshape(source.shape)
        if np.array_equal(addresses, numbers.repeat(factors[0], 1).repeat(factors[1], 2)):
            size = shape_constant(f"{result.name}/size", result.shape[1:3])
            attributes = {"align_corners": False, "half_pixel_centers": False}
            yield [Op("RESIZE_NEAREST_NEIGHBOR", [source, size], [result], dict(attributes))]


def _upsampling_factors(source: tuple[int, ...], result: tuple[int, ...]) -> tuple[int, int] | None:
    """By what height and width grow, where only they do and by whole factors."""
    if len(source) != 4 or len(result) != 4 or (source[0], source[3]) != (result[0], result[3]) or 0 in source:
        return None
    (height, rest_h), (width, rest_w) = divmod(result[1], source[1]), divmod(result[2], source[2])
    if rest_h or rest_w or height * width <= 1:
        return None
    return height, width


def _transpositions(
    rewriter: Rewriter, source: Tensor, result: Tensor, addresses: Addresses
) -> Iterator[list[Op]]:
    """A TRANSPOSE, with RESHAPE around it where the dimensions that stay together are merged."""
    dimensions = _strided(addresses)
    if dimensions is None:
        return
    direct = _permutation(source.shape, result.shape, addresses)
    if direct is not None:
        yield [Op("TRANSPOSE", [source, shape_constant(f"{result.name}/permutation", direct)], [result])]
    by_stride = sorted(range(len(dimensions)), key=lambda i: -dimensions[i][1])
    order = tuple(by_stride.index(i) for i in range(len(dimensions)))
    sizes = tuple(size for size, _ in dimensions)
    before, after = tuple(sizes[i] for i in by_stride), sizes
    entry = source if source.shape == before else rewriter.tensor(source, "merged", before)
    end = result if result.shape == after else rewriter.tensor(result, "transposed", after)
    turn = Op("TRANSPOSE", [entry, shape_constant(f"{result.name}/permutation", order)], [end])
    yield [
        *([] if entry is source else [reshape(source, entry)]),
        turn,
        *([] if end is result else [reshape(end, result)]),
    ]


def _strided(addresses: Addresses) -> list[tuple[int, int]] | None:
    """The fewest dimensions (size, stride), outermost first, that count through these addresses.

    From the innermost outwards, a dimension lasts as long as its stride. None where the addresses are no such
    grid, or where one comes twice.
    """
    flat = addresses.reshape(-1)
    dimensions: list[tuple[int, int]] = []
    starts = flat
    while starts.size > 1:
        stride = int(starts[1] - starts[0])
        breaks = np.flatnonzero(np.diff(starts) != stride)
        size = int(breaks[0]) + 1 if breaks.size else starts.size
        if starts.size % size:
            return None
        dimensions.insert(0, (size, stride))
        starts = starts[::size]
    expected = np.zeros((), np.int64)
    for size, stride in dimensions:
        expected = expected[..., None] + np.arange(size) * stride
    is_grid = np.array_equal(expected.reshape(-1), flat)
    return dimensions if is_grid and np.unique(flat).size == flat.size else None


def _permutation(source: tuple[int, ...], result: tuple[int, ...], addresses: Addresses) -> tuple[int, ...] | None:
    """The order of the source's dimensions in the result; None where a TRANSPOSE alone does not do it."""
    if len(source) != len(result):
        return None
    strides = np.cumprod((1, *source[:0:-1]))[::-1]
    flat = addresses.reshape(-1)
    free = [axis for axis, size in enumerate(source) if size == 1]
    order = []
    for axis, size in enumerate(result):
        step = int(flat[int(np.prod(result[axis + 1 :]))]) if size > 1 else 0
        matching = [i for i, s in enumerate(source) if s == size > 1 and strides[i] == step]
        if not matching and not (size == 1 and free):
            return None
        order.append(matching[0] if matching else free.pop(0))
    return tuple(order)
