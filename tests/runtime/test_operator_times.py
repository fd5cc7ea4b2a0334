"""Every operator of a model is timed by itself, with the values that it has inside the model."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Graph, Op
from coralsmith.graph.executor import random_inputs
from coralsmith.graph.reader import read_tflite
from coralsmith.runtime.operator_times import operator_times
from tests.builders import activation, graph, op


def chain() -> Graph:
    """x -> relu -> relu + x."""
    x = activation("x", (1, 4, 4, 8))
    relu = op("RELU", [x], "m")
    return graph([relu, op("ADD", [relu.output, x], "y", fused_activation_function="NONE")], [x])


def inputs(model: Graph) -> list[np.ndarray]:
    return list(random_inputs(model, np.random.default_rng(0)))


def test_every_operator_has_its_place_and_the_fastest_of_its_runs():
    model = chain()
    # The clock is read before and after each of three runs.
    lengths = iter([0.005, 0.003, 0.007, 0.002, 0.009, 0.004])
    ticks = (second for start in count() for second in (start, start + next(lengths)))
    times = operator_times(model, inputs(model), runs=3, clock=lambda: next(ticks))
    assert [(time.index, time.kind, time.name) for time in times] == [(0, "RELU", "m"), (1, "ADD", "y")]
    assert [time.ms for time in times] == pytest.approx([3.0, 2.0])


def test_a_model_that_does_not_run_is_an_error():
    x, y = activation("x", (1, 4)), activation("y", (1, 4))
    model = Graph([Op("CUSTOM", [x], [y], custom_code="nobody-knows-it")], [x], [y])
    with pytest.raises(UnsupportedModelError):
        operator_times(model, inputs(model))


@pytest.mark.slow
def test_all_operators_of_a_real_detector_run_alone(shared):
    model = read_tflite(shared / "models" / "ssd_mobilenet_v1_coco_quant" / "model.tflite")
    times = operator_times(model, inputs(model), runs=2)
    assert [time.kind for time in times] == [op.custom_code or op.kind for op in model.ops]
    assert all(time.ms is not None and time.ms > 0 for time in times)
