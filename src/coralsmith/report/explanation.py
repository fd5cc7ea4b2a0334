"""The records of a report that explain where the error of int8 comes from."""

from __future__ import annotations

from dataclasses import dataclass

from coralsmith.quantization.explanation import CoordinateError, TensorHistogram


@dataclass(frozen=True)
class ClassErrorRecord:
    """How far int8 is off in the probability of one class, on the anchors that see an object of it.

    Attributes:
        label: The class.
        anchors: How many anchors see one.
        shift: Mean of the differences, int8 less float; negative where objects of the class fade.
        mean: Mean of the absolute differences.
    """

    label: str
    anchors: int
    shift: float
    mean: float


@dataclass(frozen=True)
class LayerShareRecord:
    """The part of the heads' error that one layer causes when it alone is in int8, 0 to 1."""

    name: str
    kind: str
    share: float


@dataclass(frozen=True)
class AttributionRecord:
    """Where the error of the heads comes from.

    Attributes:
        images: How many were used.
        explained: For each output the sum of the layers' own errors in parts of the whole error.
        layers: Each layer's share, in execution order; those that only move integers cause none.
    """

    images: int
    explained: dict[str, float]
    layers: tuple[LayerShareRecord, ...]


@dataclass(frozen=True)
class ExplanationRecord:
    """What int8 does to detections, and where that comes from.

    Attributes:
        images: How many were used.
        anchors: How many anchors became detections of the float model.
        coordinates: Error of each box coordinate, in parts of the box's size.
        classes: Error of each class's probability, the worst first.
        tensors: Histograms of the tensors with the most noise.
        attribution: Each layer's share of the error; None unless it was asked for.
    """

    images: int
    anchors: int
    coordinates: tuple[CoordinateError, ...]
    classes: tuple[ClassErrorRecord, ...]
    tensors: tuple[TensorHistogram, ...]
    attribution: AttributionRecord | None
