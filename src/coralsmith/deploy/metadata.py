"""TFLite metadata of a detector: what the TFLite Support and Task libraries, MediaPipe and Netron read.

Names and contents of the tensors are those of TFLite Support's own ObjectDetector writer; the Task library finds
its outputs by them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from coralsmith.deploy import metadata_schema as schema
from coralsmith.deploy.flatbuffer_records import Byte, Integer, Record, encode
from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.graph import Graph, Tensor

LABEL_FILE: Final = "labels.txt"
"""Name of the labels in the archive behind the model."""

_INPUT: Final = schema.TensorMetadata
_DECODED_NAMES: Final = ("location", "category", "score", "number of detections")
_CORNERS: Final = (1, 0, 3, 2)  # (top, left, bottom, right) in the words left, top, right, bottom


def decoded_metadata(head: DetectionHead, graph: Graph, name: str) -> bytes:
    """The metadata of a model that ends in TFLite_Detection_PostProcess, outputs boxes, classes, scores, count.

    Args:
        head: Input, labels and score threshold.
        graph: The model.
        name: What the model is called.
    """
    boxes = _output("location", "Corners of the boxes, normalised.", _box_content())
    classes = _output(
        "category", "Class of each box.", _feature(2), files=[_labels(schema.AssociatedFile.VALUE_LABELS, "class")]
    )
    scores = _output("score", "Score of each box, best first.", _feature(2), units=[_threshold(head.nms.score)])
    count = _output("number of detections", "How many boxes there are.", _feature(None))
    return _model(head, graph, name, [boxes, classes, scores, count])


def raw_metadata(head: DetectionHead, graph: Graph, name: str) -> bytes:
    """The metadata of a model with raw heads: anchors and decoding as MediaPipe writes them.

    MediaPipe has no words for boxes that begin with x, nor for a softmax; there the decoding is left out.

    Args:
        head: All of the head.
        graph: The model, whose outputs are described in their order.
        name: What the model is called.
    """
    described = {
        head.boxes: _output(
            "location", f"Raw boxes, {head.box_coder.order}, one for each anchor.", _feature(None)
        ),
        head.scores: _output(
            "score",
            f"Scores, activation still to be applied: {head.score.activation}.",
            _feature(None),
            units=[_threshold(head.nms.score)],
            files=[_labels(schema.AssociatedFile.AXIS_LABELS, "column")],
        ),
    }
    outputs = [described.get(tensor.name, _output(tensor.name, "", _feature(None))) for tensor in graph.outputs]
    says_it = head.box_coder.order == "yxhw" and head.score.activation != "softmax"
    return _model(head, graph, name, outputs, options=_detector_options(head) if says_it else None)


def _model(
    head: DetectionHead, graph: Graph, name: str, outputs: list[Record], options: bytes | None = None
) -> bytes:
    subgraph: dict[int, object] = {
        schema.SubGraphMetadata.INPUTS: [_image(head.input, graph.inputs[0])],
        schema.SubGraphMetadata.OUTPUTS: outputs,
    }
    version = schema.MIN_PARSER_VERSION
    if options is not None:
        version = schema.CUSTOM_MIN_PARSER_VERSION
        entry: dict[int, object] = {
            schema.CustomMetadata.NAME: schema.DETECTOR_ENTRY,
            schema.CustomMetadata.DATA: options,
        }
        subgraph[schema.SubGraphMetadata.CUSTOM] = [Record(entry)]
    return encode(
        Record(
            {
                schema.ModelMetadata.NAME: name,
                schema.ModelMetadata.DESCRIPTION: "Finds objects in an image and tells their boxes.",
                schema.ModelMetadata.SUBGRAPHS: [Record(subgraph)],
                schema.ModelMetadata.MIN_PARSER_VERSION: version,
            }
        ),
        schema.IDENTIFIER,
    )


def _image(spec: InputSpec, tensor: Tensor) -> Record:
    mean, std = mean_and_std(spec)
    normalisation: dict[int, object] = {schema.Normalisation.MEAN: mean, schema.Normalisation.STD: std}
    lowest, highest = (0.0, 255.0) if not tensor.is_float else spec.real_range()
    return Record(
        {
            _INPUT.NAME: "image",
            _INPUT.DESCRIPTION: f"RGB image of {spec.size[1]} x {spec.size[0]} pixels ({spec.resize}).",
            _INPUT.CONTENT: _content(
                schema.ContentProperties.IMAGE,
                {schema.ImageProperties.COLOUR_SPACE: Byte(schema.ImageProperties.RGB)},
            ),
            _INPUT.PROCESS_UNITS: [_unit(schema.ProcessUnitOptions.NORMALISATION, normalisation)],
            _INPUT.STATS: Record({schema.Stats.MAX: (highest,), schema.Stats.MIN: (lowest,)}),
        }
    )


def mean_and_std(spec: InputSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The normalisation as (pixel - mean) / std, one number where all channels have the same."""
    black, white = spec.normalise(np.array([[[0] * 3, [255] * 3]], np.uint8))[0].astype(np.float64)
    std = 255.0 / (white - black)
    mean = -black * std
    pairs = [tuple(float(np.float32(f"{number:.6g}")) for number in numbers) for numbers in (mean, std)]
    if all(len(set(numbers)) == 1 for numbers in pairs):
        pairs = [numbers[:1] for numbers in pairs]
    return pairs[0], pairs[1]


