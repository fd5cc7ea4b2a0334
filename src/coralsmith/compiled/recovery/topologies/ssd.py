"""SSD over MobileNet V1 and V2, as the TensorFlow Object Detection API makes it.

Source: tensorflow/models `object_detection/models/`, `ssd_mobilenet_v{1,2}_feature_extractor.py` and
`feature_map_generators.py`, and the published pipeline configurations `ssd_mobilenet_v{1,2}_coco` (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from coralsmith.compiled.recovery.topologies.mobilenet import mobilenet_v1, mobilenet_v2
from coralsmith.compiled.recovery.topologies.outline import Outline
from coralsmith.graph.model import Graph, Tensor

_EXTRA_LAYERS: Final = ((256, 512), (128, 256), (128, 256), (64, 128))
"""Channels of the 1x1 convolution and the 3x3 convolution of stride 2 that make each further map."""

_ANCHORS: Final = (3, 6, 6, 6, 6, 6)
BOX_VALUES: Final = 4


def detectors(input_shape: tuple[int, ...], anchors: int, columns: int) -> Iterator[tuple[str, Graph]]:
    """Every such detector with these inputs and outputs, with its name.

    Args:
        input_shape: [1, height, width, 3].
        anchors: Boxes in all.
        columns: Scores of each box, the background's included.
    """
    for name, first_maps in (("V1", _maps_of_v1), ("V2", _maps_of_v2)):
        outline = Outline(input_shape)
        maps = first_maps(outline)
        for number, (narrow, wide) in enumerate(_EXTRA_LAYERS, 2):
            inner = outline.convolution(maps[-1], narrow, 1, f"map_{number}/1x1", activation="RELU6")
            maps.append(outline.convolution(inner, wide, 3, f"map_{number}/3x3", stride=2, activation="RELU6"))
        if sum(map_.shape[1] * map_.shape[2] * each for map_, each in zip(maps, _ANCHORS, strict=True)) != anchors:
            continue
        boxes = _heads(outline, maps, BOX_VALUES, "boxes")
        scores = outline.logistic(_heads(outline, maps, columns, "classes"), "scores")
        yield f"SSD MobileNet {name}", outline.graph(boxes, scores)


def _maps_of_v1(outline: Outline) -> list[Tensor]:
    outputs = mobilenet_v1(outline, 1.0)
    return [outputs[11], outputs[13]]


def _maps_of_v2(outline: Outline) -> list[Tensor]:
    outputs = mobilenet_v2(outline, 1.0)
    return [outputs[12], outputs[-1]]


def _heads(outline: Outline, maps: list[Tensor], values: int, name: str) -> Tensor:
    """The predictions of all maps for each anchor, behind each other."""
    flat = []
    for number, (features, anchors) in enumerate(zip(maps, _ANCHORS, strict=True)):
        head = outline.convolution(features, anchors * values, 1, f"{name}_{number}")
        count = head.shape[1] * head.shape[2] * anchors
        flat.append(outline.reshape(head, (1, count, values), f"{name}_{number}/flat"))
    return outline.concatenation(flat, 1, name)
