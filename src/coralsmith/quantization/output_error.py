"""How far an int8 detector's raw heads are from the float detector's, weighed by what detections are made of."""

from __future__ import annotations

import numpy as np

from coralsmith.graph import Array
from coralsmith.quantization.options import DetectionOutputs


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
