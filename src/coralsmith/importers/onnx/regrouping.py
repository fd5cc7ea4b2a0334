"""Decides whether a source `Reshape` can be made without moving what is stored."""

from __future__ import annotations

import math

from coralsmith.importers.onnx.values import Order, Value

Axes = list[int]
Block = tuple[Axes, Axes]


def regrouped(value: Value, target: tuple[int, ...]) -> tuple[tuple[int, ...], Order] | None:
    """How a value can take another shape as it is stored.

    A reshape splits and merges groups of neighbouring axes. Splitting one axis works wherever it is stored; axes
    that are merged must be stored next to each other in the source's order. So the heads of detectors, written
    as Transpose and Reshape or as view and permute, need no movement at all.

    Args:
        value: The value as it is stored.
        target: The shape that the source asks for, with as many elements.

    Returns:
        The shape to store and the order of its axes, or None where elements must move.
    """
    blocks = _blocks(value.shape, target)
    ordered = sorted(blocks, key=lambda block: _position(value, block))
    stored = [axis for sources, _ in ordered for axis in sources if value.shape[axis] != 1]
    if tuple(stored) != value.moved_axes():
        return None
    order = tuple(axis for _, targets in ordered for axis in targets)
    long_axes = [axis for axis in order if target[axis] != 1]
    if long_axes == sorted(long_axes):  # the axes of length 1 may stand anywhere
        order = tuple(range(len(target)))
    return tuple(target[axis] for axis in order), order


def _blocks(source: tuple[int, ...], target: tuple[int, ...]) -> list[Block]:
    """The smallest groups of neighbouring axes of both shapes with equal numbers of elements."""
    blocks: list[Block] = []
    i = j = 0
    while i < len(source) and j < len(target):
        first, second = [i], [j]
        i, j = i + 1, j + 1
        while _count(source, first) != _count(target, second):
            if _count(source, first) < _count(target, second):
                first.append(i)
                i += 1
            else:
                second.append(j)
                j += 1
        blocks.append((first, second))
    blocks.append((list(range(i, len(source))), list(range(j, len(target)))))  # axes of length 1
    return blocks


def _count(shape: tuple[int, ...], axes: Axes) -> int:
    return math.prod(shape[axis] for axis in axes)


def _position(value: Value, block: Block) -> int:
    """Where the first long axis of a block is stored; axes of length 1 stay where they were, new ones go last."""
    sources = block[0]
    long_axes = [axis for axis in sources if value.shape[axis] != 1] or sources
    return value.order.index(long_axes[0]) if long_axes else value.rank
