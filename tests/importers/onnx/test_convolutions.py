"""Conv and ConvTranspose against onnxruntime."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.importers.onnx.models import IMAGE, compared, kinds, model, node, noise, one

BN = {"scale": noise(4, low=0.5), "shift": noise(4, seed=1), "mean": noise(4, seed=2), "var": noise(4, low=0.3)}


def test_a_padded_convolution_of_stride_1_is_same() -> None:
    graph = one("Conv", {"w": noise(4, 3, 3, 3), "b": noise(4)}, pads=[1, 1, 1, 1])
    assert kinds(graph) == ["CONV_2D"]
    assert graph.ops[0].attributes["padding"] == "SAME"


def test_symmetric_pads_of_stride_2_on_an_even_image_are_a_pad_of_zeros() -> None:
    graph = one("Conv", {"w": noise(4, 3, 3, 3)}, pads=[1, 1, 1, 1], strides=[2, 2])
    assert kinds(graph) == ["PAD", "CONV_2D"]
    assert graph.ops[1].attributes["padding"] == "VALID"


def test_symmetric_pads_of_stride_2_on_an_odd_image_are_same() -> None:
    graph = one("Conv", {"w": noise(4, 3, 3, 3)}, pads=[1, 1, 1, 1], strides=[2, 2], shape=(1, 3, 9, 11))
    assert kinds(graph) == ["CONV_2D"]
    assert graph.ops[0].attributes["padding"] == "SAME"


def test_a_group_for_each_channel_is_depthwise() -> None:
    graph = one("Conv", {"w": noise(6, 1, 3, 3), "b": noise(6)}, group=3)
    assert kinds(graph) == ["DEPTHWISE_CONV_2D"]
    assert graph.ops[0].attributes["depth_multiplier"] == 2


def test_other_groups_stay_one_convolution() -> None:
    nodes = [node("Conv", ["x", "v"], "wide"), node("Conv", ["wide", "w"], group=2)]
    graph = compared(model(nodes, {"v": noise(4, 3, 1, 1), "w": noise(6, 2, 3, 3)}))
    assert kinds(graph) == ["CONV_2D", "CONV_2D"]


@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(automatic: str) -> None:
    one("Conv", {"w": noise(4, 3, 3, 3)}, auto_pad=automatic, strides=[2, 2])


@settings(max_examples=15, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    size=st.tuples(st.integers(10, 13), st.integers(10, 13)),
    groups=st.sampled_from([1, 3]),
)
def test_any_window(kernel, strides, dilations, pads, size, groups) -> None:
    one(
        "Conv",
        {"w": noise(3, 3 // groups, *kernel), "b": noise(3)},
        strides=strides,
        dilations=dilations,
        pads=pads,
        group=groups,
        shape=(1, 3, *size),
        clean=False,
    )


def test_normalisation_factor_shift_and_relu_behind_a_convolution_become_part_of_it() -> None:
    nodes = [
        node("Conv", ["x", "w"], "c"),
        node("BatchNormalization", ["c", *BN], "n", epsilon=1e-3),
        node("Mul", ["n", "factor"], "m"),
        node("Add", ["m", "more"], "a"),
        node("Relu", ["a"]),
    ]
    constants = {"w": noise(4, 3, 3, 3), **BN, "factor": noise(1, 4, 1, 1), "more": noise(4, 1, 1)}
    graph = compared(model(nodes, constants))
    assert kinds(graph) == ["CONV_2D"]
    assert graph.ops[0].attributes["fused_activation_function"] == "RELU"


def test_a_normalisation_before_a_convolution_stays_a_factor_and_a_shift() -> None:
    statistics = {name: values[:3] for name, values in BN.items()}
    nodes = [node("BatchNormalization", ["x", *BN], "n"), node("Relu", ["n"], "r"), node("Conv", ["r", "w"])]
    graph = compared(model(nodes, {"w": noise(4, 3, 3, 3), **statistics}))
    assert kinds(graph) == ["MUL", "ADD", "CONV_2D"]


def test_what_others_read_too_is_not_folded() -> None:
    nodes = [node("Conv", ["x", "w"], "c"), node("Relu", ["c"], "r"), node("Add", ["c", "r"])]
    assert kinds(compared(model(nodes, {"w": noise(4, 3, 1, 1)}))) == ["CONV_2D", "RELU", "ADD"]


@settings(max_examples=12, deadline=None)
@given(
    kernel=st.integers(2, 4),
    stride=st.integers(1, 3),
    pad=st.integers(0, 1),
    extra=st.integers(0, 2),
    biased=st.booleans(),
)
def test_any_transposed_convolution(kernel: int, stride: int, pad: int, extra: int, biased: bool) -> None:
    constants = {"w": noise(3, 5, kernel, kernel), **({"b": noise(5)} if biased else {})}
    padding = min(extra, stride - 1)
    graph = one(
        "ConvTranspose",
        constants,
        strides=[stride, stride],
        pads=[pad] * 4,
        output_padding=[padding, padding],
        shape=(1, 3, 4, 5),
        clean=False,
    )
    assert graph.ops[0].kind == "TRANSPOSE_CONV"
    assert len(graph.ops[0].inputs) == 3, "with a bias inside, the compiler of 2021 could not read it"


def test_a_transposed_convolution_that_doubles_needs_nothing_else() -> None:
    graph = one("ConvTranspose", {"w": noise(3, 5, 4, 4)}, strides=[2, 2], pads=[1, 1, 1, 1])
    assert kinds(graph) == ["TRANSPOSE_CONV"]
    assert graph.outputs[0].shape == (1, 2 * IMAGE[2], 2 * IMAGE[3], 5)
