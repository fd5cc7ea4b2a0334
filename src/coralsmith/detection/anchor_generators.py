"""The anchor generators of the TensorFlow Object Detection API, as a pipeline.config describes them.

Fields and defaults: ``protos/ssd_anchor_generator.proto`` and ``protos/multiscale_anchor_generator.proto`` there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.anchors import Offset, Size, multiscale_anchors, ssd_anchors, ssd_cell_boxes
from coralsmith.detection.text_format import Message
from coralsmith.errors import InputError

_MOST_MAPS = 32
_MOST_BOXES = 64


class AnchorGenerator(Protocol):
    """What makes anchors out of feature map sizes."""

    @property
    def name(self) -> str:
        """What the API calls it."""

    @property
    def boxes(self) -> list[int]:
        """Boxes of a cell of each feature map, finest first."""

    def anchors(self, maps: Sequence[Size], image: Size) -> NDArray[np.float32]:
        """Float32 [N, 4] (y centre, x centre, height, width), normalised to the image."""


@dataclass(frozen=True)
class SsdGenerator:
    """`ssd_anchor_generator`; the attributes are the arguments of `ssd_anchors`."""

    scales: tuple[float, ...]
    ratios: tuple[float, ...]
    interpolated_ratio: float
    reduce_lowest: bool
    base_size: tuple[float, float]
    strides: tuple[Offset, ...]
    offsets: tuple[Offset, ...]
    name: str = "ssd_anchor_generator"

    @staticmethod
    def read(message: Message) -> SsdGenerator:
        """The generator that a message describes.

        Raises:
            InputError: A field is wrong.
        """
        count = whole(message, "num_layers", 6, 1, _MOST_MAPS)
        low, high = message.number("min_scale", 0.2), message.number("max_scale", 0.95)
        step = (high - low) / max(count - 1, 1)
        scales = tuple(message.numbers("scales")[:count]) or tuple(low + step * index for index in range(count))
        generator = SsdGenerator(
            scales=scales,
            ratios=_ratios(message),
            interpolated_ratio=message.number("interpolated_scale_aspect_ratio", 1.0),
            reduce_lowest=message.flag("reduce_boxes_in_lowest_layer", default=True),
            base_size=(message.number("base_anchor_height", 1.0), message.number("base_anchor_width", 1.0)),
            strides=_pairs(message, "height_stride", "width_stride", len(scales)),
            offsets=_pairs(message, "height_offset", "width_offset", len(scales)),
        )
        if min(*scales, *generator.base_size) <= 0:
            raise InputError("the scales and base sizes of ssd_anchor_generator must be positive.")
        return generator

    @property
    def boxes(self) -> list[int]:
        """Boxes of a cell of each feature map, finest first."""
        cells = ssd_cell_boxes(
            self.scales,
            self.ratios,
            interpolated_ratio=self.interpolated_ratio,
            reduce_lowest=self.reduce_lowest,
        )
        return [len(cell) for cell in cells]

    def anchors(self, maps: Sequence[Size], image: Size) -> NDArray[np.float32]:
        """Float32 [N, 4] (y centre, x centre, height, width), normalised to the image."""
        return ssd_anchors(
            maps,
            image,
            scales=self.scales,
            ratios=self.ratios,
            interpolated_ratio=self.interpolated_ratio,
            reduce_lowest=self.reduce_lowest,
            base_size=self.base_size,
            strides=self.strides,
            offsets=self.offsets,
        )


@dataclass(frozen=True)
class MultiscaleGenerator:
    """`multiscale_anchor_generator`, that of feature pyramids; attributes as of `multiscale_anchors`."""

    min_level: int
    max_level: int
    anchor_scale: float
    ratios: tuple[float, ...]
    scales_per_octave: int
    name: str = "multiscale_anchor_generator"

    @staticmethod
    def read(message: Message) -> MultiscaleGenerator:
        """The generator that a message describes.

        Raises:
            InputError: A field is wrong, or the anchors would not be normalised.
        """
        if not message.flag("normalize_coordinates", default=True):
            raise InputError(
                "multiscale_anchor_generator with normalize_coordinates: false makes anchors in pixels."
            )
        low = whole(message, "min_level", 3, 1, _MOST_MAPS)
        scale = message.number("anchor_scale", 4.0)
        if scale <= 0:
            raise InputError(f"anchor_scale is {scale:g}, not positive.")
        return MultiscaleGenerator(
            min_level=low,
            max_level=whole(message, "max_level", 7, low, _MOST_MAPS),
            anchor_scale=scale,
            ratios=_ratios(message),
            scales_per_octave=whole(message, "scales_per_octave", 2, 1, _MOST_BOXES),
        )

    @property
    def boxes(self) -> list[int]:
        """Boxes of a cell of each feature map, finest first."""
        return [len(self.ratios) * self.scales_per_octave] * (self.max_level - self.min_level + 1)

    def anchors(self, maps: Sequence[Size], image: Size) -> NDArray[np.float32]:
        """Float32 [N, 4] (y centre, x centre, height, width), normalised to the image."""
        return multiscale_anchors(
            maps,
            image,
            min_level=self.min_level,
            anchor_scale=self.anchor_scale,
            ratios=self.ratios,
            scales_per_octave=self.scales_per_octave,
        )


def whole(message: Message, name: str, default: int, low: int, high: int) -> int:
    """A whole number of a message within bounds.

    Raises:
        InputError: It is none.
    """
    value = message.number(name, default)
    if not low <= value <= high or value != int(value):
        raise InputError(f"'{name}' is {value:g}, not a whole number from {low} to {high}.")
    return int(value)


def _ratios(message: Message) -> tuple[float, ...]:
    ratios = tuple(message.numbers("aspect_ratios"))
    if not ratios or len(ratios) > _MOST_BOXES or min(ratios) <= 0:
        raise InputError(f"the anchor generator has the aspect ratios {list(ratios[:8])}, not some positive ones.")
    return ratios


def _pairs(message: Message, vertical: str, horizontal: str, count: int) -> tuple[Offset, ...]:
    """Two repeated fields as pairs (y, x), one a feature map; none where both are left out."""
    pairs = tuple(zip(message.numbers(vertical), message.numbers(horizontal), strict=False))
    lengths = {len(message.numbers(vertical)), len(message.numbers(horizontal))}
    if lengths not in ({0}, {count}):
        raise InputError(f"{vertical} and {horizontal} need {count} numbers each, one a feature map, or none.")
    return pairs
