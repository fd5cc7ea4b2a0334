"""Transpositions sink to where they cancel, and operators over too many dimensions get by with three."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair import RepairPass
from coralsmith.repair.lower_rank import LowerRank
from coralsmith.repair.patterns import rank_is_supported
from coralsmith.repair.simplify_movement import SimplifyMovement
from coralsmith.repair.sink_transpose import SinkTranspose
from tests.builders import activation, constant, graph, op, random_constant
from tests.repair.helpers import applied, kinds, refused

PLAIN = {"fused_activation_function": "NONE"}
FIVE = (1, 2, 4, 6, 3)


def reshape(source: Tensor, shape: tuple[int, ...], name: str) -> Op:
    return op("RESHAPE", [source, constant("shape", shape, np.int32)], name)


def transpose(source: Tensor, order: tuple[int, ...], name: str) -> Op:
    return op("TRANSPOSE", [source, constant("order", order, np.int32)], name)


def between_reshapes(middle: Any, sources: int = 1) -> Graph:
    """[1, 8, 6, 3] to five dimensions, an operator there, and back again."""
    inputs = [activation(f"input_{i}", (1, 8, 6, 3)) for i in range(sources)]
    entries = [reshape(source, FIVE, f"entry_{i}") for i, source in enumerate(inputs)]
    inner: Op = middle(*[entry.output for entry in entries])
    return graph([*entries, inner, reshape(inner.output, (1, inner.output.elements), "result")], inputs)


def lowered(model: Graph) -> Graph:
    """After the two passes that work together."""
    merged = applied(LowerRank(), model)
    return applied(SimplifyMovement(), merged)


@pytest.mark.parametrize(
    "middle",
    [
        lambda x: op("LOGISTIC", [x], "inner"),
        lambda x: op("SOFTMAX", [x], "inner", beta=1.0),
        lambda x: op("MUL", [x, constant("two", 2.0, np.float32)], "inner", **PLAIN),
        lambda x: op("ADD", [x, random_constant("values", (1, 1, 1, 1, 3))], "inner", **PLAIN),
    ],
)
def test_an_operator_over_five_dimensions_gets_by_with_three(middle: Any) -> None:
    result = lowered(between_reshapes(middle))
    assert kinds(result) == ["RESHAPE", middle(activation("x", FIVE)).kind, "RESHAPE"]
    assert all(rank_is_supported(tensor.shape) for tensor in result.tensors() if not tensor.is_constant)


@pytest.mark.parametrize("kind", ["ADD", "MAXIMUM"])
def test_two_operands_of_five_dimensions_get_by_with_three(kind: str) -> None:
    attributes = PLAIN if kind == "ADD" else {}
    result = lowered(between_reshapes(lambda x, y: op(kind, [x, y], "inner", **attributes), 2))
    assert all(rank_is_supported(tensor.shape) for tensor in result.tensors() if not tensor.is_constant)


@pytest.mark.parametrize("axis", range(5))
def test_a_concatenation_along_any_of_five_axes_gets_by_with_three(axis: int) -> None:
    def join(x: Tensor, y: Tensor) -> Op:
        return op("CONCATENATION", [x, y], "inner", axis=axis, **PLAIN)

    result = lowered(between_reshapes(join, 2))
    assert kinds(result) == ["RESHAPE", "RESHAPE", "CONCATENATION", "RESHAPE"]


@pytest.mark.parametrize("axis", [1, 2, 3, 4, -1])
def test_packing_along_any_axis_becomes_a_concatenation(axis: int) -> None:
    sources = [activation(f"input_{i}", (1, 4, 5, 3)) for i in range(3)]
    pack = op("PACK", list(sources), "packed", axis=axis, values_count=3)
    result = applied(LowerRank(), graph([pack], sources))
    assert "PACK" not in kinds(result) and "CONCATENATION" in kinds(result)


def test_what_has_supported_rank_stays() -> None:
    source = activation("input", (1, 8, 6, 3))
    refused(LowerRank(), graph([op("LOGISTIC", [source], "result")], [source]))


def test_operands_that_broadcast_over_each_other_stay() -> None:
    first, second = activation("first", FIVE), activation("second", (1, 2, 1, 1, 3))
    refused(LowerRank(), graph([op("ADD", [first, second], "result", **PLAIN)], [first, second]))


def channels_first(middle: Any, back: tuple[int, ...] = (0, 2, 3, 1), sources: int = 1) -> Graph:
    """NHWC to NCHW, an operator there, and another transposition."""
    inputs = [activation(f"input_{i}", (1, 4, 6, 3)) for i in range(sources)]
    entries = [transpose(source, (0, 3, 1, 2), f"entry_{i}") for i, source in enumerate(inputs)]
    inner: list[Op] = middle(*[entry.output for entry in entries])
    return graph([*entries, *inner, transpose(inner[-1].output, back, "result")], inputs)


PASSES: list[RepairPass] = [SinkTranspose(), SimplifyMovement()]


@pytest.mark.parametrize(
    ("middle", "sources"),
    [
        (lambda x: [op("RELU", [x], "inner")], 1),
        (lambda x, y: [op("ADD", [x, y], "inner", **PLAIN)], 2),
        (lambda x: [op("MUL", [x, random_constant("values", (1, 3, 1, 1))], "inner", **PLAIN)], 1),
        (lambda x: [a := op("LOGISTIC", [x], "gate"), op("MUL", [x, a.output], "inner", **PLAIN)], 1),
    ],
)
def test_transpositions_around_element_wise_operators_cancel(middle: Any, sources: int) -> None:
    model = channels_first(middle, sources=sources)
    for repair_pass in PASSES:
        model = applied(repair_pass, model)
    assert "TRANSPOSE" not in kinds(model)


def test_a_transposition_that_would_not_cancel_does_not_sink() -> None:
    refused(SinkTranspose(), channels_first(lambda x: [op("RELU", [x], "inner")], back=(0, 3, 1, 2)))


def test_a_transposition_does_not_sink_past_a_value_that_is_an_output() -> None:
    model = channels_first(lambda x: [op("RELU", [x], "inner")])
    model.outputs.append(model.ops[1].output)
    refused(SinkTranspose(), model)


def test_operands_in_different_orders_do_not_sink() -> None:
    first, second = activation("first", (1, 4, 4, 4)), activation("second", (1, 4, 4, 4))
    one, two = transpose(first, (0, 3, 1, 2), "one"), transpose(second, (0, 2, 1, 3), "two")
    total = op("ADD", [one.output, two.output], "total", **PLAIN)
    refused(SinkTranspose(), graph([one, two, total, transpose(total.output, (0, 2, 3, 1), "r")], [first, second]))
