"""Brings a float graph into one form, whatever file it came from.

The same network as `.keras`, SavedModel and `.tflite` has bit-identical weights after conversion; what differs is
the order of operators and outputs and every name. With those made canonical, equal networks give equal files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from coralsmith.graph import OPERATORS, Graph, Op, Tensor
from coralsmith.importers.naming import free_name

INPUT_NAME: Final = "image"
# Function calls that exporters wrap around a network; they say nothing about it.
_WRAPPERS: Final = ("StatefulPartitionedCall", "PartitionedCall", "jit_", "serving_default")


def canonicalise(graph: Graph, outputs: Mapping[str, str] | None = None) -> None:
    """Order outputs and operators, and name all tensors, in place.

    Args:
        graph: A float graph with one input.
        outputs: For each output's present name its new one, in the order that the outputs are to have. By default
            they keep their names, those with four columns (boxes) first, then by name.
    """
    names = outputs or {tensor.name: tensor.name for tensor in sorted(graph.outputs, key=_boxes_first)}
    by_name = {tensor.name: tensor for tensor in graph.outputs}
    graph.outputs = [by_name[name] for name in names]
    order_operators(graph)
    _name_tensors(graph, list(names.values()))


def order_operators(graph: Graph) -> None:
    """Put the operators in the order in which the outputs, one after the other, need them; the rest is dropped."""
    producers = graph.producers()
    ordered: dict[Op, None] = {}
    for output in graph.outputs:
        pending = [producers[output]] if output in producers else []
        while pending:
            op = pending[-1]
            missing = [
                producers[tensor]
                for tensor in op.activations()
                if tensor in producers and producers[tensor] not in ordered
            ]
            if op not in ordered and missing:
                pending.extend(reversed(missing))
            else:
                ordered.setdefault(pending.pop())
    graph.ops = list(ordered)


def _boxes_first(tensor: Tensor) -> tuple[bool, str]:
    return (tensor.shape[-1:] != (4,), tensor.name)


def _name_tensors(graph: Graph, output_names: list[str]) -> None:
    """Outputs first, so that no other tensor takes their names; then input, activations, and constants by role."""
    taken = set(output_names)
    named: set[Tensor] = set(graph.outputs)

    def assign(tensor: Tensor, name: str) -> None:
        if tensor not in named:
            tensor.name = free_name(name, taken)
            taken.add(tensor.name)
            named.add(tensor)

    for tensor, name in zip(graph.outputs, output_names, strict=True):
        tensor.name = name
    for tensor in graph.inputs:
        assign(tensor, INPUT_NAME)
    prefix = _common_scope(
        [_plain(tensor.name) for op in graph.ops for tensor in op.outputs if tensor not in named]
    )
    for op in graph.ops:
        for tensor in op.outputs:
            assign(tensor, _plain(tensor.name).removeprefix(prefix))
        for position, constant in enumerate(op.inputs):
            if constant is not None:
                assign(constant, f"{op.name}/{_role(op, position)}")


def _plain(name: str) -> str:
    """The last layer that a converter fused into a tensor ("a;b;c"), without the function calls around it."""
    first = next((part for part in name.split(";") if part), name)
    scopes = first.split("/")
    while len(scopes) > 1 and scopes[0].startswith(_WRAPPERS):
        scopes.pop(0)
    return "/".join(scopes)


def _common_scope(names: list[str]) -> str:
    """The scope that all names begin with (the name of the model), or ''."""
    scopes = {name.partition("/")[0] if "/" in name else "" for name in names}
    scope = scopes.pop() if len(scopes) == 1 else ""
    return f"{scope}/" if scope else ""


def _role(op: Op, position: int) -> str:
    names = OPERATORS[op.kind].inputs if op.kind in OPERATORS else ()
    return names[position] if position < len(names) else f"input{position}"
