"""Takes fused operators apart: a convolution or product, its bias, its activation. Runs in the child process.

TensorFlow's optimiser and tensorflowjs_converter fuse them for the browser. TensorFlow Lite's converter knows none
of them, TensorFlow itself only some.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from coralsmith.errors import MalformedModelError, UnsupportedModelError

CONTRACTIONS: Final = {
    "_FusedConv2D": "Conv2D",
    "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
    "_FusedMatMul": "MatMul",
}
"""What each fused operator begins with. (The depthwise one is tensorflowjs_converter's own.)"""

PRELU: Final = "Prelu"
"""An operator that only TensorFlow.js has, fused or alone."""

_BIAS: Final = "BiasAdd"
# Attributes of each single operator, by the names that the fused one has them under.
_CONVOLUTION: Final = ("strides", "padding", "explicit_paddings", "data_format", "dilations")
_ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "Conv2D": _CONVOLUTION,
    "DepthwiseConv2dNative": _CONVOLUTION,
    "MatMul": ("transpose_a", "transpose_b"),
    _BIAS: ("data_format",),
    "LeakyRelu": ("leakyrelu_alpha",),
}
_ACTIVATIONS: Final = frozenset({"Relu", "Relu6", "Elu", "Sigmoid", "Tanh", "LeakyRelu"})
_FLOAT: Final = 1  # DT_FLOAT of tensorflow/core/framework/types.proto


def split_fused_operators(graph_def: Any) -> None:
    """Replace every fused operator of a GraphDef by single ones; the last one keeps the name that others read.

    `num_args` is not looked at: some versions of tensorflowjs_converter counted activations in it, which read
    nothing.

    Raises:
        MalformedModelError: A fused operator has too few inputs.
        UnsupportedModelError: It fuses something that is not known.
    """
    names = {node.name for node in graph_def.node}
    nodes = [part for node in graph_def.node for part in _parts(node, names)]
    del graph_def.node[:]
    graph_def.node.extend(nodes)


def _parts(node: Any, names: set[str]) -> Iterator[Any]:
    """The nodes that stand for a node: itself, where it is not fused."""
    if node.op == PRELU:
        steps, read = [PRELU], 1
    elif node.op in CONTRACTIONS:
        fused = [step.decode("utf-8", "replace") for step in node.attr["fused_ops"].list.s]
        steps, read = [CONTRACTIONS[node.op], *fused], 2
    else:
        yield node
        return
    inputs = [tensor for tensor in node.input if not tensor.startswith("^")]
    values, arguments = inputs[:read], inputs[read:]
    for number, step in enumerate(steps, start=1):
        name = node.name if number == len(steps) else _free_name(f"{node.name}/{step}", names)
        wanted = 1 if step in (_BIAS, PRELU) else 0
        if len(values) < (read if number == 1 else 1) or len(arguments) < wanted:
            raise MalformedModelError(
                f"The node '{node.name}' ({node.op}) has too few inputs for {step}.",
                hint="The graph is damaged: export or download the model again.",
            )
        yield from _step(node, step, name, values + arguments[:wanted], names)
        values, arguments = [name], arguments[wanted:]


def _step(node: Any, step: str, name: str, inputs: list[str], names: set[str]) -> Iterator[Any]:
    if step == PRELU:
        yield from _leaky(node, name, *inputs, names=names)
    elif step in _ATTRIBUTES or step in _ACTIVATIONS:
        yield _single(node, step, name, inputs)
    else:
        raise UnsupportedModelError(
            f"The node '{node.name}' ({node.op}) fuses {step}, which is not known.",
            hint=f"Export it without this fusion. Known are {_BIAS}, {PRELU}, {', '.join(sorted(_ACTIVATIONS))}.",
        )


def _leaky(node: Any, name: str, value: str, slope: str, *, names: set[str]) -> Iterator[Any]:
    """PReLU as Keras writes it, which TensorFlow Lite's converter knows: relu(x) + (-slope) * relu(-x)."""
    made = {
        part: _free_name(f"{name}/{part}", names) for part in ("positive", "mirrored", "negative", "slope", "left")
    }
    yield _single(node, "Relu", made["positive"], [value])
    yield _single(node, "Neg", made["mirrored"], [value])
    yield _single(node, "Relu", made["negative"], [made["mirrored"]])
    yield _single(node, "Neg", made["slope"], [slope])
    yield _single(node, "Mul", made["left"], [made["slope"], made["negative"]])
    yield _single(node, "AddV2", name, [made["positive"], made["left"]])


def _single(node: Any, operator: str, name: str, inputs: list[str]) -> Any:
    """A node with those attributes of the fused one that it has."""
    made = type(node)(name=name, op=operator, input=inputs)
    made.attr["T"].type = node.attr["T"].type if "T" in node.attr else _FLOAT
    for attribute in _ATTRIBUTES.get(operator, ()):
        if attribute in node.attr and not _is_empty_padding(node, attribute):
            made.attr[attribute.removeprefix("leakyrelu_")].CopyFrom(node.attr[attribute])
    return made


def _is_empty_padding(node: Any, attribute: str) -> bool:
    return attribute == "explicit_paddings" and not node.attr[attribute].list.i


def _free_name(name: str, names: set[str]) -> str:
    while name in names:
        name += "_"
    names.add(name)
    return name
