"""How far an int8 model's outputs are from the float model's, weighed by what detections are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import Executor, real_outputs
from coralsmith.quantization.fidelity import ErrorSum
from coralsmith.quantization.options import DetectionOutputs

# Half a step of an int8 probability: scores below are zeros to whoever reads them.
LEAST_PROBABILITY: Final = 1 / 512
# Where int8 makes no error at all, a mean of decibels needs a number.
_PERFECT_DB: Final = 120.0


def foreground_probabilities(scores: Array, outputs: DetectionOutputs) -> Array:
    """The probability of each class but the background, float64 [..., N, classes], of raw scores."""
    values = scores.astype(np.float64)
    if outputs.activation == "sigmoid":
        values = 1 / (1 + np.exp(-values))
    elif outputs.activation == "softmax":
        exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
        values = exponentials / exponentials.sum(axis=-1, keepdims=True)
    if outputs.background is None:
        return values
    return np.delete(values, outputs.background, axis=-1)


class OutputMeter:
    """Measures int8 forms of one float model on images that are looked at once.

    Args:
        graph: The float model.
        inputs: Its inputs, kept.
        outputs: Its detection heads; None where they are not known.
    """

    def __init__(self, graph: Graph, inputs: Iterable[Array], outputs: DetectionOutputs | None) -> None:
        self.inputs = list(inputs)
        self.outputs = outputs
        self.names = [tensor.name for tensor in graph.outputs]
        self.expected = self._run(graph)

    def decibels(self, graph: Graph) -> float:
        """Signal to quantization noise of an int8 form with float input, the mean over its outputs in dB.

        With known detection heads, boxes count as much as the probability of their anchor's likeliest class, and
        scores as the probabilities that they mean.
        """
        sums = [ErrorSum() for _ in self.names]
        for expected, found in zip(self.expected, self._run(graph), strict=True):
            for total, reference, value in zip(sums, *self._weighed(expected, found), strict=True):
                total.add(reference, value)
        return float(np.mean([min(total.sqnr_db, _PERFECT_DB) for total in sums]))

    def _run(self, graph: Graph) -> list[list[Array]]:
        executor = Executor(graph)
        results = []
        for image in self.inputs:
            executor.invoke(image)
            results.append(real_outputs(executor))
        return results

    def _weighed(self, expected: Sequence[Array], found: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """Both models' outputs of one image, in the units in which they are compared."""
        if self.outputs is None:
            return list(expected), list(found)
        boxes, scores = self.names.index(self.outputs.boxes), self.names.index(self.outputs.scores)
        wanted = foreground_probabilities(expected[scores], self.outputs)
        weight = np.sqrt(wanted.max(axis=-1, keepdims=True))
        before, after = list(expected), list(found)
        before[boxes], after[boxes] = before[boxes] * weight, after[boxes] * weight
        before[scores] = np.maximum(wanted, LEAST_PROBABILITY)
        after[scores] = np.maximum(foreground_probabilities(found[scores], self.outputs), LEAST_PROBABILITY)
        return before, after
