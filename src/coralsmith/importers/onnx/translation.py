"""From an ONNX model to the graph: one walk over its nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from coralsmith.errors import MalformedModelError, UnsupportedModelError
from coralsmith.graph import Array, Graph, Tensor
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.onnx.builder import Builder
from coralsmith.importers.onnx.constants import compute, is_computable
from coralsmith.importers.onnx.folding import fold_into_convolutions
from coralsmith.importers.onnx.image_input import ImageInput
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.operators import REASONS, TRANSLATORS
from coralsmith.importers.onnx.values import Operand, Order, Value

# What numpy and Python say of attributes that are no numbers, sizes without bounds, axes that do not exist.
_DAMAGE: Final = (ArithmeticError, LookupError, TypeError, ValueError)


def translate(model: Any, image: ImageInput) -> tuple[Graph, dict[str, Order]]:
    """The graph of a model, and how each of its outputs is stored.

    Activations are float32 and stored channels-last from the image on; the graph's outputs bear the names of the
    source's. An output of other than four axes has the source's own order.

    Args:
        model: ModelProto with a fixed image size.
        image: Its input.

    Raises:
        UnsupportedModelError: A node has no form here.
        MalformedModelError: A node reads what no node before it writes.
    """
    build = Builder()
    tensor = Tensor(image.name, image.stored_shape, image.dtype)
    known: dict[str, Operand | None] = {"": None, image.name: Value(tensor, image.order)}
    known |= {constant.name: _array(constant) for constant in model.graph.initializer}
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    for proto in model.graph.node:
        node = _node(proto, known, opset)
        build.scope = next((name for name in node.outputs if name), node.name)
        known.update(zip(node.outputs, _outputs(proto, node, build, model.ir_version), strict=False))
        known[""] = None
    outputs = {entry.name: _output(entry.name, known, build) for entry in model.graph.output}
    graph = Graph(build.ops, [tensor], [value.tensor for value in outputs.values()])
    for name, value in outputs.items():
        value.tensor.name = name
    graph.prune()
    fold_into_convolutions(graph)
    return graph, {name: value.order for name, value in outputs.items()}


def _node(proto: Any, known: Mapping[str, Operand | None], opset: int) -> Node:
    missing = [name for name in proto.input if name not in known]
    name = proto.name or next(iter(proto.output), proto.op_type)
    if missing:
        raise MalformedModelError(
            f"The node '{name}' ({proto.op_type}) reads '{missing[0]}', which nothing before it makes.",
            hint="Export the model again.",
        )
    return Node(
        kind=proto.op_type,
        name=name,
        opset=opset,
        inputs=tuple(known[name] for name in proto.input),
        input_names=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes={attribute.name: _attribute(attribute) for attribute in proto.attribute},
    )


def _attribute(attribute: Any) -> Any:
    try:
        value = helper.get_attribute_value(attribute)
    except _DAMAGE as error:
        raise MalformedModelError(
            f"The attribute '{attribute.name}' is damaged. {essential_line(error)}"
        ) from error
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return _array(value) if isinstance(value, TensorProto) else value


def _array(constant: Any) -> Array:
    try:
        array: Array = numpy_helper.to_array(constant)
    except _DAMAGE as error:
        raise MalformedModelError(
            f"The constant '{constant.name}' is damaged. {essential_line(error)}", hint="Export the model again."
        ) from error
    return array


def _outputs(proto: Any, node: Node, build: Builder, ir_version: int) -> Sequence[Operand]:
    if is_computable(node):
        return compute(proto, node, ir_version)
    translator = TRANSLATORS.get(node.kind)
    if translator is None:
        raise node.refusal(REASONS.get(node.kind, "has no form here"))
    _require_float(node)
    try:
        result = translator(node, build)
    except _DAMAGE as error:
        raise node.refusal(f"does not fit its inputs. {essential_line(error)}") from error
    return result if isinstance(result, Sequence) else [result]


def _require_float(node: Node) -> None:
    """Refuse to compute with other than float32 activations; only their type and shape may be asked."""
    for name, operand in zip(node.input_names, node.inputs, strict=True):
        odd = isinstance(operand, Value) and operand.tensor.dtype != np.float32
        if odd and node.kind not in ("Cast", "Transpose", "Shape", "Identity"):
            assert isinstance(operand, Value)
            raise node.refusal(f"computes with '{name}', which is {operand.tensor.dtype}", "Export it in float32.")


def _output(name: str, known: Mapping[str, Operand | None], build: Builder) -> Value:
    value = known.get(name)
    if not isinstance(value, Value):
        raise UnsupportedModelError(
            f"The output '{name}' does not depend on the image.", hint="Export the model without it."
        )
    if value.rank == 4:
        return value
    build.scope = name
    return Value.plain(build.plain(value))


def stored_like(array: Array, order: Order) -> Array:
    """An output of the source in the order in which the graph stores it."""
    return np.ascontiguousarray(array.transpose(order))
