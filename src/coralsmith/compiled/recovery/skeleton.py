"""The topology that a compiled file is read with: operators, shapes and attributes, without any value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

from coralsmith.compiled.packed_layer import has_known_packing
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.model import Graph, Op, Tensor

WEIGHTED: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
SAME_SCALE: Final = frozenset({"RESHAPE", "SQUEEZE", "MAX_POOL_2D", "AVERAGE_POOL_2D"})
"""Operators whose output has the scale of their input."""

MOVERS: Final = frozenset({"SOFTMAX", "RESHAPE", "CONCATENATION", "MAX_POOL_2D"})
"""Operators that newer compilers carry out by moving values about, with constants and matrices of their own."""

_OTHERS: Final = frozenset({"ADD", "CONCATENATION", "SOFTMAX", "LOGISTIC"})
_CARRIERS: Final = frozenset({"QUANTIZE", "DEQUANTIZE"})
_MOST_OUTPUTS: Final = 6
_OPERANDS: Final = 2
_ACTIVATIONS: Final = frozenset({"NONE", "RELU", "RELU6"})
_NO_ACTIVATION: Final = frozenset({None, "NONE"})


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A topology.

    Attributes:
        name: What it is, for people.
        graph: What runs on the chip. Its constants have shapes; the values of weights and biases mean nothing.
    """

    name: str
    graph: Graph


def skeletons_of(
    model: Graph, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> Iterator[Skeleton]:
    """The part of a model that a compiled file of the same architecture runs on the chip.

    Where the model's tensors are called like the boundary of the compiled file, they are the boundary here too;
    else everything but the post-processing is taken to run on the chip, with inputs and outputs in every order
    that their shapes allow.

    Args:
        model: Any model of that architecture, float or quantized.
        name: What to call it.
        inputs: What the compiled file gives to the chip.
        outputs: What the chip gives back.

    Raises:
        UnsupportedModelError: It holds operators that cannot be recovered, or no such boundary.
    """
    model.verify("reading the model that serves as topology")
    graph = _without_carriers(model)
    graph.inputs = _named(graph, inputs) or graph.inputs
    graph.outputs = _named(graph, outputs) or _before_postprocessing(graph)
    _cut(graph)
    for op in graph.ops:
        _require_known(op)
    orders = [(first, last) for first in _orders(graph.inputs, inputs) for last in _orders(graph.outputs, outputs)]
    if not orders:
        raise UnsupportedModelError(
            f"The model leads from {_shapes(graph.inputs)} to {_shapes(graph.outputs)}, the compiled file from "
            f"{_shapes(inputs)} to {_shapes(outputs)}.",
            hint="Give a model of exactly the architecture that was compiled.",
        )
    for first, last in orders:
        yield Skeleton(name, Graph(graph.ops, first, last))


def layers(graph: Graph) -> list[Op]:
    """The operators with weights, in execution order."""
    return [op for op in graph.ops if op.kind in WEIGHTED]


def softmax_classes(graph: Graph) -> int:
    """How many classes the graph's SOFTMAX tells apart; 0 if it has none, or several."""
    found = [op.output.shape[-1] for op in graph.ops if op.kind == "SOFTMAX" and op.output.shape]
    return found[0] if len(found) == 1 else 0


def _without_carriers(model: Graph) -> Graph:
    """A copy without the operators that only carry values over to another scale or type."""
    graph = model.copy()
    for op in [op for op in graph.ops if op.kind in _CARRIERS]:
        source, target = op.inputs[0], op.output
        if source is None:
            continue
        if target in graph.outputs:
            source.name = target.name
        elif source in graph.inputs:
            source.name = target.name if source.is_float else source.name
        graph.replace_tensor(target, source)
        graph.ops.remove(op)
    return graph


def _named(graph: Graph, boundary: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that are called like those of the boundary; none if one is missing."""
    by_name = {tensor.name: tensor for tensor in graph.tensors()}
    found = [by_name[tensor.name] for tensor in boundary if tensor.name in by_name]
    fits = len(found) == len(boundary) and all(f.shape == b.shape for f, b in zip(found, boundary, strict=True))
    return found if fits else []


def _orders(own: Sequence[Tensor], boundary: Sequence[Tensor]) -> list[list[Tensor]]:
    """The orders of tensors in which they have the shapes, and where they can the names, of a boundary."""
    if len(own) != len(boundary) or len(own) > _MOST_OUTPUTS:
        return []
    if [tensor.name for tensor in own] == [tensor.name for tensor in boundary]:
        return [list(own)] if _same_shapes(own, boundary) else []
    return [list(order) for order in permutations(own) if _same_shapes(order, boundary)]


def _same_shapes(own: Sequence[Tensor], boundary: Sequence[Tensor]) -> bool:
    return all(inner.shape == outer.shape for inner, outer in zip(own, boundary, strict=True))


def _shapes(tensors: Sequence[Tensor]) -> str:
    return ", ".join(str(list(tensor.shape)) for tensor in tensors)


def _before_postprocessing(graph: Graph) -> list[Tensor]:
    """What custom operators at the end read, in place of what they write."""
    makers = graph.producers()
    outputs: dict[Tensor, None] = {}
    for tensor in graph.outputs:
        maker = makers.get(tensor)
        is_custom = maker is not None and maker.kind == "CUSTOM"
        outputs.update(dict.fromkeys(maker.activations() if is_custom and maker is not None else [tensor]))
    return list(outputs)


def _cut(graph: Graph) -> None:
    """Keep the operators between the graph's inputs and outputs."""
    wanted, kept = set(graph.outputs) - set(graph.inputs), []
    for op in reversed(graph.ops):
        if any(tensor in wanted for tensor in op.outputs):
            kept.append(op)
            wanted.update(set(op.activations()) - set(graph.inputs))
    graph.ops = kept[::-1]
    made = {tensor for op in graph.ops for tensor in op.outputs}
    loose = [tensor for op in graph.ops for tensor in op.activations() if tensor not in made | set(graph.inputs)]
    if loose or not graph.ops:
        raise UnsupportedModelError(
            "The model has no part with the inputs and outputs of the compiled file.",
            hint="Give a model of exactly the architecture that was compiled.",
        )


def _require_known(op: Op) -> None:
    """Refuse an operator whose compiled form is not known, or that is not connected as such operators are."""
    known = op.kind in WEIGHTED | SAME_SCALE | _OTHERS and len(op.outputs) == 1
    if not known or not _is_usual(op):
        raise UnsupportedModelError(
            f"{op.custom_code or op.kind} '{op.name}' cannot be recovered: how it is compiled is not known.",
        )


def _is_usual(op: Op) -> bool:
    """Whether an operator's weights are constants, its other inputs are not, and its options are usual."""
    values = sum(1 for _ in op.activations())
    activations = _ACTIVATIONS if op.kind in WEIGHTED else _NO_ACTIVATION
    if op.attributes.get("fused_activation_function") not in activations or op.attributes.get("beta", 1) != 1:
        return False
    if op.kind in WEIGHTED:
        return values == 1 and has_known_packing(op) and op.required_input("filter").is_constant
    if op.kind == "CONCATENATION":
        return values == len(op.inputs)
    return values == len(op.inputs) == _OPERANDS if op.kind == "ADD" else values == 1
