"""A very small detector with every part a real one has, so that the whole corridor runs in a second.

Its weights are noise: what it detects means nothing, but it is the same in float and int8.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from coralsmith.detection.anchors import ssd_anchors
from coralsmith.detection.head import DetectionHead, InputSpec, NmsSpec
from coralsmith.graph import Graph, Tensor
from coralsmith.graph.writer import write_tflite
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant

SIDE = 32
CLASSES = 2
MAPS = ((4, 3), (2, 6))  # cells a side, boxes a cell


def tiny_detector() -> Graph:
    """A stem, two feature maps with hard-swish and a residual, and a box and a score head on each map."""
    image = activation("image", (1, SIDE, SIDE, 3))
    ops = []

    def conv(
        source: Tensor, name: str, filters: int, kernel: int = 1, stride: int = 1, clip: str = "NONE"
    ) -> Tensor:
        weights = random_constant(f"{name}/weights", (filters, kernel, kernel, source.shape[3]), len(ops))
        bias = random_constant(f"{name}/bias", (filters,), len(ops) + 100)
        attributes = {**CONVOLUTION, "stride_w": stride, "stride_h": stride, "fused_activation_function": clip}
        ops.append(op("CONV_2D", [source, weights, bias], name, **attributes))
        return ops[-1].output

    stem = conv(conv(image, "stem", 8, 3, 4, "RELU6"), "reduce", 8, 3, 2, "RELU6")
    ops.append(op("ADD", [stem, conv(stem, "residual", 8)], "sum", fused_activation_function="NONE"))
    first = ops[-1].output
    ops.append(op("HARD_SWISH", [conv(first, "deeper", 12, 3, 2)], "swish"))
    parts: dict[str, list[Tensor | None]] = {"boxes": [], "scores": []}
    for (cells, boxes), feature in zip(MAPS, (first, ops[-1].output), strict=True):
        for name, columns in (("boxes", 4), ("scores", CLASSES)):
            raw = conv(feature, f"{name}_{cells}", boxes * columns)
            shape = constant(f"{name}_{cells}/shape", [1, cells * cells * boxes, columns], np.int32)
            ops.append(op("RESHAPE", [raw, shape], f"{name}_{cells}_flat"))
            parts[name].append(ops[-1].output)
    for name, joined in parts.items():
        ops.append(op("CONCATENATION", joined, name, axis=1, fused_activation_function="NONE"))
    return graph(ops, [image], [ops[-2].output, ops[-1].output])


def tiny_head() -> DetectionHead:
    """The head of `tiny_detector`."""
    return DetectionHead(
        input=InputSpec((SIDE, SIDE), 1 / 127.5, -1.0),
        boxes="boxes",
        scores="scores",
        anchors=ssd_anchors([(cells, cells) for cells, _ in MAPS], (SIDE, SIDE)),
        labels=("left", "right"),
        nms=NmsSpec(0.6, 0.2, 10),
        evidence="built by a test",
    )


def write_tiny_detector(folder: Path, name: str = "tiny") -> Path:
    """`tiny_detector` as a float `.tflite` with its head file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tflite(tiny_detector(), folder / f"{name}.tflite")
    tiny_head().save(folder / f"{name}_head.json")
    return folder / f"{name}.tflite"


def write_photos(folder: Path, count: int = 6) -> Path:
    """Photos of coloured noise, of different sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (40 + number, 60, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((120, 90)).save(folder / f"photo_{number}.png")
    return folder
