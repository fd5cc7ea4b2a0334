"""Which detection head a conversion works with: the user's, the source's own, or a recognised one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.head import DetectionHead
from coralsmith.detection.hints import HeadHints
from coralsmith.detection.labels import read_labels
from coralsmith.detection.pipeline_config import find_pipeline_config, read_pipeline_config
from coralsmith.detection.pipeline_head import completed_by_pipeline, head_from_pipeline
from coralsmith.detection.postprocess_op import detach_postprocess_op, find_postprocess_op
from coralsmith.detection.recognition import recognise
from coralsmith.errors import DetectionHeadError
from coralsmith.findings import Finding
from coralsmith.graph import Graph

HEAD_FILE: Final = "head.json"
PIPELINE_SUFFIX: Final = ".config"
LABEL_FILE: Final = "labels.txt"
BOXES: Final = "boxes"
SCORES: Final = "scores"

NO_HEAD: Final = Finding(
    "no-detection-head",
    "warning",
    "No detection head was recognised; the model is converted with its outputs as they are, and its input is "
    "taken to be normalised as pixel / 127.5 - 1.",
    fix="Give the head with --head head.json where the model is a detector.",
    evidence="inferred",
)


def head_beside(model: Path) -> Path | None:
    """The head file that lies beside a model: ``<name>_head.json``, ``<name>.head.json`` or ``head.json``."""
    stem = model.name.removesuffix(model.suffix)
    for name in (f"{stem}_head.json", f"{stem}.head.json", HEAD_FILE):
        if (model.parent / name).is_file():
            return model.parent / name
    return None


def choose_head(
    graph: Graph,
    source: Path | None,
    *,
    carried: DetectionHead | None = None,
    head_file: Path | None = None,
    labels_file: Path | None = None,
    images: Iterable[NDArray[np.uint8]] = (),
    hints: HeadHints | None = None,
) -> DetectionHead:
    """Find the head of a model, in the order: given file, the source's own, a file beside it, recognition.

    A pipeline.config of the TF Object Detection API, given or found beside the model, completes the source's own
    head, and makes one where there is none.

    Args:
        graph: The imported graph.
        source: The source file, beside which a head file may lie, and labels for an operator in the model.
        carried: The head that the importer found in the source.
        head_file: The user's ``--head``: a head.json, or a pipeline.config.
        labels_file: The user's ``--labels``; replaces the head's labels.
        images: uint8 RGB images of the model's input size, on which recognition tests its candidates.
        hints: What the source tells of a head that it does not carry whole.

    Raises:
        DetectionHeadError: No head is known, several are possible, or it does not belong to the model.
    """
    labels = tuple(read_labels(labels_file)) if labels_file is not None else None
    given = None if head_file is None or head_file.suffix == PIPELINE_SUFFIX else head_file
    file = given
    if source is not None and carried is None and head_file is None:
        file = head_beside(source)
    if file is not None:
        head = DetectionHead.load(file)
    else:
        hints = hints or HeadHints()
        own, graph_of_head = _own_head(graph, carried, hints)
        pipeline = head_file or (None if source is None else find_pipeline_config(source))
        if pipeline is not None:
            config = read_pipeline_config(pipeline)
            head = (
                head_from_pipeline(graph, config)
                if own is None
                else completed_by_pipeline(own, graph_of_head, config)
            )
        else:
            head = own or recognise(
                graph,
                images,
                labels=labels or hints.class_names,
                input_spec=hints.input,
                background=hints.background,
            )
        if labels is None and own is not None and carried is None and not hints.class_names and pipeline is None:
            labels = _labels_beside(source)
    if labels is not None:
        head = _relabelled(head, labels)
    if find_postprocess_op(graph) is None:
        head.check_against(graph)
    return head


def read_head_file(graph: Graph, file: Path) -> DetectionHead:
    """The head in a file that the user gives for a graph with raw heads: a head.json, or a pipeline.config.

    Raises:
        InputError: The file cannot be read; a `DetectionHeadError` where it makes no head of the graph.
    """
    if file.suffix == PIPELINE_SUFFIX:
        return head_from_pipeline(graph, read_pipeline_config(file))
    return DetectionHead.load(file)


def _labels_beside(model: Path | None) -> tuple[str, ...] | None:
    """The labels that lie beside a model in `<name>_labels.txt`, `<name>.labels.txt` or `labels.txt`."""
    if model is None:
        return None
    stem = model.name.removesuffix(model.suffix)
    for name in (f"{stem}_labels.txt", f"{stem}.labels.txt", LABEL_FILE):
        if (model.parent / name).is_file():
            return tuple(read_labels(model.parent / name))
    return None


def _own_head(graph: Graph, carried: DetectionHead | None, hints: HeadHints) -> tuple[DetectionHead | None, Graph]:
    """The head that a model brings along, and the graph whose outputs it names."""
    if carried is None and find_postprocess_op(graph) is not None:
        graph, told = detach_postprocess_op(graph)
        return hints.completing(told), graph
    return carried, graph


def with_plain_names(graph: Graph, head: DetectionHead) -> tuple[Graph, DetectionHead]:
    """A copy of the graph whose raw heads are called ``boxes`` and ``scores``, and its head.

    Converters name outputs as they please ("StatefulPartitionedCall_1:0"); with plain names one trained model
    gives one and the same int8 file, whichever format it came in.
    """
    graph = graph.copy()
    tensors = {tensor.name: tensor for tensor in graph.outputs}
    boxes, scores = tensors[head.boxes], tensors[head.scores]
    boxes.name, scores.name = "", ""
    boxes.name = graph.unique_name(BOXES)
    scores.name = graph.unique_name(SCORES)
    return graph, replace(head, boxes=boxes.name, scores=scores.name)


def _relabelled(head: DetectionHead, labels: tuple[str, ...]) -> DetectionHead:
    if len(labels) != len(head.labels):
        raise DetectionHeadError(
            f"The label file has {len(labels)} labels, the model {len(head.labels)} classes.",
            hint="One label a line, in the order of the classes, without the background.",
        )
    return replace(head, labels=labels)
