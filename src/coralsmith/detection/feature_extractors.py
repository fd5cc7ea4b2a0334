"""How networks of the TensorFlow Object Detection API take their pixels, by the type of feature extractor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coralsmith.detection.head import InputSpec, Resize
from coralsmith.errors import DetectionHeadError

# `preprocess` of the extractors that subtract what the Caffe networks they come from were trained with, in RGB.
_CAFFE_MEAN: Final = (123.68, 116.779, 103.939)
# `preprocess` of the EfficientNet extractor: (pixel / 255 - offset) / scale.
_IMAGENET_MEAN: Final = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_IMAGENET_STD: Final = (0.229 * 255, 0.224 * 255, 0.225 * 255)


@dataclass(frozen=True)
class Extractor:
    """A family of feature extractors that normalise alike.

    Attributes:
        prefix: What their types begin with.
        mean: Subtracted from the pixels of each channel.
        std: Divides the difference.
        source: The file whose `preprocess` says so.
    """

    prefix: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str

    def input(self, size: tuple[int, int], resize: Resize) -> InputSpec:
        """The input of a head."""
        if len(set(self.mean)) == len(set(self.std)) == 1:
            return InputSpec(size, scale=1 / self.std[0], offset=-self.mean[0] / self.std[0], resize=resize)
        return InputSpec(size, mean=self.mean, std=self.std, resize=resize)


def _minus_one_to_one(prefix: str, source: str) -> Extractor:
    return Extractor(prefix, (127.5,) * 3, (127.5,) * 3, source)


EXTRACTORS: Final = (
    _minus_one_to_one("ssd_mobilenet_", "ssd_mobilenet_v2_feature_extractor.py"),
    _minus_one_to_one("ssd_mobiledet_", "ssd_mobiledet_feature_extractor.py"),
    _minus_one_to_one("embedded_ssd_mobilenet_", "embedded_ssd_mobilenet_v1_feature_extractor.py"),
    _minus_one_to_one("ssd_inception_", "ssd_inception_v2_feature_extractor.py"),
    _minus_one_to_one("ssd_pnasnet", "ssd_pnasnet_feature_extractor.py"),
    Extractor("ssd_resnet", _CAFFE_MEAN, (1.0,) * 3, "ssd_resnet_v1_fpn_feature_extractor.py"),
    Extractor("ssd_efficientnet-", _IMAGENET_MEAN, _IMAGENET_STD, "ssd_efficientnet_bifpn_feature_extractor.py"),
)
"""Evidence: the method `preprocess` of each file in research/object_detection/models of tensorflow/models."""


def find_extractor(name: str) -> Extractor | None:
    """The family of a type, or None for one that is not known."""
    return next((extractor for extractor in EXTRACTORS if name.startswith(extractor.prefix)), None)


def known_extractor(name: str) -> Extractor:
    """The family of a type.

    Raises:
        DetectionHeadError: It is not known, so that nobody knows how to feed the network.
    """
    found = find_extractor(name)
    if found is None:
        raise DetectionHeadError(
            f"pipeline.config names the feature extractor '{name}', whose normalisation is not known.",
            hint="Describe the head with its input in a head.json (--head). Known are types that begin with "
            + ", ".join(extractor.prefix for extractor in EXTRACTORS)
            + ".",
        )
    return found
