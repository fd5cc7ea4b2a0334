"""Finds the raw heads of a detector in a TensorFlow 1 graph by its structure, not by its names.

A frozen detection graph is: image, pre-processing (often a loop), network, raw box and score tensors, decoding,
and sometimes suppression. The network begins where the first convolution with constant weights reads. The raw
scores are the concatenation that a sigmoid or softmax reads, with no convolution behind it; the raw boxes are the
concatenation that the exponentials of the box decoder read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from coralsmith.errors import UnsupportedModelError

CONVOLUTIONS: Final = frozenset({"Conv2D", "DepthwiseConv2dNative", "_FusedConv2D"})
SCORE_ACTIVATIONS: Final = {"Sigmoid": "sigmoid", "Softmax": "softmax"}
# Operators that steer which others run (tensorflow/core/ops/control_flow_ops.cc and functional_ops.cc).
CONTROL_FLOW: Final = frozenset({
    "Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond",
    "If", "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase", "For",
})  # fmt: skip
_CONCATENATIONS: Final = frozenset({"ConcatV2", "Concat"})
# Operators that move or rename values only.
_MOVING: Final = frozenset({"Identity", "Reshape", "Squeeze", "ExpandDims", "Transpose", "Snapshot"})
# Between the raw scores and their activation the TF Object Detection API scales: `logit_scale`, nearly always 1.
_SCALING: Final = frozenset({"Mul", "RealDiv"})
# Operators between raw boxes and the exponentials of a decoder: taking columns apart, and dividing by the scales.
_DECODING: Final = _MOVING | {
    "Unpack", "Split", "SplitV", "StridedSlice", "Slice", "Mul", "RealDiv", "Div", "Minimum", "Maximum", "Pack",
}  # fmt: skip
# Values that depend on the shape of a tensor only, not on what it holds.
_SHAPES: Final = frozenset({"Shape", "ShapeN", "Size", "Rank"})
# Positions of the limits among the inputs (tensorflow/core/ops/image_ops.cc), as fields of a head's `nms`.
_SUPPRESSION: Final[dict[str, dict[str, int]]] = {
    "NonMaxSuppressionV2": {"max_detections": 2, "iou": 3},
    "NonMaxSuppressionV3": {"max_detections": 2, "iou": 3, "score": 4},
    "NonMaxSuppressionV4": {"max_detections": 2, "iou": 3, "score": 4},
    "NonMaxSuppressionV5": {"max_detections": 2, "iou": 3, "score": 4},
    "CombinedNonMaxSuppression": {"max_detections": 3, "iou": 4, "score": 5},
}
SUPPRESSING: Final = frozenset(_SUPPRESSION)
"""Operators of non-maximum suppression: a graph that holds one decodes its boxes itself."""


class NodeGraph:
    """The data edges of a GraphDef."""

    def __init__(self, graph_def: Any) -> None:
        self.nodes: dict[str, Any] = {node.name: node for node in graph_def.node}
        self.readers: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in graph_def.node:
            for source in self.sources(node.name):
                self.readers[source].append(node.name)

    def kind(self, name: str) -> str:
        """Operator of a node."""
        return str(self.nodes[name].op)

    def sources(self, name: str) -> list[str]:
        """Names of the nodes whose values a node reads."""
        inputs = [tensor for tensor in self.nodes[name].input if not tensor.startswith("^")]
        sources = [tensor.partition(":")[0] for tensor in inputs]
        missing = [source for source in sources if source not in self.nodes]
        if missing:
            raise UnsupportedModelError(
                f"Node '{name}' of the graph reads '{missing[0]}', which is not there.",
                hint="The graph is damaged, or was cut by hand: export or download the model again.",
            )
        return sources

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of a constant, also behind identities and loop entries; None for anything else."""
        import tensorflow as tf

        for _ in range(len(self.nodes)):
            node = self.nodes[name]
            if node.op == "Const":
                value: NDArray[Any] = tf.make_ndarray(node.attr["value"].tensor)
                return value
            if node.op not in ("Identity", "Enter") or not node.input:
                return None
            name = self.sources(name)[0]
        return None

    def downstream(self, start: str) -> Iterator[str]:
        """Every node that a node's values reach, nearest first."""
        return _walk([start], lambda name: self.readers[name])

    def upstream(self, start: str, through: Iterable[str] | None = None) -> Iterator[str]:
        """Every node whose values a node depends on, nearest first.

        Args:
            start: Where to begin; it is not among the results.
            through: Kinds of nodes to go on through; by default all but those that read shapes only.
        """
        allowed = None if through is None else frozenset(through)

        def follow(name: str) -> list[str]:
            kind = self.kind(name)
            goes_on = kind not in _SHAPES if allowed is None else kind in allowed
            return self.sources(name) if goes_on or name == start else []

        return _walk([start], follow)

    def upstream_until(self, start: str, end: str) -> Iterator[str]:
        """Every node that a node depends on when the value of the node `end` is given."""
        return _walk([start], lambda name: [] if name == end else self.sources(name))

    def reaches_convolution(self, name: str) -> bool:
        """Whether a node's values go into a convolution, so that the node is inside the network."""
        return any(self.kind(node) in CONVOLUTIONS for node in self.downstream(name))

    def comes_from_convolution(self, name: str) -> bool:
        """Whether a node's values come out of a convolution."""
        return any(self.kind(node) in CONVOLUTIONS for node in self.upstream(name))


