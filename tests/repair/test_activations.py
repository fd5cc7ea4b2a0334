"""HARD_SWISH, GELU, fused activations, ADD_N and DIV become operators of the Edge TPU."""

from __future__ import annotations

import math

import numpy as np
import pytest

from coralsmith.graph import Attribute, Graph, Quant
from coralsmith.repair.add_n import SplitAddN
from coralsmith.repair.division import DivideByMultiplying
from coralsmith.repair.fuse_activation import FuseActivation, UnfusePoolActivation
from coralsmith.repair.gelu import ApproximateGelu, ExpandGelu
from coralsmith.repair.hard_swish import ExpandHardSwish
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant
from tests.repair.helpers import applied, apply, kinds, outputs, refused

PLAIN = {"fused_activation_function": "NONE"}


def unary(kind: str, **attributes: Attribute) -> Graph:
    source = activation("input", (1, 4, 5, 6))
    return graph([op(kind, [source], "result", **attributes)], [source])


def test_hard_swish_becomes_add_relu6_mul_mul() -> None:
    result = applied(ExpandHardSwish(), unary("HARD_SWISH"))
    assert kinds(result) == ["ADD", "MUL", "MUL"]
    assert result.ops[0].attributes["fused_activation_function"] == "RELU6"


def test_hard_swish_matches_its_definition() -> None:
    result = applied(ExpandHardSwish(), unary("HARD_SWISH"))
    x = np.linspace(-5, 5, 120, dtype=np.float32).reshape(1, 4, 5, 6)
    np.testing.assert_allclose(outputs(result, [x])[0], x * np.clip(x + 3, 0, 6) / 6, atol=1e-6)


def test_hard_swish_of_a_quantized_model_is_refused() -> None:
    source = activation("input", (1, 2, 2, 3), np.int8, Quant.per_tensor(0.1, 0))
    swish = op("HARD_SWISH", [source], "result")
    swish.output.quant = Quant.per_tensor(0.1, 0)
    assert refused(ExpandHardSwish(), graph([swish], [source])) == [
        "the model is quantized already: repair the float model"
    ]


def test_gelu_in_its_tanh_form_is_exact() -> None:
    result = applied(ExpandGelu(), unary("GELU", approximate=True))
    assert set(kinds(result)) == {"MUL", "ADD", "LOGISTIC"}


def test_gelu_with_the_error_function_is_left_to_the_approximate_pass() -> None:
    assert refused(ExpandGelu(), unary("GELU", approximate=False)) == []


def test_gelu_with_the_error_function_is_approximated_within_the_stated_bound() -> None:
    result, changes, _ = apply(ApproximateGelu(), unary("GELU", approximate=False))
    assert [change.exact for change in changes] == [False]
    x = np.linspace(-6, 6, 120, dtype=np.float32).reshape(1, 4, 5, 6)
    exact = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.reshape(-1)]).reshape(x.shape)
    assert np.abs(outputs(result, [x])[0] - exact).max() < 5e-4


@pytest.mark.parametrize("kind", ["RELU", "RELU6", "RELU_N1_TO_1"])
@pytest.mark.parametrize("host", ["CONV_2D", "ADD"])
def test_an_activation_is_fused_into_the_operator_before(host: str, kind: str) -> None:
    source = activation("input", (1, 4, 4, 3))
    if host == "ADD":
        first = op("ADD", [source, source], "hosted", **PLAIN)
    else:
        weights = random_constant("weights", (5, 3, 3, 3))
        first = op(host, [source, weights, random_constant("bias", (5,))], "hosted", **CONVOLUTION)
    result = applied(FuseActivation(), graph([first, op(kind, [first.output], "result")], [source]))
    assert kinds(result) == [host]
    assert result.ops[0].attributes["fused_activation_function"] == kind


def test_an_activation_is_not_fused_where_the_value_before_it_is_needed() -> None:
    source = activation("input", (1, 4, 4, 3))
    add = op("ADD", [source, source], "hosted", **PLAIN)
    relu = op("RELU", [add.output], "result")
    refused(FuseActivation(), graph([add, relu], [source], [add.output, relu.output]))


def test_an_activation_is_not_fused_into_an_operator_that_has_one() -> None:
    source = activation("input", (1, 4, 4, 3))
    add = op("ADD", [source, source], "hosted", fused_activation_function="RELU6")
    refused(FuseActivation(), graph([add, op("RELU", [add.output], "result")], [source]))


def test_a_pooling_loses_its_fused_activation() -> None:
    source = activation("input", (1, 4, 4, 3))
    pool = op(
        "AVERAGE_POOL_2D", [source], "result", padding="VALID", stride_w=2, stride_h=2,
        filter_width=2, filter_height=2, fused_activation_function="RELU6",
    )  # fmt: skip
    assert kinds(applied(UnfusePoolActivation(), graph([pool], [source]))) == ["AVERAGE_POOL_2D", "RELU6"]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_add_n_becomes_a_chain_of_add(count: int) -> None:
    sources = [activation(f"input_{i}", (1, 3, 3, 2)) for i in range(count)]
    result = applied(SplitAddN(), graph([op("ADD_N", list(sources), "sum")], sources))
    assert kinds(result) == ["ADD"] * (count - 1)


def test_a_division_by_a_constant_becomes_a_multiplication() -> None:
    source = activation("input", (1, 3, 3, 2))
    division = op("DIV", [source, constant("two_values", [127.5, 3.0], np.float32)], "result", **PLAIN)
    assert kinds(applied(DivideByMultiplying(), graph([division], [source]))) == ["MUL"]


def test_a_constant_divided_by_the_input_stays() -> None:
    source = activation("input", (1, 3, 3, 2))
    division = op("DIV", [constant("one", 1.0, np.float32), source], "result", **PLAIN)
    refused(DivideByMultiplying(), graph([division], [source]))


def test_a_division_by_zero_stays() -> None:
    source = activation("input", (1, 3, 3, 2))
    division = op("DIV", [source, constant("values", [2.0, 0.0], np.float32)], "result", **PLAIN)
    refused(DivideByMultiplying(), graph([division], [source]))
