"""Per-channel factors and offsets go into convolutions where that is exact, and stay where it is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.graph import Attribute, Graph, Op, Tensor
from coralsmith.repair.scale_shift import AdvanceOffset, DeferFactor, FoldIntoProducer, FoldIntoReaders
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant
from tests.repair.helpers import applied, apply, kinds, refused

PLAIN = {"fused_activation_function": "NONE"}
LINEAR = ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]
CHANNELS = 3


def per_channel(channels: int, seed: int = 5) -> Tensor:
    return random_constant("values", (channels,), seed, spread=2.0)


def linear(kind: str, source: Tensor, name: str = "linear", **attributes: Attribute) -> Op:
    """A linear operator of six outputs over [1, 5, 5, 3], or over vectors of 3."""
    if kind == "FULLY_CONNECTED":
        return op(kind, [source, random_constant("weights", (6, CHANNELS)), random_constant("bias", (6,))], name,
                  **PLAIN, keep_num_dims=False, weights_format="DEFAULT")  # fmt: skip
    shape = (6, 3, 3, CHANNELS) if kind == "CONV_2D" else (1, 3, 3, 6)
    options = {**CONVOLUTION, **({"depth_multiplier": 2} if kind != "CONV_2D" else {}), **attributes}
    inputs = [source, random_constant("weights", shape), random_constant("bias", (6,))]
    return op(kind, inputs, name, **options)


def entry(kind: str) -> Tensor:
    return activation("input", (1, CHANNELS) if kind == "FULLY_CONNECTED" else (1, 5, 5, CHANNELS))


def behind(kind: str, arithmetic: str, values: Tensor, fused: str = "NONE", **attributes: Attribute) -> Graph:
    source = entry(kind)
    first = linear(kind, source, **attributes)
    second = op(arithmetic, [first.output, values], "result", fused_activation_function=fused)
    return graph([first, second], [source])


def before(kind: str, arithmetic: str, values: Tensor, **attributes: Attribute) -> Graph:
    source = entry(kind)
    first = op(arithmetic, [source, values], "scaled", **PLAIN)
    return graph([first, linear(kind, first.output, "result", **attributes)], [source])


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("arithmetic", ["MUL", "ADD", "SUB"])
def test_what_stands_behind_goes_into_weights_and_bias(kind: str, arithmetic: str) -> None:
    result = applied(FoldIntoProducer(), behind(kind, arithmetic, per_channel(6), fused="RELU"))
    assert kinds(result) == [kind]
    assert result.ops[0].attributes["fused_activation_function"] == "RELU"


@pytest.mark.parametrize("kind", LINEAR)
def test_a_factor_before_goes_into_the_weights(kind: str) -> None:
    assert kinds(applied(FoldIntoReaders(), before(kind, "MUL", per_channel(CHANNELS)))) == [kind]


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("arithmetic", ["ADD", "SUB"])
def test_an_offset_before_goes_into_the_bias_where_no_zeros_are_padded(kind: str, arithmetic: str) -> None:
    model = before(kind, arithmetic, per_channel(CHANNELS), padding="VALID")
    assert kinds(applied(FoldIntoReaders(), model)) == [kind]


def test_an_offset_before_a_padded_convolution_stays() -> None:
    reasons = refused(FoldIntoReaders(), before("CONV_2D", "ADD", per_channel(CHANNELS), padding="SAME"))
    assert reasons == ["a convolution behind it pads with zeros, which it would shift"]


def test_a_factor_goes_into_every_reader() -> None:
    source = entry("CONV_2D")
    scaled = op("MUL", [source, per_channel(CHANNELS)], "scaled", **PLAIN)
    readers = [linear("CONV_2D", scaled.output, "one"), linear("DEPTHWISE_CONV_2D", scaled.output, "two")]
    model = graph([scaled, *readers], [source], [reader.output for reader in readers])
    assert kinds(applied(FoldIntoReaders(), model)) == ["CONV_2D", "DEPTHWISE_CONV_2D"]


def test_a_factor_stays_where_one_reader_is_not_linear() -> None:
    source = entry("CONV_2D")
    scaled = op("MUL", [source, per_channel(CHANNELS)], "scaled", **PLAIN)
    readers = [linear("CONV_2D", scaled.output, "one"), op("TANH", [scaled.output], "two")]
    refused(FoldIntoReaders(), graph([scaled, *readers], [source], [reader.output for reader in readers]))


def test_nothing_goes_past_an_activation() -> None:
    refused(FoldIntoProducer(), behind("CONV_2D", "MUL", per_channel(6), fused_activation_function="RELU"))


def test_a_convolution_that_others_read_keeps_its_weights() -> None:
    model = behind("CONV_2D", "MUL", per_channel(6))
    model.outputs.append(model.ops[0].output)
    refused(FoldIntoProducer(), model)


def test_a_constant_for_each_position_is_no_factor_per_channel() -> None:
    refused(FoldIntoProducer(), behind("CONV_2D", "MUL", random_constant("values", (1, 5, 5, 6))))


def test_a_constant_minus_the_activation_stays() -> None:
    source = entry("CONV_2D")
    first = linear("CONV_2D", source)
    second = op("SUB", [per_channel(6), first.output], "result", **PLAIN)
    refused(FoldIntoProducer(), graph([first, second], [source]))


@settings(max_examples=20, deadline=None)
@given(
    scalar=st.booleans(),
    factor=st.floats(-4, 4, width=32),
    stride=st.integers(1, 2),
    padding=st.sampled_from(["SAME", "VALID"]),
)
def test_batch_normalisation_behind_a_convolution_vanishes(
    scalar: bool, factor: float, stride: int, padding: str
) -> None:
    source = entry("CONV_2D")
    conv = linear("CONV_2D", source, stride_w=stride, stride_h=stride, padding=padding)
    values = constant("gamma", factor if scalar else [factor, 1, 2, -1, 0.5, 3], np.float32)
    scale = op("MUL", [conv.output, values], "scaled", **PLAIN)
    shift = op("ADD", [scale.output, per_channel(6)], "result", fused_activation_function="RELU6")
    model = graph([conv, scale, shift], [source])
    assert kinds(applied(FoldIntoProducer(), model)) == ["CONV_2D"]


def hard_swish_by_hand(*, linear_reader: bool) -> Graph:
    """x * (relu6(x + 3) / 6), then a convolution or TANH."""
    source = entry("CONV_2D")
    gate = op("ADD", [source, constant("three", 3.0, np.float32)], "gate", fused_activation_function="RELU6")
    sixth = op("MUL", [gate.output, constant("sixth", 1 / 6, np.float32)], "gate_over_6", **PLAIN)
    swish = op("MUL", [source, sixth.output], "swish", **PLAIN)
    last = linear("CONV_2D", swish.output, "result") if linear_reader else op("TANH", [swish.output], "result")
    return graph([gate, sixth, swish, last], [source])


def test_the_factor_of_a_hard_swish_by_hand_ends_in_the_convolution() -> None:
    deferred = applied(DeferFactor(), hard_swish_by_hand(linear_reader=True))
    assert kinds(applied(FoldIntoReaders(), deferred)) == ["ADD", "MUL", "CONV_2D"]


def test_the_factor_of_a_hard_swish_by_hand_stays_where_nothing_absorbs_it() -> None:
    refused(DeferFactor(), hard_swish_by_hand(linear_reader=False))


def residual(*, fused: str = "NONE", arithmetic: str = "ADD", summand: str = "CONV_2D") -> Graph:
    """A layer, plus its input branch, plus a constant: a residual block with its offset behind the sum."""
    source = entry("CONV_2D")
    branch = linear("CONV_2D", source, "branch")
    layer = linear("CONV_2D", source) if summand == "CONV_2D" else op(summand, [branch.output], "linear")
    total = op("ADD", [layer.output, branch.output], "total", **PLAIN)
    result = op(arithmetic, [total.output, per_channel(6)], "result", fused_activation_function=fused)
    outputs = [result.output, op("RELU", [branch.output], "other").output]
    return graph([branch, layer, total, result, Op("RELU", [branch.output], [outputs[1]])], [source], outputs)


@pytest.mark.parametrize("arithmetic", ["ADD", "SUB"])
@pytest.mark.parametrize("fused", ["NONE", "RELU6"])
def test_an_offset_behind_a_residual_sum_goes_to_the_layer_before_it(arithmetic: str, fused: str) -> None:
    advanced = applied(AdvanceOffset(), residual(arithmetic=arithmetic, fused=fused))
    assert kinds(applied(FoldIntoProducer(), advanced)) == ["CONV_2D", "CONV_2D", "ADD", "RELU"]


def test_an_offset_stays_where_no_layer_can_take_it() -> None:
    assert not apply(AdvanceOffset(), residual(summand="RELU"))[1]
