"""LEAKY_RELU and PRELU: which form is chosen, and that both compute the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from coralsmith.graph import Array, Graph, Quant, Tensor
from coralsmith.repair.int8_error import int8_sqnr
from coralsmith.repair.leaky_relu import ReplaceLeakyRelu
from coralsmith.repair.samples import Samples
from tests.builders import activation, constant, graph, op
from tests.repair.helpers import applied, kinds, refused

SHAPE = (1, 6, 6, 4)
TWO_BRANCHES = ["RELU", "MUL", "SUB"]


def leaky(alpha: float = 0.1) -> Graph:
    source = activation("input", SHAPE)
    return graph([op("LEAKY_RELU", [source], "result", alpha=alpha)], [source])


def prelu(alpha: Tensor) -> Graph:
    source = activation("input", SHAPE)
    return graph([op("PRELU", [source, alpha], "result")], [source])


def repair_pass(model: Graph, **options: object) -> ReplaceLeakyRelu:
    return ReplaceLeakyRelu(Samples.of(model, None), **options)


def prefer(kind: str) -> object:
    """A measure that likes the form with this operator."""

    def measure(form: Graph, _: Sequence[Array]) -> float:
        return 40.0 if kind in kinds(form) else 20.0

    return measure


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.1, 0.3])
@pytest.mark.parametrize("form", ["PRELU", "SUB"])
def test_both_forms_compute_leaky_relu(alpha: float, form: str) -> None:
    model = leaky(alpha)
    assert form in kinds(applied(repair_pass(model, measure=prefer(form)), model))


def test_the_alpha_of_prelu_is_one_number_per_channel() -> None:
    model = leaky()
    result = applied(repair_pass(model, measure=prefer("PRELU")), model)
    alpha = result.ops[0].required_input("alpha")
    assert alpha.shape == (4,)


def test_the_better_form_in_8_bits_is_chosen_and_both_figures_are_told() -> None:
    model = leaky()
    change = repair_pass(model).apply(model.copy())[0]
    assert "PRELU" in change.reason and "two branches" in change.reason and "dB" in change.reason


def test_before_runtime_13_there_is_no_prelu() -> None:
    model = leaky()
    assert kinds(applied(repair_pass(model, min_runtime=12), model)) == TWO_BRANCHES


def test_a_prelu_that_maps_stays() -> None:
    model = prelu(constant("alpha", [0.1, 0.2, 0.0, 0.4], np.float32))
    assert refused(repair_pass(model), model) == []


def test_a_prelu_is_replaced_before_runtime_13() -> None:
    model = prelu(constant("alpha", [[[0.1, 0.2, 0.0, 0.4]]], np.float32))
    assert kinds(applied(repair_pass(model, min_runtime=12), model)) == TWO_BRANCHES


def test_a_prelu_with_a_slope_for_each_position_is_refused() -> None:
    model = prelu(constant("alpha", np.full(SHAPE[1:], 0.1), np.float32))
    assert refused(repair_pass(model), model) == ["its alpha is not one constant for each channel"]


def test_a_negative_slope_is_refused() -> None:
    model = leaky(-0.1)
    assert refused(repair_pass(model), model) == ["its alpha is negative"]


def test_a_quantized_one_is_refused() -> None:
    source = activation("input", SHAPE, np.int8, Quant.per_tensor(0.1, 0))
    quantized = op("LEAKY_RELU", [source], "result", alpha=0.1)
    quantized.output.quant = Quant.per_tensor(0.1, 0)
    model = graph([quantized], [source])
    assert refused(repair_pass(model), model) == ["the model is quantized already: repair the float model"]


def test_the_measured_error_is_that_of_rounding_to_8_bits() -> None:
    """RELU only rounds, and only its input: the grid of the output, twice as fine, holds every rounded input."""
    source = activation("input", (1, 64, 64, 4))
    model = graph([op("RELU", [source], "result")], [source])
    values = np.random.default_rng(0).uniform(-1, 1, source.shape).astype(np.float32)
    noise = 0.5 * (2 / 255) ** 2 / 12  # step^2 / 12, for the half of the values that are positive
    signal = np.mean(np.maximum(values, 0) ** 2)
    assert int8_sqnr(model, [values]) == pytest.approx(10 * np.log10(signal / noise), abs=0.1)
