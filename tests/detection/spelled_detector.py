"""A detector without training: its image spells out its raw outputs, so a test decides what it 'sees'.

The graph slices the normalised image into feature maps, stretches them by `GAIN`, and joins them to boxes and
scores as real detection heads do. `spell` writes raw outputs into an image, to 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tests import builders

from coralsmith.detection.anchors import ssd_anchors
from coralsmith.graph import Graph, Op, Tensor

SIDE = 64
GAIN = 12.0
FLOAT = np.dtype(np.float32)

REDUCED = ((10, 10, 3), (5, 5, 6), (3, 3, 6), (2, 2, 6), (1, 1, 6))
FULL = ((8, 8, 6), (4, 4, 6), (2, 2, 6))
SIZES = [(height, width) for height, width, _ in REDUCED]
ANCHORS = ssd_anchors(SIZES, (SIDE, SIDE))


@dataclass(frozen=True)
class SpelledDetector:
    """Feature maps (height, width, boxes a cell) and score columns of the detector."""

    maps: tuple[tuple[int, int, int], ...]
    columns: int
    score_activation: str | None = None

    @property
    def anchors(self) -> int:
        return sum(height * width * boxes for height, width, boxes in self.maps)

    def graph(self) -> Graph:
        """The graph: outputs `scores` and `boxes`, in this order."""
        image = builders.activation("image", (1, SIDE, SIDE, 3))
        flat = Tensor("flat", (SIDE * SIDE * 3,), FLOAT)
        ops = [Op("RESHAPE", [image, builders.constant("flat_shape", [SIDE * SIDE * 3], np.int32)], [flat])]
        outputs, start = {}, 0
        for name, columns in (("boxes", 4), ("scores", self.columns)):
            pieces = []
            for index, (height, width, boxes) in enumerate(self.maps):
                piece = f"{name}_{index}"
                pieces.append(_piece(ops, flat, piece, start, (height, width, boxes), columns))
                start += height * width * boxes * columns
            outputs[name] = self._join(ops, name, pieces)
        return builders.graph(ops, [image], [outputs["scores"], outputs["boxes"]])

    def _join(self, ops: list[Op], name: str, pieces: list[Tensor]) -> Tensor:
        joined = builders.op("CONCATENATION", list(pieces), name, axis=1, fused_activation_function="NONE")
        ops.append(joined)
        if name == "scores" and self.score_activation is not None:
            attributes = {"beta": 1.0} if self.score_activation == "SOFTMAX" else {}
            joined.output.name = "logits"
            ops.append(builders.op(self.score_activation, [joined.output], name, **attributes))
        return ops[-1].output

    def spell(self, raw_boxes: np.ndarray, raw_scores: np.ndarray) -> np.ndarray:
        """The uint8 image [SIDE, SIDE, 3] that the graph, fed by [-1, 1], turns into these raw outputs."""
        text = np.concatenate([raw_boxes.reshape(-1), raw_scores.reshape(-1)])
        pixels = np.full(SIDE * SIDE * 3, 128, np.uint8)
        pixels[: len(text)] = np.rint((np.clip(text / GAIN, -1, 1) + 1) * 127.5).astype(np.uint8)
        return pixels.reshape(SIDE, SIDE, 3)


def _piece(ops: list[Op], flat: Tensor, name: str, start: int, grid: tuple[int, int, int], columns: int) -> Tensor:
    """One feature map cut out of the flat image, as rows of boxes or scores."""
    height, width, boxes = grid
    shape = (1, height, width, boxes * columns)
    size = int(np.prod(shape))
    cut, grid_map = Tensor(f"{name}_cut", (size,), FLOAT), Tensor(f"{name}_map", shape, FLOAT)
    limits = [builders.constant(f"{name}_{w}", [v], np.int32) for w, v in (("begin", start), ("size", size))]
    ops.append(Op("SLICE", [flat, *limits], [cut]))
    ops.append(Op("RESHAPE", [cut, builders.constant(f"{name}_shape", shape, np.int32)], [grid_map]))
    gain = builders.constant(f"{name}_gain", GAIN, np.float32)
    ops.append(builders.op("MUL", [grid_map, gain], f"{name}_raw", fused_activation_function="NONE"))
    rows = builders.constant(f"{name}_rows", [1, height * width * boxes, columns], np.int32)
    ops.append(builders.op("RESHAPE", [ops[-1].output, rows], f"{name}_flat"))
    return ops[-1].output


@dataclass(frozen=True)
class Scores:
    """Logits that a head puts out for an object's class, for the other classes, and for the background."""

    object: float = 4.0
    other: float = -5.0
    background_column: int | None = None
    background_empty: float = 5.0
    background_object: float = -4.0


def see_objects(
    anchors: np.ndarray,
    columns: int,
    scores: Scores,
    *,
    seed: int,
    scales: Sequence[float] = (10.0, 10.0, 5.0, 5.0),
    objects: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """Raw outputs of a well trained detector for an image with objects, of different classes while they last.

    Every anchor that overlaps an object by a half predicts its box and its class; all others predict noise and
    no object.
    """
    noise = np.random.default_rng(seed)
    raw_boxes = noise.normal(0, 1, (len(anchors), 4))
    raw_scores = np.full((len(anchors), columns), scores.other) + noise.normal(0, 0.3, (len(anchors), columns))
    background = scores.background_column
    if background is not None:
        raw_scores[:, background] = scores.background_empty
    classes = [column for column in range(columns) if column != background]
    for label in noise.choice(classes, objects, replace=objects > len(classes)):
        size = np.exp(noise.uniform(np.log(0.3), np.log(0.7), 2))
        centre = noise.uniform(size / 2, 1 - size / 2)
        matched = _overlaps(anchors, centre, size) > 0.5
        offset = np.concatenate(
            [(centre - anchors[:, :2]) / anchors[:, 2:], np.log(size / anchors[:, 2:])], axis=1
        )
        raw_boxes[matched] = (offset * scales + noise.normal(0, 0.15, offset.shape))[matched]
        raw_scores[matched] = scores.other
        raw_scores[matched, label] = scores.object
        if background is not None:
            raw_scores[matched, background] = scores.background_object
    return raw_boxes, raw_scores


def _overlaps(anchors: np.ndarray, centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    low = np.maximum(anchors[:, :2] - anchors[:, 2:] / 2, centre - size / 2)
    high = np.minimum(anchors[:, :2] + anchors[:, 2:] / 2, centre + size / 2)
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    overlaps: np.ndarray = common / (np.prod(anchors[:, 2:], axis=1) + np.prod(size) - common)
    return overlaps
