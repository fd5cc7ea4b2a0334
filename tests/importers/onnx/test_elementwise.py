"""Arithmetic and activations against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.importers.onnx.models import TensorProto, compared, kinds, model, node, noise, one

CONVOLUTION = node("Conv", ["x", "w"], "c")
WEIGHTS = {"w": noise(3, 3, 1, 1)}


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_with_a_constant(kind: str) -> None:
    assert kinds(one(kind, {"k": noise(3, 1, 1, low=0.5)})) == [kind.upper()]


@pytest.mark.parametrize("shape", [(), (1,), (1, 3, 1, 1), (8, 10), (1, 3, 8, 10), (10,)])
def test_a_constant_of_any_shape(shape: tuple[int, ...]) -> None:
    assert kinds(one("Mul", {"k": noise(*shape)}, clean=False)) == ["MUL"]


@pytest.mark.parametrize("kind", ["Sub", "Div"])
def test_a_constant_may_come_first(kind: str) -> None:
    compared(model([node(kind, ["k", "x"])], {"k": noise(3, 1, 1)}), low=0.5)


@pytest.mark.parametrize("kind", ["Sum", "Max", "Min"])
def test_any_number_of_operands(kind: str) -> None:
    compared(model([CONVOLUTION, node(kind, ["x", "c", "k"])], {**WEIGHTS, "k": noise(3, 1, 1)}))


@pytest.mark.parametrize(
    ("kind", "expected"),
    {
        "Relu": "RELU",
        "Sigmoid": "LOGISTIC",
        "Tanh": "TANH",
        "HardSwish": "HARD_SWISH",
        "Exp": "EXP",
        "Abs": "ABS",
        "Neg": "NEG",
        "Elu": "ELU",
        "LeakyRelu": "LEAKY_RELU",
    }.items(),
)
def test_an_activation_is_one_operator(kind: str, expected: str) -> None:
    assert kinds(one(kind)) == [expected]


@pytest.mark.parametrize("kind", ["Log", "Sqrt", "Reciprocal"])
def test_functions_of_positive_numbers(kind: str) -> None:
    one(kind, low=0.1)


def test_the_slope_of_a_leaky_relu() -> None:
    assert one("LeakyRelu", alpha=0.3).ops[0].attributes["alpha"] == pytest.approx(0.3)


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 3, 1, 1), (1,), (3, 8, 10)])
def test_the_slopes_of_a_prelu(shape: tuple[int, ...]) -> None:
    assert kinds(one("PRelu", {"slope": noise(*shape)})) == ["PRELU"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 6.0, ["RELU6"]),
        (-1.0, 1.0, ["RELU_N1_TO_1"]),
        (0.0, None, ["RELU"]),
        (0.0, 2.0, ["MAXIMUM", "MINIMUM"]),
        (None, 0.5, ["MINIMUM"]),
        (-0.5, None, ["MAXIMUM"]),
    ],
)
@pytest.mark.parametrize("opset", [9, 18])
def test_a_clip(low: float | None, high: float | None, expected: list[str], opset: int) -> None:
    bounds = {"min": low, "max": high}
    given: dict[str, Any] = {name: value for name, value in bounds.items() if value is not None}
    if opset < 11:
        graph = one("Clip", opset=opset, **given, low=-9.0, high=9.0)
    else:
        names = [name if name in given else "" for name in bounds]
        constants = {name: np.float32(value) for name, value in given.items()}
        graph = compared(model([node("Clip", ["x", *names])], constants), low=-9.0, high=9.0)
    assert kinds(graph) == expected


def test_a_hard_sigmoid_of_mobilenet_is_relu6() -> None:
    assert kinds(one("HardSigmoid", alpha=1 / 6, beta=0.5, low=-6.0, high=6.0)) == ["ADD", "MUL"]


@pytest.mark.parametrize("inputs", [["x", "s"], ["s", "x"]])
def test_a_value_times_its_hard_sigmoid_is_hard_swish(inputs: list[str]) -> None:
    nodes = [node("HardSigmoid", ["x"], "s", alpha=1 / 6, beta=0.5), node("Mul", inputs)]
    assert kinds(compared(model(nodes, opset=11), low=-6.0, high=6.0)) == ["HARD_SWISH"]


def test_another_values_hard_sigmoid_is_a_gate() -> None:
    nodes = [CONVOLUTION, node("HardSigmoid", ["c"], "s", alpha=1 / 6, beta=0.5), node("Mul", ["x", "s"])]
    assert kinds(compared(model(nodes, WEIGHTS))) == ["CONV_2D", "MUL", "MUL"], "the shift is in the bias"


def test_any_other_hard_sigmoid() -> None:
    one("HardSigmoid", alpha=0.2, beta=0.4, low=-6.0, high=6.0)


@pytest.mark.parametrize(("exponent", "expected"), [(2.0, ["MUL"]), (0.5, ["SQRT"]), (3.0, ["POW"])])
def test_a_power(exponent: float, expected: list[str]) -> None:
    assert kinds(one("Pow", {"k": np.float32(exponent)}, low=0.1)) == expected


def test_identity_and_dropout_cost_nothing() -> None:
    nodes = [node("Identity", ["x"], "i"), node("Dropout", ["i"], "d"), node("Conv", ["d", "w"])]
    assert kinds(compared(model(nodes, WEIGHTS))) == ["CONV_2D"]


def test_pixels_become_real_numbers() -> None:
    nodes = [node("Cast", ["x"], "f", to=TensorProto.FLOAT), node("Mul", ["f", "k"])]
    graph = compared(model(nodes, {"k": np.float32(1 / 255)}, dtype=TensorProto.UINT8))
    assert kinds(graph) == ["CAST", "MUL"]
    assert graph.inputs[0].dtype == np.uint8


def test_a_gate_of_channels_meets_its_image_without_a_transpose() -> None:
    """A squeeze-and-excitation block that drops and restores the axes of its means."""
    nodes = [
        node("GlobalAveragePool", ["x"], "m"),
        node("Flatten", ["m"], "f"),
        node("Gemm", ["f", "g"], "h", transB=1),
        node("Sigmoid", ["h"], "s"),
        node("Unsqueeze", ["s", "axes"], "u"),
        node("Mul", ["x", "u"]),
    ]
    graph = compared(model(nodes, {"g": noise(3, 3), "axes": np.array([2, 3])}))
    assert kinds(graph) == ["MEAN", "RESHAPE", "FULLY_CONNECTED", "LOGISTIC", "RESHAPE", "MUL"]
