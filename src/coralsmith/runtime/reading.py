"""The outputs of a model as detections: raw heads decoded here, or what the operator in the model found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead, wrong_field
from coralsmith.detection.head_decoder import HeadDecoder
from coralsmith.detection.operator_outputs import OperatorOutputs, find_operator_outputs
from coralsmith.errors import UsageError
from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import as_real


class OutputReader:
    """Reads the outputs of one model.

    Args:
        graph: The model.
        head: Its head.
        per_class: Suppress overlaps within each class; without effect where the model has the operator.
        min_score: Lowest score of a detection; by default that of the head, or what the operator lets through.
        class_scores: Lowest scores of single classes, by label.

    Attributes:
        head: The head.
        decodes_itself: Whether the model holds the detection operator.

    Raises:
        DetectionHeadError: The head does not belong to the model.
        UsageError: A score is no probability, or a label is unknown.
    """

    def __init__(
        self,
        graph: Graph,
        head: DetectionHead,
        per_class: bool = True,
        min_score: float | None = None,
        class_scores: Mapping[str, float] | None = None,
    ) -> None:
        self.head = head
        self._outputs = graph.outputs
        self._operator = find_operator_outputs(graph)
        self.decodes_itself = self._operator is not None
        self._limits = _limits(head, min_score, class_scores or {})
        if self._operator is not None:
            _check_operator(self._operator, graph, head)
            return
        head.check_against(graph)
        names = [tensor.name for tensor in graph.outputs]
        self._boxes, self._scores = names.index(head.boxes), names.index(head.scores)
        self._decoder = HeadDecoder(
            head,
            graph.outputs[self._boxes],
            graph.outputs[self._scores],
            per_class=per_class,
            min_scores=self._limits,
        )

    def read(self, values: Sequence[Array]) -> Detections:
        """The detections in the outputs of one image, normalised to the model's input; best first.

        Args:
            values: The outputs in the order of the model; none of their memory is kept.
        """
        if self._operator is None:
            found = self._decoder.decode(values[self._boxes], values[self._scores])
        else:
            found = self._operator.read([as_real(*pair) for pair in zip(self._outputs, values, strict=True)])
            found = self._above_limits(found)
        return replace(found, labels=self.head.labels)

    def _above_limits(self, found: Detections) -> Detections:
        if self._limits is None:
            return found
        known = np.minimum(found.class_ids, len(self._limits) - 1)
        return found.keep(found.scores >= self._limits[known])


def _limits(
    head: DetectionHead, min_score: float | None, class_scores: Mapping[str, float]
) -> NDArray[np.float32] | None:
    """The lowest score of each class; None where only the head's own counts."""
    if min_score is None and not class_scores:
        return None
    limits = np.full(len(head.labels), head.nms.score if min_score is None else min_score, np.float32)
    for label, score in class_scores.items():
        if label not in head.labels:
            shown = ", ".join(head.labels[:10]) + (" and others" if len(head.labels) > 10 else "")
            raise UsageError(f"The model has no class '{label}'.", hint=f"Its classes: {shown}.")
        limits[[i for i, name in enumerate(head.labels) if name == label]] = score
    if not ((limits >= 0) & (limits <= 1)).all():
        raise UsageError("A lowest score is a probability, from 0 to 1.", hint="0.3 to 0.6 is usual.")
    return limits


def _check_operator(operator: OperatorOutputs, graph: Graph, head: DetectionHead) -> None:
    shapes = [list(tensor.shape) for tensor in graph.inputs]
    if shapes != [[1, *head.input.size, 3]]:
        raise wrong_field(
            "input.size",
            list(head.input.size),
            f"the model's inputs have the shapes {shapes}",
            "A detector has one input, [1, height, width, 3].",
        )
    if operator.classes_known not in (None, len(head.labels)):
        raise wrong_field(
            "labels",
            f"a list of {len(head.labels)}",
            f"the model's detection operator knows {operator.classes_known} classes",
            "Give one label a class, without the background.",
        )
