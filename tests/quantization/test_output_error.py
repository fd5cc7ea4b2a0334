"""The error of a detector's outputs, weighed by detections."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.graph import Array, Graph, Tensor
from coralsmith.quantization.options import DetectionOutputs
from coralsmith.quantization.output_error import OutputMeter, foreground_probabilities
from tests.quantization.networks import detector, images

HEADS = DetectionOutputs("boxes", "scores", "sigmoid")
INPUTS = images((1, 4, 4, 3))


def shifted(model: Graph, bias: str, by: Array | float) -> Graph:
    result = model.copy()
    for operator in result.ops:
        operator.inputs = [
            Tensor.constant(t.name, (t.data + np.float32(by)).astype(np.float32))
            if t is not None and t.name == bias and t.data is not None
            else t
            for t in operator.inputs
        ]
    return result


def test_sigmoid_softmax_and_background() -> None:
    scores = np.array([[0.0, 2.0, -1.0]])
    sigmoid = foreground_probabilities(scores, DetectionOutputs("b", "s", "sigmoid", 0))
    assert sigmoid == pytest.approx(1 / (1 + np.exp(-scores[:, 1:])))
    softmax = foreground_probabilities(scores, DetectionOutputs("b", "s", "softmax"))
    assert softmax.sum() == pytest.approx(1.0)
    assert np.array_equal(foreground_probabilities(scores, DetectionOutputs("b", "s", "none")), scores)


def test_equal_models_have_no_error() -> None:
    model = detector()
    assert OutputMeter(model, INPUTS, HEADS).decibels(model) == 120.0


def test_a_larger_error_costs_more_decibels() -> None:
    model = detector()
    meter = OutputMeter(model, INPUTS, HEADS)
    small, large = (meter.decibels(shifted(model, "boxes_map/bias", by)) for by in (0.01, 0.1))
    assert small == pytest.approx(large + 10.0, abs=0.01)  # 20 dB of one of two outputs


def test_scores_that_are_zero_as_int8_probabilities_have_no_error() -> None:
    model = detector(logit_bias=-20.0)
    lower = shifted(model, "scores_map/bias", -10.0)
    assert OutputMeter(model, INPUTS, HEADS).decibels(lower) == 120.0
    assert OutputMeter(model, INPUTS, None).decibels(lower) < 70.0
