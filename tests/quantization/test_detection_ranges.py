"""The raw heads' ranges: what detections are made of, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.graph import Tensor
from coralsmith.graph.executor import Executor
from coralsmith.quantization.calibration import observe
from coralsmith.quantization.detection_ranges import detection_ranges
from coralsmith.quantization.options import DetectionOutputs, QuantizationOptions
from coralsmith.quantization.quantizer import quantize_graph
from tests.builders import op
from tests.quantization.networks import detector, images

HEADS = DetectionOutputs("boxes", "scores", "sigmoid")
INPUTS = images((1, 4, 4, 3))


def probabilities(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def test_logits_below_half_a_step_of_an_int8_probability_are_clipped() -> None:
    model = detector(logit_bias=-8.0)
    ranges = observe(model, INPUTS).ranges
    assert probabilities(ranges[model.tensor("scores")].low) < 0.001
    narrowed = detection_ranges(model, INPUTS, ranges, HEADS)[model.tensor("scores")]
    assert probabilities(narrowed.low) == pytest.approx(1 / 512)
    assert narrowed.high == ranges[model.tensor("scores")].high


def test_boxes_of_unlikely_anchors_do_not_widen_the_range() -> None:
    model = detector(logit_bias=-3.2)
    ranges = observe(model, INPUTS).ranges
    narrowed = detection_ranges(model, INPUTS, ranges, HEADS)[model.tensor("boxes")]
    executor, seen = Executor(model), []
    for image in INPUTS:
        boxes, scores = executor.run(image)
        seen.append(boxes[probabilities(scores).max(axis=-1) >= 0.05])
    likely = np.concatenate(seen)
    assert 0 < len(likely) < len(INPUTS) * 16
    assert narrowed.high == pytest.approx(min(1.1 * likely.max(), ranges[model.tensor("boxes")].high))


def test_what_is_only_moved_into_a_head_is_cut_with_it() -> None:
    model = detector()
    narrowed = detection_ranges(model, INPUTS, observe(model, INPUTS).ranges, HEADS)
    assert narrowed[model.tensor("scores_map")] == narrowed[model.tensor("scores")]


def test_the_scale_is_solved_for_the_narrow_range() -> None:
    model = detector(logit_bias=-8.0)
    options = QuantizationOptions(detection_ranges=True, outputs=HEADS, input_type="float")
    quant = quantize_graph(model, INPUTS, options).graph.tensor("scores").quant
    wide = quantize_graph(model, INPUTS, QuantizationOptions(input_type="float")).graph.tensor("scores").quant
    assert quant is not None and wide is not None
    assert quant.scale[0] < wide.scale[0]


def test_probabilities_made_by_a_sigmoid_are_cut_in_front_of_it() -> None:
    model = detector(logit_bias=-8.0)
    logits = model.outputs[1]
    sigmoid = op("LOGISTIC", [logits], "probabilities")
    model.ops.append(sigmoid)
    model.outputs[1] = sigmoid.output
    heads = DetectionOutputs("boxes", "probabilities", "none")
    narrowed = detection_ranges(model, INPUTS, observe(model, INPUTS).ranges, heads)
    assert probabilities(narrowed[logits].low) == pytest.approx(1 / 512)


def test_probabilities_of_a_softmax_keep_their_range() -> None:
    model = detector()
    heads = DetectionOutputs("boxes", "scores", "softmax", background=0)
    ranges = observe(model, INPUTS).ranges
    scores: Tensor = model.tensor("scores")
    assert detection_ranges(model, INPUTS, ranges, heads)[scores] == ranges[scores]