def _output(
    name: str,
    description: str,
    content: Record,
    units: list[Record] | None = None,
    files: list[Record] | None = None,
) -> Record:
    fields: dict[int, object] = {_INPUT.NAME: name, _INPUT.DESCRIPTION: description, _INPUT.CONTENT: content}
    if units:
        fields[_INPUT.PROCESS_UNITS] = units
    if files:
        fields[_INPUT.FILES] = files
    return Record(fields)


def _content(kind: int, properties: dict[int, object], dimension: int | None = None) -> Record:
    fields: dict[int, object] = {
        schema.Content.PROPERTIES_TYPE: Byte(kind),
        schema.Content.PROPERTIES: Record(properties),
    }
    if dimension is not None:
        bounds: dict[int, object] = {
            schema.ValueRange.MIN: Integer(dimension),
            schema.ValueRange.MAX: Integer(dimension),
        }
        fields[schema.Content.RANGE] = Record(bounds)
    return Record(fields)


def _feature(dimension: int | None) -> Record:
    return _content(schema.ContentProperties.FEATURE, {}, dimension)


def _box_content() -> Record:
    properties: dict[int, object] = {
        schema.BoundingBoxProperties.INDEX: _CORNERS,
        schema.BoundingBoxProperties.TYPE: Byte(schema.BoundingBoxProperties.BOUNDARIES),
    }
    return _content(schema.ContentProperties.BOUNDING_BOX, properties, 2)


def _unit(kind: int, options: dict[int, object]) -> Record:
    return Record({schema.ProcessUnit.OPTIONS_TYPE: Byte(kind), schema.ProcessUnit.OPTIONS: Record(options)})


def _threshold(score: float) -> Record:
    return _unit(schema.ProcessUnitOptions.SCORE_THRESHOLD, {0: float(score)})


def _labels(kind: int, counted: str) -> Record:
    return Record(
        {
            schema.AssociatedFile.NAME: LABEL_FILE,
            schema.AssociatedFile.DESCRIPTION: f"Labels, one a line, the first for {counted} 0.",
            schema.AssociatedFile.TYPE: Byte(kind),
        }
    )


def _detector_options(head: DetectionHead) -> bytes:
    """MediaPipe's ObjectDetectorOptions: fixed anchors and the box coder."""
    field = schema.TensorsDecoding
    scales = dict(zip(head.box_coder.order, head.box_coder.scales, strict=True))
    anchors = [
        Record(
            {
                schema.FixedAnchor.X_CENTRE: float(x),
                schema.FixedAnchor.Y_CENTRE: float(y),
                schema.FixedAnchor.WIDTH: float(width),
                schema.FixedAnchor.HEIGHT: float(height),
            }
        )
        for y, x, height, width in head.anchors.tolist()
    ]
    decoding: dict[int, object] = {
        field.NUM_CLASSES: Integer(head.score_columns),
        field.NUM_BOXES: Integer(len(head.anchors)),
        field.NUM_COORDS: Integer(4),
        field.NUM_VALUES_PER_KEYPOINT: Integer(2),
        field.X_SCALE: scales["x"],
        field.Y_SCALE: scales["y"],
        field.W_SCALE: scales["w"],
        field.H_SCALE: scales["h"],
        field.EXPONENTIAL: Byte(1),
        field.SIGMOID: Byte(head.score.activation == "sigmoid"),
    }
    return encode(
        Record(
            {
                schema.ObjectDetectorOptions.MIN_PARSER_VERSION: schema.DETECTOR_MIN_PARSER_VERSION,
                schema.ObjectDetectorOptions.ANCHORS: Record({0: Record({0: anchors})}),
                schema.ObjectDetectorOptions.DECODING: Record(decoding),
            }
        ),
        schema.DETECTOR_IDENTIFIER,
    )
