"""What can be chosen about post-training quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coralsmith.detection.head import DetectionHead
from coralsmith.quantization.boundary import ElementType

Weights = Literal["per-channel", "per-tensor"]
RangeMethod = Literal["min-max", "percentile", "least-squares"]
Equalization = Literal["off", "exact", "clamped"]
Rounding = Literal["nearest", "adaptive"]


@dataclass(frozen=True)
class PixelScale:
    """How the host's pixels become the model's real input: ``real = pixel * scale + offset``."""

    scale: float
    offset: float


@dataclass(frozen=True)
class DetectionOutputs:
    """Which outputs are a detector's heads, so that errors can be weighed by what they do to detections.

    Attributes:
        boxes: Name of the output [1, N, 4].
        scores: Name of the output [1, N, columns].
        activation: What turns scores into probabilities; "none" where they are probabilities.
        background: Column of the background; None where there is none.
    """

    boxes: str
    scores: str
    activation: Literal["sigmoid", "softmax", "none"]
    background: int | None = None

    @staticmethod
    def of(head: DetectionHead) -> DetectionOutputs:
        """The outputs of a head."""
        return DetectionOutputs(head.boxes, head.scores, head.score.activation, head.score.background)


@dataclass(frozen=True)
class QuantizationOptions:
    """What a user can choose.

    Attributes:
        weights: One weight scale per output channel, or one per layer.
        ranges: How the range of an activation is found.
        percentile: Share of values, in percent, that the method "percentile" keeps.
        bias_correction: Take back in each bias what rounding the weights shifts on average.
        input_type: Element type of the model's input.
        pixels: Meaning of the input's pixels; None where the input is not an 8-bit image.
        equalization: Balance the channels of activations and weights, where that changes nothing ("exact"), or
            also in front of clamps that the calibration images do not reach ("clamped").
        detection_ranges: Let the raw heads resolve what detections are made of, and clip the rest; without effect
            where `outputs` is None.
        rounding: Round each weight to the nearest integer, or all weights of a layer together so that the layer's
            output differs least.
        outputs: The detection heads; None where they are not known.
    """

    weights: Weights = "per-channel"
    ranges: RangeMethod = "min-max"
    percentile: float = 99.99
    bias_correction: bool = True
    input_type: ElementType = "uint8"
    pixels: PixelScale | None = None
    equalization: Equalization = "off"
    detection_ranges: bool = False
    rounding: Rounding = "nearest"
    outputs: DetectionOutputs | None = None
