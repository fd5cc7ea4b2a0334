"""Which activations share a scale, and where a QUANTIZE is worth its price."""

from __future__ import annotations

import numpy as np

from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.quantization.ranges import Range
from coralsmith.quantization.scales import Scales, solve_scales
from tests.builders import activation, constant, graph, op


def two_branches(*, reader_of_first: str | None = None, kind_of_second: str = "RELU") -> tuple[Graph, Op]:
    """input -> RELU -> a; input -> second kind -> b; CONCATENATION(a, b)."""
    source = activation("input", (1, 4, 4, 2))
    first = op("RELU", [source], "a")
    second = op(kind_of_second, [source], "b")
    join = op("CONCATENATION", [first.output, second.output], "joined", axis=3, fused_activation_function="NONE")
    ops, outputs = [first, second, join], [join.output]
    if reader_of_first:
        other = op(reader_of_first, [first.output], "other")
        ops, outputs = [*ops, other], [join.output, other.output]
    return graph(ops, [source], outputs), join


def solve(model: Graph, **ranges: float) -> Scales:
    spans = {t: Range(0.0, ranges.get(t.name, 1.0)) for t in model.tensors() if not t.is_constant}
    return solve_scales(model, spans)


def scale(scales: Scales, tensor: Tensor) -> float:
    return float(scales.quants[tensor].scale[0])


def test_producers_compute_into_the_scale_of_the_concatenation() -> None:
    model, join = two_branches()
    scales = solve(model, a=1.0, b=8.0, joined=8.0)
    assert not scales.rescaled
    assert {scale(scales, t) for t in (*join.inputs, join.output) if t} == {np.float32(8 / 255)}


def test_a_value_that_is_computed_with_elsewhere_keeps_its_resolution() -> None:
    model, join = two_branches(reader_of_first="RELU")
    scales = solve(model, a=1.0, b=8.0, joined=8.0)
    assert scales.rescaled == [(join, 0)]
    assert scale(scales, model.tensor("a")) == np.float32(1 / 255)


def test_a_small_widening_is_cheaper_than_a_quantize() -> None:
    model, _ = two_branches(reader_of_first="RELU")
    assert not solve(model, a=1.0, b=1.4, joined=1.4).rescaled


def test_a_fixed_scale_is_not_changed_by_a_concatenation() -> None:
    model, join = two_branches(kind_of_second="LOGISTIC")
    scales = solve(model, a=8.0, b=1.0, joined=8.0)
    assert scales.rescaled == [(join, 1)]
    assert scale(scales, model.tensor("b")) == 1 / 256


def test_branches_with_one_fixed_scale_join_without_a_quantize() -> None:
    source = activation("input", (1, 4, 4, 2))
    parts = [op("LOGISTIC", [source], name) for name in ("a", "b")]
    inputs: list[Tensor | None] = [part.output for part in parts]
    join = op("CONCATENATION", inputs, "joined", axis=3, fused_activation_function="NONE")
    scales = solve(graph([*parts, join], [source]))
    assert not scales.rescaled
    assert scale(scales, join.output) == 1 / 256


def test_moving_operators_keep_the_scale_of_their_input() -> None:
    source = activation("input", (1, 4, 4, 2))
    relu = op("RELU", [source], "relu")
    move = op("RESHAPE", [relu.output, constant("shape", [1, 16, 2], np.int32)], "moved", new_shape=(1, 16, 2))
    scales = solve(graph([relu, move], [source]), relu=3.0, moved=99.0)
    assert scales.quants[relu.output].same_as(scales.quants[move.output])


def test_a_product_never_needs_the_version_of_mul_that_rescales_up() -> None:
    source = activation("input", (1, 4, 4, 2))
    other = op("RELU", [source], "other")
    product = op("MUL", [source, other.output], "product", fused_activation_function="NONE")
    scales = solve(graph([other, product], [source]), input=100.0, other=100.0, product=0.01)
    assert scale(scales, source) * scale(scales, other.output) < scale(scales, product.output)


def test_the_callers_fixed_scale_is_kept() -> None:
    model, _ = two_branches()
    image = model.inputs[0]
    spans = {t: Range(0.0, 1.0) for t in model.tensors()}
    quant = Quant.per_tensor(1 / 127.5, 0)
    assert solve_scales(model, spans, {image: quant}).quants[image] is quant
