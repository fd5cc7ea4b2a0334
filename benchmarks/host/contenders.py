"""Who is measured: coralsmith's host part, and what people use instead of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.decode import decode_boxes
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead
from coralsmith.graph import Graph, Tensor
from coralsmith.graph.executor import as_real
from coralsmith.graph.interpreter import load_interpreter
from coralsmith.graph.writer import serialize_for_interpreter


class CppOperator:
    """LiteRT's C++ TFLite_Detection_PostProcess behind its two DEQUANTIZE, one thread."""

    def __init__(self, graph: Graph) -> None:
        content, number = serialize_for_interpreter(graph)
        self._content = content
        self._interpreter = load_interpreter(content, threads=1)
        self._inputs = [number[tensor] for tensor in graph.inputs]
        self._outputs = [number[tensor] for tensor in graph.outputs]

    def feed(self, boxes: NDArray[Any], scores: NDArray[Any]) -> None:
        """Put the raw heads in; in a whole model they are there already, so this is not timed."""
        for number, values in zip(self._inputs, (boxes, scores), strict=True):
            self._interpreter.set_tensor(number, values)

    def run(self) -> None:
        """Dequantize, decode and suppress."""
        self._interpreter.invoke()

    def found(self) -> Detections:
        """What the last run found."""
        boxes, classes, scores, count = (self._interpreter.get_tensor(number) for number in self._outputs)
        kept = int(count[0])
        return Detections(boxes[0, :kept], classes[0, :kept].astype(np.int64), scores[0, :kept])


class SampleCode:
    """What public SSD samples do in numpy: dequantize all, decode all, then suppress class by class in float.

    Written anew after the scheme that torch and TFLite samples share (a mask of scores and a loop of `hard_nms`
    for each class); no line is copied.
    """

    def __init__(self, head: DetectionHead, boxes: Tensor, scores: Tensor) -> None:
        self._head, self._boxes, self._scores = head, boxes, scores

    def detect(self, raw_boxes: NDArray[Any], raw_scores: NDArray[Any]) -> list[tuple[int, float, NDArray[Any]]]:
        """Class, score and box of each detection, best first."""
        head = self._head
        boxes = decode_boxes(as_real(self._boxes, raw_boxes)[0], head.anchors, head.box_coder)
        scores = as_real(self._scores, raw_scores)[0]
        first = 0 if head.score.background is None else 1
        picked = []
        for column in range(first, scores.shape[1]):
            mask = scores[:, column] > head.nms.score
            if not mask.any():
                continue
            for box, score in _hard_nms(boxes[mask], scores[mask, column], head.nms.iou):
                picked.append((column - first, score, box))
        picked.sort(key=lambda entry: -entry[1])
        return picked[: head.nms.max_detections]


def _hard_nms(boxes: NDArray[Any], scores: NDArray[Any], limit: float) -> list[tuple[NDArray[Any], float]]:
    """The textbook loop: take the best, drop what overlaps it, again."""
    left = np.argsort(-scores)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append((boxes[best], float(scores[best])))
        top_left = np.maximum(boxes[best, :2], boxes[left, :2])
        bottom_right = np.minimum(boxes[best, 2:], boxes[left, 2:])
        overlap = np.clip(bottom_right - top_left, 0, None).prod(axis=1)
        areas = (boxes[left, 2:] - boxes[left, :2]).prod(axis=1)
        area = (boxes[best, 2:] - boxes[best, :2]).prod()
        left = left[overlap / (areas + area - overlap + 1e-5) <= limit]
    return kept