def _walk(start: list[str], follow: Callable[[str], list[str]]) -> Iterator[str]:
    seen = set(start)
    waiting = deque(start)
    while waiting:
        for name in follow(waiting.popleft()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
                yield name


@dataclass(frozen=True)
class Heads:
    """The raw heads of a detection graph, as node names.

    Attributes:
        boxes: Concatenation of the raw boxes.
        scores: Concatenation of the raw scores, or what scales them by another number than 1.
        activation: Node that turns the scores into probabilities.
        exponentials: Nodes of the box decoder that make sizes out of logarithms.
    """

    boxes: str
    scores: str
    activation: str
    exponentials: tuple[str, ...]


def find_image(graph: NodeGraph) -> str:
    """The placeholder of the image.

    Raises:
        UnsupportedModelError: There is not exactly one placeholder that reaches a convolution.
    """
    placeholders = [name for name in graph.nodes if graph.kind(name) == "Placeholder"]
    images = [name for name in placeholders if graph.reaches_convolution(name)]
    if len(images) != 1:
        raise UnsupportedModelError(
            f"The graph has {len(images)} placeholders that reach a convolution, not one.",
            hint=f"Placeholders: {', '.join(placeholders) or 'none'}. Freeze the inference graph of the detector.",
        )
    return images[0]


def find_network_input(graph: NodeGraph, image: str) -> str:
    """The tensor that the network itself begins with: what the first convolution with constant weights reads.

    Explicit padding before it belongs to the network.
    """
    for name in graph.downstream(image):
        if graph.kind(name) in CONVOLUTIONS and graph.constant(graph.sources(name)[1]) is not None:
            tensor = str(graph.nodes[name].input[0])
            while graph.kind(tensor.partition(":")[0]) in ("Pad", "PadV2", "MirrorPad"):
                tensor = str(graph.nodes[tensor.partition(":")[0]].input[0])
            return tensor
    raise UnsupportedModelError(
        "No convolution with constant weights reads the image.",
        hint="Freeze the graph, so that its variables become constants.",
    )


def find_heads(graph: NodeGraph) -> Heads | None:
    """The raw heads, or None for a graph that decodes no boxes.

    Raises:
        UnsupportedModelError: Boxes are decoded, but it is not clear from what.
    """
    exponentials = tuple(
        name for name in graph.nodes if graph.kind(name) == "Exp" and not graph.reaches_convolution(name)
    )
    box_sources = {_first_concatenation(graph, name, _DECODING | {"Exp"}) for name in exponentials} - {None}
    activations = {
        name: source
        for name in graph.nodes
        if graph.kind(name) in SCORE_ACTIVATIONS
        and not graph.reaches_convolution(name)
        and (source := _raw_scores(graph, name)) not in (None, *box_sources)
    }
    if not box_sources or not activations:
        return None
    if len(box_sources) > 1 or len(set(activations.values())) > 1:
        found = sorted(str(name) for name in {*box_sources, *activations.values()})
        raise UnsupportedModelError(
            f"The graph has more than one pair of box and score heads: {', '.join(found)}.",
            hint="coralsmith converts detectors with one box output and one score output.",
        )
    activation, scores = next(iter(activations.items()))
    boxes = next(iter(box_sources))
    assert boxes is not None and scores is not None
    return Heads(boxes, scores, activation, exponentials)


def _first_concatenation(graph: NodeGraph, name: str, through: frozenset[str]) -> str | None:
    """The nearest concatenation of values out of convolutions, going back through the given kinds only."""
    for source in graph.upstream(name, through):
        if graph.kind(source) in _CONCATENATIONS and graph.comes_from_convolution(source):
            return source
    return None


def _raw_scores(graph: NodeGraph, activation: str) -> str | None:
    """What an activation is applied to: a concatenation, or a scaling of it that changes the values."""
    joined = _first_concatenation(graph, activation, _MOVING | _SCALING)
    for name in () if joined is None else graph.upstream(activation, _MOVING | _SCALING):
        if name == joined:
            break
        if graph.kind(name) in _SCALING and not _keeps_values(graph, name):
            return name
    return joined


def _keeps_values(graph: NodeGraph, name: str) -> bool:
    """Whether a node multiplies or divides by a constant of ones."""
    factors = [graph.constant(source) for source in graph.sources(name)]
    return any(factor is not None and bool((factor == 1).all()) for factor in factors)


def find_outputs(graph: NodeGraph) -> list[str]:
    """The nodes that nobody reads and that the network makes: the outputs of a graph without a decoder."""
    return [name for name in graph.nodes if not graph.readers[name] and graph.comes_from_convolution(name)]


def _neat(scalar: NDArray[Any]) -> float:
    """A float32 scalar as the decimal number that it was written as."""
    return float(f"{float(scalar.flat[0]):.6g}")


def find_suppression(graph: NodeGraph) -> dict[str, float]:
    """Limits of the non-maximum suppression in the graph, as fields of a head's `nms`; empty where it has none."""
    for name in graph.nodes:
        positions = _SUPPRESSION.get(graph.kind(name), {})
        sources = graph.sources(name) if positions else []
        values = {field: graph.constant(sources[position]) for field, position in positions.items()}
        known = {field: _neat(value) for field, value in values.items() if value is not None}
        if known:
            return known
    return {}
