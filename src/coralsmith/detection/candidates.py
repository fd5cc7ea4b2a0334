"""The published anchor sets that could belong to a graph's feature maps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.anchors import (
    CONFIG_RATIOS,
    EXACT_RATIOS,
    Size,
    default_boxes,
    multiscale_anchors,
    retinanet_anchors,
    ssd_anchors,
)
from coralsmith.detection.head import BoxCoder, BoxOrder, InputSpec
from coralsmith.detection.input_convention import conventional_input
from coralsmith.detection.layout import ASK_FOR_HEAD, HeadLayout, find_layouts
from coralsmith.detection.pixel_priors import BOX_CODER, FAMILIES
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph

_RATIOS: Final = MappingProxyType(
    {
        "1, 2, 1/2, 3, 1/3": EXACT_RATIOS,
        "1, 2, 0.5, 3, 0.3333": CONFIG_RATIOS,
        "1, 2, 3, 1/2, 1/3": (1.0, 2.0, 3.0, 1 / 2, 1 / 3),
        "1, 2, 1/2": EXACT_RATIOS[:3],
    }
)
"""Aspect ratios: exact, as published configs write them, in the order of the API's default, the first three."""

_API_NAMES: Final = ("BoxPredictor", "BoxEncodingPredictor", "MultipleGridAnchorGenerator")
_NO_VARIANCES: Final = (1.0, 1.0, 1.0, 1.0)
_PYRAMID_RATIOS: Final = (1.0, 2.0, 0.5)


@dataclass(frozen=True, eq=False)
class HeadCandidate:
    """One anchor set that fits the shapes of a graph.

    Attributes:
        convention: What it is, in words.
        anchors: float32 [N, 4] (y centre, x centre, height, width), normalised.
        box_coder: How the raw boxes refer to the anchors.
        input: How pixels become the input by the same convention; None where it says nothing of that.
    """

    convention: str
    anchors: NDArray[np.float32]
    box_coder: BoxCoder
    input: InputSpec | None = None


def candidates(graph: Graph) -> list[HeadCandidate]:
    """Every published anchor set with as many anchors on each feature map as the graph, likeliest first.

    Behind all of them follow the same sets with the box columns in the other order and without variances: nets of
    one's own often take the anchors of a published family and write their boxes as they like.

    Raises:
        DetectionHeadError: The outputs are no detection head, or no known generator fits their feature maps.
    """
    layout = find_layouts(graph)[0]
    image = conventional_input(graph)[0].size
    found = [
        *_ssd(layout, image, _is_api_export(graph)),
        *_default_boxes(layout, image),
        *_pyramid(layout, image),
        *_retinanet(layout, image),
        *_pixel_priors(layout, image),
    ]
    if not found:
        maps = ", ".join(f"{m.height}x{m.width} with {m.boxes} boxes a cell" for m in layout.maps)
        raise DetectionHeadError(
            f"No known anchor generator makes anchors for the maps {maps}.", hint=ASK_FOR_HEAD
        )
    return [*found, *(other for candidate in found for other in _written_otherwise(candidate))]


def _written_otherwise(candidate: HeadCandidate) -> Iterator[HeadCandidate]:
    """The same anchors with the columns in the other order, without variances, and both."""
    own = candidate.box_coder
    y, x, h, w = own.scales
    other: BoxOrder = "xywh" if own.order == "yxhw" else "yxhw"
    forms = {
        f"boxes as {', '.join(other)}": BoxCoder(other, (x, y, w, h)),
        "no variances": BoxCoder(own.order, _NO_VARIANCES),
        f"boxes as {', '.join(other)} and no variances": BoxCoder(other, _NO_VARIANCES),
    }
    for words, coder in forms.items():
        if coder.scales != own.scales or coder.order != own.order:
            yield replace(candidate, convention=f"{candidate.convention}, but {words}", box_coder=coder)


