"""Means, sums and extremes along axes; Softmax and norms; Gemm and MatMul."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np

from coralsmith.graph import Array, Attribute, Tensor
from coralsmith.importers.onnx.builder import FIXED, Builder
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.table import Translator
from coralsmith.importers.onnx.values import Value


def _reduce(kind: str, node: Node, build: Builder) -> Value:
    value = node.value()
    axes = _axes(node, value)
    if not axes:
        return value
    return _dropped(node, build, value, axes, _reduced(build, kind, value, axes))


def _norm(node: Node, build: Builder) -> Value:
    """The root of the sum of squares."""
    value = node.value()
    axes = _axes(node, value)
    squares = Value(build.emit("MUL", [value.tensor, value.tensor], FIXED), value.order)
    root = build.emit("SQRT", [_reduced(build, "SUM", squares, axes)])
    return _dropped(node, build, value, axes, root)


def _axes(node: Node, value: Value) -> list[int]:
    found = node.setting("axes", 1)
    if not found:
        return [] if node.integer("noop_with_empty_axes", 0) else list(range(value.rank))
    return sorted(axis % value.rank for axis in found)


def _reduced(build: Builder, kind: str, value: Value, axes: list[int]) -> Tensor:
    places = np.array(sorted(value.stored_axis(axis) for axis in axes), np.int32)
    return build.emit(kind, [value.tensor, build.constant(places)], {"keep_dims": True})


def _dropped(node: Node, build: Builder, value: Value, axes: list[int], tensor: Tensor) -> Value:
    """The reduced value, without its axes of length 1 unless they are to be kept."""
    reduced = Value(tensor, value.order)
    if node.integer("keepdims", 1):
        return reduced
    return build.regroup(reduced, [size for axis, size in enumerate(value.shape) if axis not in axes])


def _along_last(kind: str, attributes: Mapping[str, Attribute], default: int, node: Node, build: Builder) -> Value:
    """An operator of TensorFlow Lite that works along the last stored axis."""
    value = node.value()
    axis = node.integer("axis", default)
    stored = value.stored_axis(axis)
    order = (*value.order[:stored], *value.order[stored + 1 :], value.order[stored])
    return Value(build.emit(kind, [build.stored(value, order)], attributes), order)


def _softmax(kind: str, attributes: Mapping[str, Attribute], node: Node, build: Builder) -> Value:
    """Until operator set 12 all axes from the given one on are one row."""
    if node.opset >= 13:
        return _along_last(kind, attributes, -1, node, build)
    value = node.value()
    axis = node.integer("axis", 1) % value.rank
    rows, columns = math.prod(value.shape[:axis]), math.prod(value.shape[axis:])
    if columns == value.shape[axis]:
        return _along_last(kind, attributes, axis, node, build)
    flat = build.plain(build.regroup(value, (rows, columns)))
    return build.regroup(Value.plain(build.emit(kind, [flat], attributes)), value.shape)


def _lp_normalization(node: Node, build: Builder) -> Value:
    if node.integer("p", 2) != 2:
        raise node.refusal("is not the norm with p = 2")
    return _along_last("L2_NORMALIZATION", FIXED, -1, node, build)


def _gemm(node: Node, build: Builder) -> Value:
    """FULLY_CONNECTED with the factors alpha and beta in its constants."""
    if node.integer("transA", 0):
        raise node.refusal("multiplies by its transposed input")
    weights = node.weights(1) * np.float32(node.number("alpha", 1.0))
    rows = weights if node.integer("transB", 0) else weights.T
    bias = node.weights(2) * np.float32(node.number("beta", 1.0)) if node.has(2) else np.zeros(1, np.float32)
    return _fully_connected(node, build, rows, bias)


def _mat_mul(node: Node, build: Builder) -> Value:
    """FULLY_CONNECTED along the last axis."""
    weights = node.weights(1)
    if weights.ndim != 2:
        raise node.refusal(f"multiplies by {list(weights.shape)}, and only constant matrices have a form here")
    return _fully_connected(node, build, weights.T, np.zeros(1, np.float32))


def _fully_connected(node: Node, build: Builder, rows: Array, bias: Array) -> Value:
    value = node.value()
    if rows.ndim != 2 or value.shape[-1] != rows.shape[1] or bias.size not in (1, len(rows)):
        raise node.refusal(f"multiplies {list(value.shape)} by {list(rows.T.shape)}")
    biases = np.broadcast_to(bias.reshape(-1), (len(rows),)).astype(np.float32)
    inputs = [build.plain(value), build.constant(rows), build.constant(biases)]
    attributes = {"keep_num_dims": value.rank != 2, **FIXED}
    return Value.plain(build.emit("FULLY_CONNECTED", inputs, attributes))


REDUCTIONS: Final[dict[str, Translator]] = {
    **{
        kind: partial(_reduce, name)
        for kind, name in {
            "ReduceMean": "MEAN",
            "ReduceSum": "SUM",
            "ReduceMax": "REDUCE_MAX",
            "ReduceMin": "REDUCE_MIN",
        }.items()
    },
    "ReduceL2": _norm,
    "Softmax": partial(_softmax, "SOFTMAX", {"beta": 1.0}),
    "LogSoftmax": partial(_softmax, "LOG_SOFTMAX", {}),
    "LpNormalization": _lp_normalization,
    "Gemm": _gemm,
    "MatMul": _mat_mul,
}
