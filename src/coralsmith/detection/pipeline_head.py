"""The detection head of a model that a pipeline.config lies beside: made of it, or completed and checked by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.feature_extractors import find_extractor, known_extractor
from coralsmith.detection.head import Activation, DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.detection.input_convention import conventional_input
from coralsmith.detection.labels import read_labels
from coralsmith.detection.layout import HeadLayout, find_layouts
from coralsmith.detection.pipeline_config import FILE_NAME, PipelineConfig
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph

_SAME_ANCHORS: Final = 2e-4  # a twentieth of a pixel of 300: what is left of anchors written with four digits
_SAME_SCALES: Final = 1e-3
_SAME_PIXELS: Final = 0.02  # of the range that pixels are mapped to: less than the steps of a uint8 input
_ANOTHER: Final = f"Give the {FILE_NAME} that the model was exported with, or rename the file to go without it."


def head_from_pipeline(graph: Graph, config: PipelineConfig) -> DetectionHead:
    """The head of a graph that ends in raw boxes and scores, by its pipeline.config.

    Args:
        graph: A graph with two outputs, boxes [1, N, 4] and scores [1, N, classes].
        config: What its training was told.

    Raises:
        DetectionHeadError: The file does not belong to the graph.
    """
    layout = _layout(graph, config)
    labels, label_evidence = _labels(config)
    size = _size(graph)
    told = config.image_size or size
    _require(told == size, "the input", _text(size), _text(told))
    activation: Activation = "none" if layout.applied else config.activation
    if activation != "none" and config.logit_scale != 1.0:
        raise DetectionHeadError(
            f"{FILE_NAME} divides raw scores by {config.logit_scale:g}, which no head describes.",
            hint="Divide the weights and biases of the class convolutions by it, and write logit_scale: 1.",
        )
    extractor = known_extractor(config.extractor)
    applied = f"the graph applies {layout.applied}" if layout.applied else f"{activation} by {FILE_NAME}"
    return DetectionHead(
        input=extractor.input(size, config.resize),
        boxes=layout.boxes.name,
        scores=layout.scores.name,
        anchors=_anchors(layout, config, size),
        labels=labels,
        box_coder=config.box_coder,
        score=ScoreSpec(activation, 0 if config.background else None),
        nms=config.nms,
        category_ids=tuple(range(1, config.classes + 1)),
        evidence="; ".join(
            [
                "outputs and feature maps: the graph",
                f"anchors ({config.generator.name}), box coder, background column and suppression: {FILE_NAME}",
                f"activation: {applied}",
                _input_evidence(config),
                *label_evidence,
            ]
        ),
    )


def completed_by_pipeline(head: DetectionHead, graph: Graph, config: PipelineConfig) -> DetectionHead:
    """A head that a model carries, checked against its pipeline.config and completed by it.

    What the model itself tells of anchors, box coder and scores is kept, once the file agrees. Labels come
    from the file; so do normalisation and limits of suppression where they were only the usual assumption. A
    normalisation that was measured must agree.

    Raises:
        DetectionHeadError: The file contradicts the model.
    """
    labels, label_evidence = _labels(config)
    _require(config.classes == len(head.labels), "the scores", f"{len(head.labels)} classes", f"{config.classes}")
    size = config.image_size or head.input.size
    _require(size == head.input.size, "the input", _text(head.input.size), _text(size))
    _require_same_coder(head, config)
    anchor_evidence = _require_same_anchors(head, graph, config)
    spec, input_evidence = _completed_input(head, graph, config)
    assumed = head.nms == NmsSpec()
    suppression = [f"suppression: {FILE_NAME} in place of usual values"] if assumed else []
    return replace(
        head,
        input=spec,
        nms=config.nms if assumed else head.nms,
        labels=labels,
        category_ids=tuple(range(1, config.classes + 1)),
        evidence="; ".join([head.evidence, *anchor_evidence, *input_evidence, *suppression, *label_evidence]),
    )


def _layout(graph: Graph, config: PipelineConfig) -> HeadLayout:
    """The reading of the outputs whose scores have as many columns as the file says.

    Two fit where the scores have four columns too; then the names of the outputs must tell.
    """
    columns = config.classes + config.background
    layouts = find_layouts(graph)
    fitting = [layout for layout in layouts if layout.scores.shape[2] == columns]
    if not fitting:
        found = " or ".join(str(layout.scores.shape[2]) for layout in layouts)
        background = "a background column" if config.background else "no background column"
        _require(False, "the scores", f"{found} columns", f"{config.classes} classes and {background}")
    named = [layout for layout in fitting if "box" in layout.boxes.name.lower()]
    if len(fitting) > 1 and len(named) != 1:
        raise DetectionHeadError(
            f"Both outputs have four columns: {FILE_NAME} does not tell which are the boxes.",
            hint="Call the box output 'boxes' when exporting, or describe the head in a head.json (--head).",
        )
    return named[0] if len(fitting) > 1 else fitting[0]


def _size(graph: Graph) -> tuple[int, int]:
    return conventional_input(graph)[0].size


def _anchors(layout: HeadLayout, config: PipelineConfig, size: tuple[int, int]) -> NDArray[np.float32]:
    """The anchors of the file's generator for the graph's feature maps."""
    maps = [grid.boxes for grid in layout.maps]
    _require(maps == config.generator.boxes, "the heads", f"{maps} boxes a cell", f"{config.generator.boxes}")
    return config.generator.anchors(layout.sizes, size)


def _require_same_coder(head: DetectionHead, config: PipelineConfig) -> None:
    own, told = head.box_coder, config.box_coder
    same = own.order == told.order and np.allclose(own.scales, told.scales, rtol=_SAME_SCALES)
    _require(same, "the box coder", f"{own.order} {list(own.scales)}", f"{told.order} {list(told.scales)}")


def _require_same_anchors(head: DetectionHead, graph: Graph, config: PipelineConfig) -> list[str]:
    """Evidence that the model's anchors are those of the file; none where the feature maps cannot be told."""
    layout = next((each for each in _layouts(graph) if each.boxes.name == head.boxes), None)
    if layout is None:
        return []
    expected = _anchors(layout, config, head.input.size)
    apart = float(np.abs(expected - head.anchors).max())
    _require(apart <= _SAME_ANCHORS, "the anchors", "others", f"{config.generator.name}, up to {apart:.2g} apart")
    return [f"{config.generator.name} of {FILE_NAME} makes the same anchors"]


