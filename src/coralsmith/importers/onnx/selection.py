"""Concat, Split, Slice, Gather: parts of values, with their axes found where they are stored."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np

from coralsmith.graph import Tensor
from coralsmith.importers.onnx.builder import FIXED, Builder
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.table import Translator
from coralsmith.importers.onnx.values import Operand, Value


def _concat(node: Node, build: Builder) -> Value:
    """CONCATENATION in the order in which the largest part is stored."""
    operands = [node.operand(position) for position in range(len(node.inputs))]
    order = max((o for o in operands if isinstance(o, Value)), key=lambda value: value.tensor.elements).order
    axis = node.integer("axis", 1)
    if not -len(order) <= axis < len(order):
        raise node.refusal(f"joins along the axis {axis} of {len(order)}")
    tensors = [_in_order(node, build, operand, order) for operand in operands]
    attributes = {"axis": order.index(axis % len(order)), **FIXED}
    return Value(build.emit("CONCATENATION", tensors, attributes), order)


def _in_order(node: Node, build: Builder, operand: Operand, order: tuple[int, ...]) -> Tensor:
    rank = operand.rank if isinstance(operand, Value) else operand.ndim
    if rank != len(order):
        raise node.refusal("joins parts with different numbers of axes")
    if isinstance(operand, Value):
        return build.stored(operand, order)
    return build.constant(operand.transpose(order))


def _split(node: Node, build: Builder) -> list[Value]:
    """SPLIT into equal parts, else one SLICE a part."""
    value, axis = node.value(), node.integer("axis", 0)
    stored, parts = value.stored_axis(axis), len(node.outputs)
    length = value.tensor.shape[stored]
    sizes = node.setting("split", 1)
    if sizes is None:
        size = -(-length // parts)
        sizes = (*(size,) * (parts - 1), length - size * (parts - 1))
    if len(sizes) != parts or sum(sizes) != length or min(sizes) < 1:
        raise node.refusal(f"splits {length} elements into {list(sizes)}")
    if len(set(sizes)) == 1:
        place = build.constant(np.array(stored, np.int32))
        tensors = build.emit_parts("SPLIT", [place, value.tensor], {"num_splits": parts}, parts=parts)
    else:
        starts = [0, *itertools.accumulate(sizes)]
        tensors = [_cut(build, value.tensor, {stored: (starts[i], sizes[i])}) for i in range(parts)]
    return [Value(tensor, value.order) for tensor in tensors]


def _slice(node: Node, build: Builder) -> Value:
    """SLICE, or STRIDED_SLICE where elements are left out between."""
    value = node.value()
    starts, ends = node.setting("starts", 1), node.setting("ends", 2)
    if starts is None or ends is None:
        raise node.refusal("lacks its bounds")
    axes = node.setting("axes", 3) or tuple(range(len(starts)))
    steps = node.setting("steps", 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or min(steps) < 1:
        raise node.refusal(f"runs with the steps {list(steps)}, and only forward ones have a form here")
    parts = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stored = value.stored_axis(axis)
        parts[stored] = range(value.tensor.shape[stored])[start:end:step]
    if all(part.step == 1 for part in parts.values()):
        cut = _cut(build, value.tensor, {axis: (part.start, len(part)) for axis, part in parts.items()})
    else:
        cut = _strided(build, value.tensor, parts)
    return Value(cut, value.order)


def _cut(build: Builder, tensor: Tensor, parts: dict[int, tuple[int, int]]) -> Tensor:
    """A SLICE of (start, length) along some stored axes."""
    begins = [parts.get(axis, (0, size))[0] for axis, size in enumerate(tensor.shape)]
    sizes = [parts.get(axis, (0, size))[1] for axis, size in enumerate(tensor.shape)]
    if tuple(sizes) == tensor.shape:
        return tensor
    return build.emit("SLICE", [tensor, _numbers(build, begins), _numbers(build, sizes)], dtype=tensor.dtype)


def _strided(build: Builder, tensor: Tensor, parts: dict[int, range]) -> Tensor:
    ranges = [parts.get(axis, range(size)) for axis, size in enumerate(tensor.shape)]
    bounds = ([part.start for part in ranges], [part.stop for part in ranges], [part.step for part in ranges])
    masks = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    inputs = [tensor, *(_numbers(build, numbers) for numbers in bounds)]
    return build.emit("STRIDED_SLICE", inputs, dict.fromkeys(masks, 0), dtype=tensor.dtype)


def _numbers(build: Builder, numbers: Sequence[int]) -> Tensor:
    return build.constant(np.array(numbers, np.int32))


def _gather(node: Node, build: Builder) -> Value:
    """One index, or several that follow each other, are a SLICE; others a GATHER."""
    value, indices = node.value(), node.constant(1).astype(np.int64)
    axis = node.integer("axis", 0)
    stored = value.stored_axis(axis)
    length = value.tensor.shape[stored]
    if indices.ndim > 1 or not indices.size or (np.abs(indices + 0.5) > length).any():
        raise node.refusal(f"takes the elements {indices.tolist()} of {length}")
    chosen = np.atleast_1d(indices) % length
    if (np.diff(chosen) == 1).all():
        tensor = _cut(build, value.tensor, {stored: (int(chosen[0]), len(chosen))})
    else:
        attributes = {"axis": stored, "batch_dims": 0}
        tensor = build.emit("GATHER", [value.tensor, build.constant(chosen)], attributes, dtype=value.tensor.dtype)
    taken = Value(tensor, value.order)
    if indices.ndim:
        return taken
    return build.regroup(taken, [size for place, size in enumerate(taken.shape) if place != axis % taken.rank])


SELECTION: Final[dict[str, Translator]] = {
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
}
