"""Ranges of a detector's raw heads: resolution where it decides a detection, none for what is never reported.

Most anchors are background. Their boxes mean nothing, yet they are the wildest and widen the range; their scores
lie far below the threshold, and how far is of no interest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from coralsmith.graph import Array, Graph, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.quantization.options import DetectionOutputs
from coralsmith.quantization.output_error import foreground_probabilities
from coralsmith.quantization.ranges import Range
from coralsmith.quantization.rules import JOINING, SAME_SCALE, value_inputs

# The logit of half a step of an int8 probability: what lies below is a score of zero.
LEAST_LOGIT: Final = math.log(1 / 511)
# An anchor with a smaller probability than this is hardly ever the best for an object.
_LIKELY: Final = 0.05
# Objects that the calibration images do not show may need somewhat larger boxes.
_MARGIN: Final = 1.1


def detection_ranges(
    graph: Graph, inputs: Iterable[Array], ranges: dict[Tensor, Range], outputs: DetectionOutputs
) -> dict[Tensor, Range]:
    """`ranges` with those of the raw heads narrowed to what detections are made of.

    Args:
        graph: The float detector.
        inputs: The calibration images.
        ranges: The range of every activation.
        outputs: Which outputs are the heads.
    """
    boxes, scores = graph.tensor(outputs.boxes), graph.tensor(outputs.scores)
    narrowed = dict(ranges)
    likely = _likely_boxes(graph, inputs, boxes, scores, outputs)
    if likely is not None:
        _narrow(graph, boxes, likely, narrowed)
    logits = _logits(graph, scores, outputs)
    if logits is not None:
        _narrow(graph, logits, Range.of(LEAST_LOGIT, max(narrowed[logits].high, 0.0)), narrowed)
    return narrowed


def _likely_boxes(
    graph: Graph, inputs: Iterable[Array], boxes: Tensor, scores: Tensor, outputs: DetectionOutputs
) -> Range | None:
    """The range of the encoded boxes whose anchors may hold an object; None where no image shows any."""
    executor = Executor(graph)
    low, high = math.inf, -math.inf
    for image in inputs:
        executor.invoke(image)
        best = foreground_probabilities(executor.value(scores), outputs).max(axis=-1)
        seen = executor.value(boxes)[best >= _LIKELY]
        if seen.size:
            low, high = min(low, float(seen.min())), max(high, float(seen.max()))
    return Range.of(low * _MARGIN, high * _MARGIN) if low <= high else None


def _logits(graph: Graph, scores: Tensor, outputs: DetectionOutputs) -> Tensor | None:
    """The tensor whose sigmoid the probabilities are; None where they are made in another way."""
    if outputs.activation == "sigmoid":
        return scores
    producer = graph.producers().get(scores)
    return producer.inputs[0] if producer is not None and producer.kind == "LOGISTIC" else None


def _narrow(graph: Graph, tensor: Tensor, span: Range, ranges: dict[Tensor, Range]) -> None:
    """Cut the range of a tensor, and of all that is only moved into it from where it is computed."""
    producers, consumers = graph.producers(), graph.consumers()
    waiting = [tensor]
    while waiting:
        current = waiting.pop()
        known = ranges[current]
        ranges[current] = Range.of(max(known.low, span.low), min(known.high, span.high))
        producer = producers.get(current)
        if producer is None or not (producer.kind in SAME_SCALE or producer.kind in JOINING):
            continue
        for _, source in value_inputs(producer):
            if not source.is_constant and len(consumers[source]) == 1 and source not in graph.outputs:
                waiting.append(source)
