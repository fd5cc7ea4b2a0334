"""Reads a graph that ends in TFLite_Detection_PostProcess: its raw heads, and what the operator's options tell.

TensorFlow has no such operator. The TF1 export (``export_tflite_ssd_graph.py``) holds a node of that name, the TF2
export (``export_tflite_graph_tf2.py``) calls an empty function that is declared to implement it. In the child.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from coralsmith.errors import MalformedModelError
from coralsmith.graph.postprocess_limits import CUSTOM_CODE
from coralsmith.importers.frozen_graph_entry import Entry
from coralsmith.importers.frozen_graph_head import api_head
from coralsmith.importers.frozen_graph_network import network_function
from coralsmith.importers.frozen_graph_session import GraphSession, rounded
from coralsmith.importers.frozen_graph_structure import NodeGraph
from coralsmith.importers.samples import Picture, Samples
from coralsmith.importers.tensorflow_conversion import TensorFlowSource

_IMPLEMENTS: Final = "_implements"
_OPTIONS: Final = (
    "max_detections", "nms_iou_threshold", "nms_score_threshold", "num_classes", "y_scale", "x_scale", "h_scale",
    "w_scale",
)  # fmt: skip


@dataclass(frozen=True)
class Postprocess:
    """The operator that a graph ended in.

    Attributes:
        boxes: Node of the raw boxes.
        scores: Node of the class probabilities.
        anchors: Node of the anchors.
        options: The operator's numbers by name.
    """

    boxes: str
    scores: str
    anchors: str
    options: dict[str, float]


def implementing_functions(graph_def: Any) -> list[Any]:
    """The functions of a graph's library that stand for the operator."""
    return [f for f in graph_def.library.function if f.attr[_IMPLEMENTS].func.name == CUSTOM_CODE]


def take_postprocess(graph_def: Any) -> Postprocess | None:
    """Take the operator out of a graph, with all that reads it; None where the graph has none.

    Args:
        graph_def: A GraphDef; it is changed.

    Raises:
        MalformedModelError: The operator lacks an input or an option.
    """
    functions = {f.signature.name: f.attr[_IMPLEMENTS].func for f in implementing_functions(graph_def)}
    nodes = [n for n in graph_def.node if n.op == CUSTOM_CODE or n.attr["f"].func.name in functions]
    if not nodes:
        return None
    node = nodes[0]
    attributes = node.attr if node.op == CUSTOM_CODE else functions[node.attr["f"].func.name].attr
    sources = [tensor.partition(":")[0] for tensor in node.input if not tensor.startswith("^")]
    missing = [name for name in _OPTIONS if name not in attributes]
    if len(sources) != 3 or missing:
        raise MalformedModelError(
            f"{CUSTOM_CODE} in the graph has {len(sources)} inputs and lacks {', '.join(missing) or 'no option'}.",
            hint="Export the checkpoint again with the TF Object Detection API.",
        )
    options = {name: rounded(attributes[name].f or float(attributes[name].i)) for name in _OPTIONS}
    _remove(graph_def, node.name)
    boxes, scores, anchors = sources
    return Postprocess(boxes, scores, anchors, options)


def _remove(graph_def: Any, name: str) -> None:
    """Take a node out, and all nodes behind it."""
    readers = NodeGraph(graph_def)
    gone = {name, *readers.downstream(name)}
    kept = [node for node in graph_def.node if node.name not in gone]
    del graph_def.node[:]
    graph_def.node.extend(kept)


def postprocess_source(
    graph: NodeGraph, session: GraphSession, entry: Entry, operator: Postprocess
) -> TensorFlowSource:
    """The network in front of the operator, with its head.

    Raises:
        DetectionHeadError: The options make no head.
        MalformedModelError: The number of classes is not that of the scores.
    """
    (anchors,) = session.run([operator.anchors], {})
    (example,) = session.run([operator.scores], {entry.image: _blank(entry)})
    count, columns, classes = len(anchors), example.shape[-1], int(operator.options["num_classes"])
    if columns - classes not in (0, 1):
        raise MalformedModelError(f"{CUSTOM_CODE} claims {classes} classes of {columns} columns of scores.")

    def run(pictures: Sequence[Picture], _raw_pixels: bool) -> Samples:
        fetched = (entry.tensor, operator.boxes, operator.scores)
        runs = [session.run(fetched, entry.feed(picture)) for picture in pictures]
        inputs, boxes, scores = (np.stack(values) for values in zip(*runs, strict=True))
        shape = (len(pictures), 1, count)
        return Samples(inputs, {"boxes": boxes.reshape(*shape, 4), "scores": scores.reshape(*shape, columns)})

    options = operator.options
    head = api_head(
        entry,
        anchors=anchors,
        box_coder={"order": "yxhw", "scales": [options[f"{column}_scale"] for column in "yxhw"]},
        scores={"activation": "none", "background": 0 if columns > classes else None},
        nms={
            "iou": options["nms_iou_threshold"],
            "score": options["nms_score_threshold"],
            "max_detections": int(options["max_detections"]),
        },
        classes=classes,
        evidence=[f"heads, anchors, coder, background and suppression: {CUSTOM_CODE} in the graph"],
    )
    return TensorFlowSource(
        network_function(graph, entry, {operator.boxes: (1, count, 4), operator.scores: (1, count, columns)}),
        ("boxes", "scores"),
        run,
        source_names={"boxes": operator.boxes, "scores": operator.scores},
        notes=[
            f"The graph was cut at '{operator.boxes}' and '{operator.scores}', in front of {CUSTOM_CODE}, whose "
            "options are the detection head."
        ],
        head=head,
    )


def _blank(entry: Entry) -> Any:
    return np.zeros((1, *(entry.fed_size or entry.shape[1:3]), entry.shape[3]), entry.dtype)
