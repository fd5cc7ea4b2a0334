"""The output shapes of operators that move values: join, reshape, pad, repeat, fill; and those that take parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from coralsmith.graph.operands import DecidedAtRunTimeError, Operands, Shape, checked_axis
from coralsmith.graph.selection_shapes import SELECTION_RULES


def _concatenation(op: Operands) -> list[Shape]:
    shapes = op.shapes()
    axis = checked_axis(op.integer("axis"), len(shapes[0]))
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) != 1:
        raise ValueError(f"{[list(shape) for shape in shapes]} do not line up along {axis}")
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])]


def _pack(op: Operands) -> list[Shape]:
    shapes = op.shapes()
    if len(set(shapes)) != 1 or op.integer("values_count", len(shapes)) != len(shapes):
        raise ValueError("the parts have different shapes, or their number is another")
    axis = checked_axis(op.integer("axis"), len(shapes[0]) + 1)
    return [(*shapes[0][:axis], len(shapes), *shapes[0][axis:])]


def _reshape(op: Operands) -> list[Shape]:
    elements = math.prod(op.shape(0))
    target = _reshape_target(op)
    known = math.prod(size for size in target if size != -1)
    if target.count(-1) > 1 or (known == 0 and -1 in target) or min(target, default=0) < -1:
        raise ValueError(f"{target} is not a shape")
    shape = tuple(elements // known if size == -1 else size for size in target)
    if math.prod(shape) != elements:
        raise ValueError(f"{elements} values into {list(shape)}")
    return [shape]


def _reshape_target(op: Operands) -> list[int]:
    if op.has(1):
        try:
            return op.values(1)
        except DecidedAtRunTimeError:
            if op.op.output.shape_signature is None and op.op.output.elements != math.prod(op.shape(0)):
                raise ValueError(f"{list(op.shape(0))} into {list(op.op.output.shape)}") from None
            raise
    wanted = op.op.attributes.get("new_shape")
    if not isinstance(wanted, tuple):
        raise ValueError("it lacks a shape")
    return [int(size) for size in wanted]


def _squeeze(op: Operands) -> list[Shape]:
    data, wanted = op.shape(0), op.op.attributes.get("squeeze_dims")
    chosen = {checked_axis(int(axis), len(data)) for axis in wanted} if isinstance(wanted, tuple) else set()
    if any(data[axis] != 1 for axis in chosen):
        raise ValueError(f"dimensions {sorted(chosen)} of {list(data)} are not all 1")
    return [tuple(size for axis, size in enumerate(data) if size != 1 or (chosen and axis not in chosen))]


def _expand_dims(op: Operands) -> list[Shape]:
    data = op.shape(0)
    axis = checked_axis(op.value(1), len(data) + 1)
    return [(*data[:axis], 1, *data[axis:])]


def _transpose(op: Operands) -> list[Shape]:
    data, order = op.shape(0), op.values(1)
    if not data or sorted(order) != list(range(len(data))):
        raise ValueError(f"{order} is not an order of {len(data)} dimensions")
    return [tuple(data[axis] for axis in order)]


def _paddings(op: Operands, rank: int) -> list[tuple[int, int]]:
    pads = op.values(1)
    if len(pads) != 2 * rank or min(pads, default=0) < 0:
        raise ValueError(f"paddings {pads} for {rank} dimensions")
    return list(zip(pads[::2], pads[1::2], strict=True))


def _pad(op: Operands) -> list[Shape]:
    data = op.shape(0)
    pads = _paddings(op, len(data))
    return [tuple(before + size + after for size, (before, after) in zip(data, pads, strict=True))]


def _mirror_pad(op: Operands) -> list[Shape]:
    data = op.shape(0)
    edge = 1 if op.op.attributes.get("mode", "REFLECT") == "REFLECT" else 0
    if any(max(pads) > size - edge for size, pads in zip(data, _paddings(op, len(data)), strict=True)):
        raise ValueError(f"more padding than {list(data)} has to mirror")
    return _pad(op)


def _broadcast_to(op: Operands) -> list[Shape]:
    data, target = op.shape(0), tuple(op.values(1))
    if tuple(np.broadcast_shapes(data, target)) != target:
        raise ValueError(f"{list(data)} to {list(target)}")
    return [target]


def _tile(op: Operands) -> list[Shape]:
    data, multiples = op.shape(0), op.values(1)
    if len(multiples) != len(data) or min(multiples, default=1) < 1:
        raise ValueError(f"multiples {multiples} for {len(data)} dimensions")
    return [tuple(size * multiple for size, multiple in zip(data, multiples, strict=True))]


def _fill(op: Operands) -> list[Shape]:
    sizes = op.values(0)
    if min(sizes, default=0) < 0:
        raise ValueError(f"{sizes} is not a shape")
    return [tuple(sizes)]


def _shape(op: Operands) -> list[Shape]:
    return [(len(op.shape(0)),)]


def _rank(op: Operands) -> list[Shape]:
    op.shape(0)
    return [()]


def _space_to_depth(op: Operands) -> list[Shape]:
    batch, height, width, depth = op.shape(0, rank=4)
    block = op.integer("block_size")
    if height % block or width % block:
        raise ValueError(f"blocks of {block} in {height} x {width}")
    return [(batch, height // block, width // block, depth * block * block)]


def _depth_to_space(op: Operands) -> list[Shape]:
    batch, height, width, depth = op.shape(0, rank=4)
    block = op.integer("block_size")
    if depth % (block * block):
        raise ValueError(f"blocks of {block} from {depth} channels")
    return [(batch, height * block, width * block, depth // (block * block))]


def _blocks(op: Operands) -> tuple[Shape, list[int], list[tuple[int, int]]]:
    """Input shape, block sizes and (before, after) of SPACE_TO_BATCH_ND and its inverse."""
    data, blocks, pairs = op.shape(0), op.values(1), op.values(2)
    if len(data) not in (3, 4) or len(blocks) != len(data) - 2 or len(pairs) != 2 * len(blocks):
        raise ValueError(f"blocks {blocks} and borders {pairs} for {list(data)}")
    if min(blocks) < 1 or min(pairs) < 0:
        raise ValueError(f"blocks {blocks} and borders {pairs}")
    return data, blocks, list(zip(pairs[::2], pairs[1::2], strict=True))


def _space_to_batch(op: Operands) -> list[Shape]:
    data, blocks, pads = _blocks(op)
    padded = [before + size + after for size, (before, after) in zip(data[1:-1], pads, strict=True)]
    if any(size % block for size, block in zip(padded, blocks, strict=True)):
        raise ValueError(f"blocks {blocks} in {padded}")
    sizes = (size // block for size, block in zip(padded, blocks, strict=True))
    return [(data[0] * math.prod(blocks), *sizes, data[-1])]


def _batch_to_space(op: Operands) -> list[Shape]:
    data, blocks, crops = _blocks(op)
    grown = [size * block for size, block in zip(data[1:-1], blocks, strict=True)]
    sizes = [size - before - after for size, (before, after) in zip(grown, crops, strict=True)]
    if data[0] % math.prod(blocks) or min(sizes) < 0:
        raise ValueError(f"blocks {blocks} and crops {crops} from {list(data)}")
    return [(data[0] // math.prod(blocks), *sizes, data[-1])]


LAYOUT_RULES: Final[dict[str, Callable[[Operands], list[Shape]]]] = {
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": _expand_dims,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "PADV2": _pad,
    "MIRROR_PAD": _mirror_pad,
    "BROADCAST_TO": _broadcast_to,
    "TILE": _tile,
    "FILL": _fill,
    "SHAPE": _shape,
    "RANK": _rank,
    "SPACE_TO_DEPTH": _space_to_depth,
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "BATCH_TO_SPACE_ND": _batch_to_space,
    **SELECTION_RULES,
}
