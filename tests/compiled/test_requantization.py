"""The closed forms give the very float32 numbers that the compiler wrote, operator by operator."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compiled import requantization
from coralsmith.compiled.program import Program
from coralsmith.compiled.verification.constants import fits
from coralsmith.graph.model import Quant
from tests.builders import activation
from tests.compiled.pairs import BIRD, COLOURS, INSECT, MOBILENET_V1, MOBILENET_V2, SSD, compiled, source

f32 = np.float32


def tensor(scale: float, zero_point: int, dtype: type = np.uint8):
    return activation("t", (1, 4), dtype, Quant.per_tensor(scale, zero_point))


def runs_of(shared, name):
    programs = [Program.of(model.packages[0].main_executable) for _, model in compiled(shared, name)]
    return [run.block for program in programs for run in program.runs]


@pytest.mark.parametrize("name", [MOBILENET_V2, BIRD, INSECT, MOBILENET_V1, SSD])
def test_every_layer_of_a_per_tensor_model_has_its_block(shared, name):
    blocks = runs_of(shared, name)
    layers = [
        op for op in source(shared, name).ops if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    ]
    for op in layers:
        expected = requantization.with_weights(
            op.inputs[0], op.inputs[1], op.output, op.attributes["fused_activation_function"]
        )
        assert sum(fits(expected, block) for block in blocks) == 1, op


@pytest.mark.parametrize(
    ("name", "count"),
    [
        (MOBILENET_V2, 10),
        (BIRD, 10),
        (INSECT, 10),
        (SSD, 10),
        ("gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant", 15),
        ("gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant", 10),
    ],
)
def test_every_add_has_its_block_and_its_ratio_77_bundles_before(shared, name, count):
    programs = [Program.of(model.packages[0].main_executable) for _, model in compiled(shared, name)]
    runs = [(run.block, program.ratios) for program in programs for run in program.runs]
    adds = [op for op in source(shared, name).ops if op.kind == "ADD"]
    assert len(adds) == count
    for op in adds:
        expected, terms = requantization.of_add(*op.inputs, op.output, op.attributes["fused_activation_function"])
        ((block, ratios),) = [(block, ratios) for block, ratios in runs if fits(expected, block)]
        (load,) = [load for load in ratios if load.block_bundle == block.bundle]
        assert sorted(load.terms) == sorted(terms)


@pytest.mark.parametrize("name", COLOURS)
def test_a_softmax_of_a_new_compiler_and_the_inputs_of_a_concatenation_have_their_blocks(shared, name):
    blocks = runs_of(shared, name)
    ops = source(shared, name).ops
    softmax = next(op for op in ops if op.kind == "SOFTMAX")
    assert any(fits(requantization.of_softmax(softmax.inputs[0]), block) for block in blocks)
    concatenation = next(op for op in ops if op.kind == "CONCATENATION")
    for one in concatenation.inputs:
        assert any(fits(requantization.of_rescaling(one, concatenation.output), block) for block in blocks)


def test_the_logistic_of_an_ssd_has_its_block(shared):
    logistic = next(op for op in source(shared, SSD).ops if op.kind == "LOGISTIC")
    assert sum(fits(requantization.of_logistic(logistic.inputs[0]), b) for b in runs_of(shared, SSD)) == 1


def test_another_order_of_rounding_would_fit_few_layers(shared):
    blocks = {block.multiplier for block in runs_of(shared, MOBILENET_V2)}
    layers = [op for op in source(shared, MOBILENET_V2).ops if op.kind == "CONV_2D"]
    scales = [[f32(t.quant.scale[0]) for t in (op.inputs[0], op.inputs[1], op.output)] for op in layers]
    ours = [float(requantization.multipliers(a, np.array([b]), c)[0]) for a, b, c in scales]
    divided = [float(f32(f32(a * b) / c)) for a, b, c in scales]
    assert all(one in blocks for one in ours)
    assert sum(one in blocks for one in divided) < len(layers)


def test_clamps_keep_the_noise_of_going_there_and_back():
    scale = f32(0.994117618)  # of the convolution of a colour tracker
    assert requantization.clamps(scale, 0, "RELU") == (0, f32(255.00001525878906))
    assert requantization.clamps(scale, 0, "NONE") == (0, f32(255.00001525878906))


@pytest.mark.parametrize(
    ("activation_function", "low", "high"), [("NONE", -100, 155), ("RELU", 0, 155), ("RELU6", 0, 60)]
)
def test_clamps_by_activation(activation_function, low, high):
    found = requantization.clamps(f32(0.1), 100, activation_function)
    assert found == pytest.approx((low, high), rel=1e-6)


def test_an_activation_that_no_pair_had_is_refused():
    with pytest.raises(ValueError, match="TANH"):
        requantization.clamps(f32(0.1), 0, "TANH")


def test_int8_counts_from_128_below():
    assert requantization.zero_point(tensor(0.1, -128, np.int8)) == 0
    assert requantization.zero_point(tensor(0.1, 7)) == 7
    assert requantization.mean_the_same(tensor(0.1, -1, np.int8), tensor(0.1, 127))
    assert not requantization.mean_the_same(tensor(0.1, -1, np.int8), tensor(0.1, 128))


@pytest.mark.parametrize(
    "bad",
    [
        activation("float", (1, 4)),
        activation("per channel", (1, 4), np.int8, Quant(np.ones(2, f32), np.zeros(2, np.int64))),
        activation("wide", (1, 4), np.int16, Quant.per_tensor(0.1, 0)),
        tensor(0.0, 0),
        tensor(float("nan"), 0),
    ],
    ids=lambda bad: bad.name,
)
def test_what_is_not_quantized_to_8_bits_is_refused(bad):
    with pytest.raises(ValueError, match=bad.name):
        requantization.scale(bad)


@given(st.floats(2**-13, 8, width=32), st.floats(2**-13, 8, width=32))
def test_the_ratio_is_the_best_of_its_size(first, second):
    terms = requantization.ratio(f32(first), f32(second))
    assert min(terms) >= 1 and max(terms) <= 32767 and Fraction(*terms).numerator == terms[0]
    wanted = Fraction(first) / Fraction(second)
    if wanted <= 1 and wanted > Fraction(1, 32767):
        best = wanted.limit_denominator(32767)
        assert abs(float(Fraction(*terms) - wanted)) <= abs(float(best - wanted)) * (1 + 1e-6) + 1e-18


def test_equal_scales_have_the_ratio_one_to_one():
    assert requantization.ratio(f32(0.3), f32(0.3)) == (1, 1)
