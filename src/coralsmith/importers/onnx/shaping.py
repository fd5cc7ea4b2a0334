"""What changes a shape: mostly nothing is computed, a value is only seen with other axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from coralsmith.importers.onnx.builder import Builder
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.table import Translator
from coralsmith.importers.onnx.values import CHANNELS_LAST, Operand, Value


def _shape(node: Node, _build: Builder) -> Operand:
    """The shape of an activation is known, so that all arithmetic on it is constant."""
    shape = np.array(node.value().shape, np.int64)
    end = node.attributes.get("end")
    return shape[node.integer("start", 0) : None if end is None else int(end)]


def _size(node: Node, _build: Builder) -> Operand:
    return np.array(math.prod(node.value().shape), np.int64)


def _reshape(node: Node, build: Builder) -> Value:
    value = node.value()
    asked = node.setting("shape", 1)
    if asked is None:
        raise node.refusal("lacks its shape")
    keep_zero = bool(node.integer("allowzero", 0))
    target = [
        value.shape[axis] if size == 0 and not keep_zero and axis < value.rank else size
        for axis, size in enumerate(asked)
    ]
    return build.regroup(value, _completed(node, value, target))


def _completed(node: Node, value: Value, target: list[int]) -> tuple[int, ...]:
    """The shape with its one open size found."""
    elements = math.prod(value.shape)
    known = math.prod(size for size in target if size != -1)
    if target.count(-1) > 1 or known < 1 or elements % known or (-1 not in target and elements != known):
        raise node.refusal(f"makes {target} of {list(value.shape)}, which has {elements} elements")
    return tuple(elements // known if size == -1 else size for size in target)


def _flatten(node: Node, build: Builder) -> Value:
    value, axis = node.value(), node.integer("axis", 1)
    axis += value.rank if axis < 0 else 0
    return build.regroup(value, (math.prod(value.shape[:axis]), math.prod(value.shape[axis:])))


def _squeeze(node: Node, build: Builder) -> Value:
    value = node.value()
    axes = node.setting("axes", 1)
    chosen = {axis % value.rank for axis in axes} if axes is not None else _unit_axes(value.shape)
    if any(value.shape[axis] != 1 for axis in chosen):
        raise node.refusal(f"drops the axes {sorted(chosen)} of {list(value.shape)}, which are not all 1")
    return build.regroup(value, [size for axis, size in enumerate(value.shape) if axis not in chosen])


def _unit_axes(shape: Sequence[int]) -> set[int]:
    return {axis for axis, size in enumerate(shape) if size == 1}


def _unsqueeze(node: Node, build: Builder) -> Value:
    value, axes = node.value(), node.setting("axes", 1) or ()
    rank = value.rank + len(axes)
    places = {axis % rank for axis in axes}
    rest = iter(value.shape)
    return build.regroup(value, [1 if axis in places else next(rest) for axis in range(rank)])


def _transpose(node: Node, _build: Builder) -> Value:
    """Only names axes anew."""
    value = node.value()
    permutation = node.integers("perm", range(value.rank)[::-1])
    if sorted(permutation) != list(range(value.rank)):
        raise node.refusal(f"orders {value.rank} axes by {list(permutation)}")
    return Value(value.tensor, tuple(permutation.index(axis) for axis in value.order))


def _expand(node: Node, build: Builder) -> Value:
    value = node.value()
    target = np.broadcast_shapes(value.shape, tuple(int(size) for size in node.constant(1)))
    if math.prod(target) != math.prod(value.shape):
        raise node.refusal(f"repeats {list(value.shape)} to {list(target)}")
    return build.regroup(value, target)


def _depth_to_space(node: Node, build: Builder) -> Value:
    if node.text("mode", "DCR") != "DCR":
        raise node.refusal("orders its channels as CRD, and only DCR has a form here")
    attributes = {"block_size": node.integer("blocksize", 1)}
    return Value(build.emit("DEPTH_TO_SPACE", [build.channels_last(node.image())], attributes), CHANNELS_LAST)


def _space_to_depth(node: Node, build: Builder) -> Value:
    attributes = {"block_size": node.integer("blocksize", 1)}
    return Value(build.emit("SPACE_TO_DEPTH", [build.channels_last(node.image())], attributes), CHANNELS_LAST)


SHAPING: Final[dict[str, Translator]] = {
    "Shape": _shape,
    "Size": _size,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Expand": _expand,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
