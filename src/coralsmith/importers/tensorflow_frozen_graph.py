"""Reads a TensorFlow 1 frozen graph, cut to the network between pre-processing and decoding. Runs in the child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from coralsmith.detection.head import NmsSpec
from coralsmith.errors import MalformedModelError, UnsupportedModelError
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.framework_exchange import Request
from coralsmith.importers.frozen_graph_decoder import (
    Decoder,
    Probabilities,
    probe_decoder,
    probe_probabilities,
)
from coralsmith.importers.frozen_graph_entry import Entry, probe_entry
from coralsmith.importers.frozen_graph_head import api_head
from coralsmith.importers.frozen_graph_network import network_function
from coralsmith.importers.frozen_graph_postprocess import postprocess_source, take_postprocess
from coralsmith.importers.frozen_graph_session import GraphSession
from coralsmith.importers.frozen_graph_structure import (
    SCORE_ACTIVATIONS,
    Heads,
    NodeGraph,
    find_heads,
    find_outputs,
    find_suppression,
)
from coralsmith.importers.naming import unique_names
from coralsmith.importers.samples import Picture, Samples, noise_pictures
from coralsmith.importers.tensorflow_conversion import TensorFlowSource, refuse_reaching_out


def read_frozen_graph(request: Request) -> TensorFlowSource:
    """The network of a frozen graph, with the detection head where the graph decodes boxes.

    Raises:
        MalformedModelError: The file is no GraphDef.
        UnsupportedModelError: No image, no convolution, or no fixed size.
        DetectionHeadError: Boxes are decoded in a way that no head describes.
    """
    return graph_source(_load(request), request)


def graph_source(graph_def: Any, request: Request, outputs: Mapping[str, str] | None = None) -> TensorFlowSource:
    """The network of a GraphDef, its weights inside.

    Args:
        graph_def: The graph; it is used up.
        request: What it is read for.
        outputs: Meaningful names for output tensors, where they are known; for a graph that decodes no boxes.

    Raises:
        MalformedModelError: It is no whole graph.
        UnsupportedModelError: No image, no convolution, no fixed size, or operators that cannot be used.
        DetectionHeadError: Boxes are decoded in a way that no head describes.
    """
    operator = take_postprocess(graph_def)
    _refuse_operators(graph_def, request.trust)
    graph = NodeGraph(graph_def)
    session = GraphSession(graph_def)
    entry = probe_entry(session, graph, request.input_size)
    if operator is not None:
        return postprocess_source(graph, session, entry, operator)
    heads = find_heads(graph)
    if heads is None:
        return _plain_source(graph, session, entry, outputs or {})
    return _detector_source(graph, session, entry, heads)


def _load(request: Request) -> Any:
    import tensorflow as tf

    try:
        return tf.compat.v1.GraphDef.FromString(Path(request.path).read_bytes())
    except Exception as error:  # protobuf's DecodeError is an implementation detail of its back ends
        raise MalformedModelError(
            f"The file is no TensorFlow graph. {essential_line(error)}", hint="Freeze the graph again."
        ) from error


def _refuse_operators(graph_def: Any, trust: bool) -> None:
    """Refuse operators that reach outside the model, or that TensorFlow does not have."""
    from tensorflow.python.framework import op_def_registry

    functions = graph_def.library.function
    nodes = [*graph_def.node, *(node for function in functions for node in function.node_def)]
    kinds = {node.op for node in nodes}
    refuse_reaching_out(kinds, trust)
    known = {function.signature.name for function in functions}
    custom = [node for node in nodes if node.op not in known and op_def_registry.get(node.op) is None]
    if custom:
        raise UnsupportedModelError(
            f"The node '{custom[0].name}' is a custom operator, {custom[0].op}, that TensorFlow does not have.",
            hint="Export the network without it.",
        )


def _detector_source(graph: NodeGraph, session: GraphSession, entry: Entry, heads: Heads) -> TensorFlowSource:
    feeds = entry.feed(noise_pictures(1)[0])
    decoder = probe_decoder(session, graph, heads, feeds)
    probabilities = probe_probabilities(session, graph, heads, feeds)
    anchors = len(decoder.anchors)
    columns = session.run([heads.scores], feeds)[0].shape[-1]

    def run(pictures: Sequence[Picture], _raw_pixels: bool) -> Samples:
        fetched = (entry.tensor, heads.boxes, heads.scores, decoder.boxes, probabilities.tensor)
        runs = [session.run(fetched, entry.feed(picture)) for picture in pictures]
        inputs, raw_boxes, raw_scores, boxes, scores = (np.stack(values) for values in zip(*runs, strict=True))
        count = len(pictures)
        return Samples(
            inputs,
            {
                "boxes": raw_boxes.reshape(count, 1, anchors, 4),
                "scores": raw_scores.reshape(count, 1, anchors, columns),
            },
            {"boxes": boxes.reshape(count, anchors, 4), "scores": scores.reshape(count, anchors, -1)},
        )

    shapes = {heads.boxes: (1, anchors, 4), heads.scores: (1, anchors, columns)}
    return TensorFlowSource(
        network_function(graph, entry, shapes),
        ("boxes", "scores"),
        run,
        source_names={"boxes": heads.boxes, "scores": heads.scores},
        notes=[
            f"The graph was cut at '{entry.tensor}', behind its pre-processing, and at '{heads.boxes}' and "
            f"'{heads.scores}', before its decoding."
        ],
        head=api_head(
            entry,
            anchors=decoder.anchors,
            box_coder={"order": decoder.order, "scales": list(decoder.scales)},
            scores={
                "activation": SCORE_ACTIVATIONS[graph.kind(heads.activation)],
                "background": probabilities.background,
            },
            nms=_suppression_fields(graph),
            classes=columns - (probabilities.background is not None),
            evidence=_evidence(graph, heads, decoder, probabilities),
        ),
    )


def _plain_source(
    graph: NodeGraph, session: GraphSession, entry: Entry, named: Mapping[str, str]
) -> TensorFlowSource:
    """A graph that decodes no boxes: its outputs are the named ones, else the nodes that nobody reads."""
    known = {name: tensor.removesuffix(":0") for name, tensor in named.items()}
    if known and all(node in graph.nodes for node in known.values()):
        names, outputs = tuple(known), list(known.values())
    else:
        outputs = find_outputs(graph)
        names = unique_names(outputs)

    def run(pictures: Sequence[Picture], _raw_pixels: bool) -> Samples:
        runs = [session.run([entry.tensor, *outputs], entry.feed(picture)) for picture in pictures]
        inputs, *values = (np.stack(column) for column in zip(*runs, strict=True))
        return Samples(inputs, dict(zip(names, values, strict=True)))

    note = f"The graph was cut at '{entry.tensor}', behind its pre-processing; it decodes no boxes."
    return TensorFlowSource(network_function(graph, entry, dict.fromkeys(outputs)), names, run, notes=[note])


def _suppression_fields(graph: NodeGraph) -> dict[str, Any]:
    fields = {**asdict(NmsSpec()), **find_suppression(graph)}
    return {**fields, "max_detections": int(fields["max_detections"])}


def _evidence(graph: NodeGraph, heads: Heads, decoder: Decoder, probabilities: Probabilities) -> list[str]:
    suppression = "read from the graph" if find_suppression(graph) else "usual values, the graph has none"
    return [
        f"box and score heads: '{heads.boxes}' and '{heads.scores}', which the graph's decoder and "
        f"{graph.kind(heads.activation)} '{heads.activation}' read (structure)",
        f"anchors and coder: measured by feeding the graph's own decoder '{decoder.boxes}' with known raw boxes",
        "background: no column is left out"
        if probabilities.background is None
        else f"background: '{probabilities.tensor}' leaves column {probabilities.background} out (measured)",
        f"suppression: {suppression}",
    ]