def _ssd(layout: HeadLayout, image: Size, from_api: bool) -> list[HeadCandidate]:
    """Sets of `ssd_anchor_generator`; graphs of the API itself have the ratios that its configs write."""
    boxes = [grid.boxes for grid in layout.maps]
    found = []
    for (text, ratios), reduce_lowest in itertools.product(_RATIOS.items(), (True, False)):
        full = len(ratios) + 1  # with the box of the interpolated scale
        if boxes != [3 if reduce_lowest else full, *[full] * (len(boxes) - 1)]:
            continue
        lowest = ", reduced lowest layer" if reduce_lowest else ""
        convention = f"ssd_anchor_generator, scales 0.2 to 0.95, ratios {text}{lowest}"
        anchors = ssd_anchors(layout.sizes, image, ratios=ratios, reduce_lowest=reduce_lowest)
        found.append(HeadCandidate(convention, anchors, BoxCoder()))
        if image[0] != image[1]:  # SsdAnchorsCalculator takes sizes relative to each side of the image
            stretched = ssd_anchors(layout.sizes, (1, 1), ratios=ratios, reduce_lowest=reduce_lowest)
            convention = f"MediaPipe SsdAnchorsCalculator, scales 0.2 to 0.95, ratios {text}{lowest}"
            found.append(HeadCandidate(convention, stretched, BoxCoder()))
    if from_api:
        found.sort(key=lambda candidate: "0.3333" not in candidate.convention)
    return found


def _default_boxes(layout: HeadLayout, image: Size) -> list[HeadCandidate]:
    """The set of torchvision's SSDlite, and its input."""
    if {grid.boxes for grid in layout.maps} != {6}:
        return []
    convention = "torchvision ssdlite320, DefaultBoxGenerator, scales 0.2 to 0.95, ratios 2, 3"
    spec = InputSpec(image, scale=1 / 127.5, offset=-1.0)
    return [HeadCandidate(convention, default_boxes(layout.sizes), BoxCoder("xywh"), spec)]


def _pyramid_level(layout: HeadLayout, image: Size) -> tuple[int, int] | None:
    """Level of the finest map and scales a ratio, where strides are consecutive powers of two; else None."""
    boxes = {grid.boxes for grid in layout.maps}
    level = round(float(np.log2(image[0] / layout.maps[0].height)))
    strides = [2 ** (level + index) for index in range(len(layout.maps))]
    expected = [(-(-image[0] // stride), -(-image[1] // stride)) for stride in strides]
    octave, rest = divmod(layout.maps[0].boxes, len(_PYRAMID_RATIOS))
    if len(boxes) != 1 or rest or not octave or layout.sizes != expected:
        return None
    return level, octave


def _retinanet(layout: HeadLayout, image: Size) -> list[HeadCandidate]:
    """The set of Model Garden's RetinaNet with the base sizes of Model Maker and of its own default."""
    pyramid = _pyramid_level(layout, image)
    if pyramid is None:
        return []
    level, octave = pyramid
    return [
        HeadCandidate(
            f"RetinaNet of TensorFlow's Model Garden, level {level} up, anchor size {size:g}, {octave} scales",
            retinanet_anchors(layout.sizes, image, min_level=level, anchor_size=size, scales=octave),
            BoxCoder("yxhw", _NO_VARIANCES),
        )
        for size in (3.0, 4.0)
    ]


def _pyramid(layout: HeadLayout, image: Size) -> list[HeadCandidate]:
    """The set of `multiscale_anchor_generator`."""
    pyramid = _pyramid_level(layout, image)
    if pyramid is None:
        return []
    level, octave = pyramid
    anchors = multiscale_anchors(
        layout.sizes, image, min_level=level, ratios=_PYRAMID_RATIOS, scales_per_octave=octave
    )
    convention = f"multiscale_anchor_generator, level {level} up, anchor scale 4, {octave} scales an octave"
    return [HeadCandidate(convention, anchors, BoxCoder())]


def _pixel_priors(layout: HeadLayout, image: Size) -> list[HeadCandidate]:
    """Sets of the PyTorch projects that give box sizes in pixels, and their input."""
    boxes = [grid.boxes for grid in layout.maps]
    return [
        HeadCandidate(family.name, family.anchors(layout.sizes, image), BOX_CODER, family.input(image))
        for family in FAMILIES
        if family.fits(boxes, image)
    ]


def _is_api_export(graph: Graph) -> bool:
    return any(name in tensor.name for tensor in graph.tensors() for name in _API_NAMES)
