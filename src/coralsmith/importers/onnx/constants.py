"""Computes nodes whose inputs are all constant, by onnxruntime itself: shape arithmetic, mostly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import onnx
from onnx import helper, numpy_helper

from coralsmith.graph import Array
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.session import open_session

_NEVER: Final = frozenset(
    {"If", "Loop", "Scan", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}
)
_MAX_ELEMENTS: Final = 1 << 26


def is_computable(node: Node) -> bool:
    """Whether a node is one constant for all images."""
    known = not any(hasattr(operand, "order") for operand in node.inputs)
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
    if node.kind not in ("ConstantOfShape", "Expand", "Tile", "Range"):
        return
    numbers = [float(number) for operand in node.inputs for number in getattr(operand, "flat", ())][:64]
    size = 1.0
    for number in numbers:
        size *= max(abs(number), 1.0)
    if size > _MAX_ELEMENTS and node.kind != "Range":
        raise node.refusal(f"makes a constant of about {size:.0f} elements")