def _layouts(graph: Graph) -> list[HeadLayout]:
    try:
        return find_layouts(graph)
    except DetectionHeadError:
        return []


def _completed_input(head: DetectionHead, graph: Graph, config: PipelineConfig) -> tuple[InputSpec, list[str]]:
    """The input of a head: as it is where it was measured or is quantized, else as the file says."""
    extractor = find_extractor(config.extractor)
    if extractor is None or not graph.inputs[0].is_float:
        return head.input, []
    told = extractor.input(head.input.size, config.resize)
    if _same_pixels(head.input, conventional_input(graph)[0]):
        return told, [_input_evidence(config)]
    _require(_same_pixels(head.input, told), "the input", "another normalisation", config.extractor)
    return head.input, []


def _same_pixels(one: InputSpec, other: InputSpec) -> bool:
    """Whether two inputs map black and white, channel by channel, to the same numbers."""
    ends = np.array([[[0] * 3, [255] * 3]], np.uint8)
    first, second = one.normalise(ends), other.normalise(ends)
    return bool(np.abs(first - second).max() <= _SAME_PIXELS * np.ptp(first))


def _input_evidence(config: PipelineConfig) -> str:
    source = known_extractor(config.extractor).source
    return f"normalisation: '{config.extractor}' of {FILE_NAME} ({source} of tensorflow/models)"


def _labels(config: PipelineConfig) -> tuple[tuple[str, ...], list[str]]:
    """The names of the classes, from the label map that lies beside the file; numbers where none does."""
    numbered = tuple(f"class {number}" for number in range(1, config.classes + 1))
    if not config.label_map:
        return numbered, [f"{FILE_NAME} names no label map: the labels are numbers (--labels gives names)"]
    path = config.path.parent / config.label_map
    if not path.is_file():
        return numbered, [
            f"label map '{path.name}' is not beside {FILE_NAME}: the labels are numbers (--labels gives names)"
        ]
    labels = tuple(read_labels(path))
    if len(labels) != config.classes:
        raise DetectionHeadError(
            f"The label map '{path.name}' names {len(labels)} classes, {FILE_NAME} has {config.classes}.",
            hint="Put the label map of this training beside it, or give the names with --labels.",
        )
    return labels, [f"labels: '{path.name}', which {FILE_NAME} names"]


def _require(fits: bool, what: str, found: str, told: str) -> None:
    if not fits:
        raise DetectionHeadError(
            f"{FILE_NAME} does not belong to the model: {what}: {found} in the model, {told} in the file.",
            hint=_ANOTHER,
        )


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} pixels"
