"""Computes nodes whose inputs are all constant, by onnxruntime itself: shape arithmetic, mostly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from coralsmith.graph import Array
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.session import open_session
from coralsmith.importers.onnx.values import Value

_NEVER: Final = frozenset(
    {"If", "Loop", "Scan", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}
)
_MAX_ELEMENTS: Final = 1 << 26


def is_computable(node: Node) -> bool:
    """Whether a node is one constant for all images."""
    known = not any(isinstance(operand, Value) for operand in node.inputs)
    return known and node.kind not in _NEVER and (bool(node.inputs) or node.kind == "Constant")


def compute(proto: Any, node: Node, ir_version: int) -> Sequence[Array]:
    """The outputs of a node with constant inputs.

    Raises:
        UnsupportedModelError: onnxruntime cannot compute it, or it would be far larger than a model.
    """
    if node.kind == "Constant" and "value" in node.attributes:
        return [node.attributes["value"]]
    _require_moderate(node)
    inputs = {
        name: operand for name, operand in zip(node.input_names, node.inputs, strict=True) if operand is not None
    }
    graph = helper.make_graph(
        [proto],
        "constant",
        [],
        [onnx.ValueInfoProto(name=name) for name in node.outputs if name],
        [numpy_helper.from_array(array, name) for name, array in inputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)], ir_version=ir_version)
    try:
        results: list[Array] = open_session(model.SerializeToString()).run(None, {})
    except Exception as error:  # onnxruntime raises many types, documented nowhere
        raise node.refusal(f"cannot be computed. {essential_line(error)}") from error
    return results


def _require_moderate(node: Node) -> None:
    """Refuse what asks for a constant of enormous size; a hostile file needs only a few bytes to do so."""
    size = _SIZES[node.kind](node) if node.kind in _SIZES else 0.0
    if size > _MAX_ELEMENTS:
        raise node.refusal(f"makes a constant of {size:.3g} elements")


def _product(numbers: Array) -> float:
    return float(np.prod(numbers.astype(np.float64)))


def _range_size(node: Node) -> float:
    start, limit, step = (float(node.constant(position)) for position in range(3))
    return abs(limit - start) / max(abs(step), 1e-30)


_SIZES: Final[dict[str, Callable[[Node], float]]] = {
    "ConstantOfShape": lambda node: _product(node.constant(0)),
    "Expand": lambda node: _product(node.constant(1)) * node.constant(0).size,
    "Tile": lambda node: _product(node.constant(1)) * node.constant(0).size,
    "Range": _range_size,
}
"""About how many elements the operators make that can make many out of few."""
