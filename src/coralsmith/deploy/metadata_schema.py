"""Field numbers of the TFLite metadata schema, as data.

Sources: tensorflow/tflite-support, ``tensorflow_lite_support/metadata/metadata_schema.fbs`` (1.1.0);
google-ai-edge/mediapipe, ``mediapipe/tasks/metadata/metadata_schema.fbs`` (custom metadata) and
``object_detector_metadata_schema.fbs``. A table's fields are numbered in the order of their declaration; a union
takes two numbers, its type first.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

ENTRY: Final = "TFLITE_METADATA"
"""Name of the entry in the model's list of metadata."""
IDENTIFIER: Final = b"M001"
MIN_PARSER_VERSION: Final = "1.0.0"
"""Oldest parser that knows all fields written here for a model that decodes its boxes itself."""

DETECTOR_ENTRY: Final = "DETECTOR_METADATA"
"""Name of MediaPipe's custom metadata about raw heads."""
DETECTOR_IDENTIFIER: Final = b"V001"
CUSTOM_MIN_PARSER_VERSION: Final = "1.5.0"
"""Oldest parser that knows custom metadata."""
DETECTOR_MIN_PARSER_VERSION: Final = "1.0.0"


class ModelMetadata(IntEnum):
    """The root."""

    NAME = 0
    DESCRIPTION = 1
    SUBGRAPHS = 3
    MIN_PARSER_VERSION = 7


class SubGraphMetadata(IntEnum):
    """Inputs and outputs, in the order of the subgraph."""

    INPUTS = 2
    OUTPUTS = 3
    CUSTOM = 9


class TensorMetadata(IntEnum):
    """One input or output."""

    NAME = 0
    DESCRIPTION = 1
    CONTENT = 3
    PROCESS_UNITS = 4
    STATS = 5
    FILES = 6


class Content(IntEnum):
    """What a tensor holds."""

    PROPERTIES_TYPE = 0
    PROPERTIES = 1
    RANGE = 2


class ContentProperties(IntEnum):
    """The union of contents."""

    FEATURE = 1
    IMAGE = 2
    BOUNDING_BOX = 3


class ImageProperties(IntEnum):
    """Colours, and the size where the shape leaves it open."""

    COLOUR_SPACE = 0
    RGB = 1  # the value


class BoundingBoxProperties(IntEnum):
    """How four numbers are a box."""

    INDEX = 0
    TYPE = 1
    BOUNDARIES = 1  # the value: left, top, right, bottom, in the order that the index tells


class ValueRange(IntEnum):
    """The dimensions that the content stands for."""

    MIN = 0
    MAX = 1


class ProcessUnit(IntEnum):
    """A step before or behind the model."""

    OPTIONS_TYPE = 0
    OPTIONS = 1


class ProcessUnitOptions(IntEnum):
    """The union of steps."""

    NORMALISATION = 1
    SCORE_THRESHOLD = 3


class Normalisation(IntEnum):
    """(x - mean) / std, of each channel or of all."""

    MEAN = 0
    STD = 1


class Stats(IntEnum):
    """Bounds of a tensor's values."""

    MAX = 0
    MIN = 1


class AssociatedFile(IntEnum):
    """A member of the archive behind the model."""

    NAME = 0
    DESCRIPTION = 1
    TYPE = 2
    VALUE_LABELS = 3  # the value: class ids count the lines
    AXIS_LABELS = 2  # the value: columns count the lines


class CustomMetadata(IntEnum):
    """A flatbuffer inside the metadata."""

    NAME = 0
    DATA = 1


class ObjectDetectorOptions(IntEnum):
    """MediaPipe's description of raw heads."""

    MIN_PARSER_VERSION = 0
    ANCHORS = 1
    DECODING = 2


class FixedAnchor(IntEnum):
    """One anchor, normalised to the image."""

    X_CENTRE = 0
    Y_CENTRE = 1
    WIDTH = 2
    HEIGHT = 3


class TensorsDecoding(IntEnum):
    """How raw numbers become boxes and scores."""

    NUM_CLASSES = 0
    NUM_BOXES = 1
    NUM_COORDS = 2
    NUM_VALUES_PER_KEYPOINT = 5
    X_SCALE = 6
    Y_SCALE = 7
    W_SCALE = 8
    H_SCALE = 9
    EXPONENTIAL = 10
    SIGMOID = 11
