"""Bytes of single layers by the packing rules, and what of them is padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.edgetpu.layer_bytes import matrix_bytes, weight_bytes
from coralsmith.graph.model import Graph, Op, Quant
from tests.builders import CONVOLUTION, activation, constant
from tests.edgetpu.layers import conv, dense, depthwise


def size_of(op: Op) -> int:
    size = weight_bytes(op, {})
    assert size.low == size.high
    return size.low


@pytest.mark.parametrize(
    ("op", "size"),
    [
        (conv((64, 1, 1, 32)), 64 * (32 + 4)),
        (conv((65, 1, 1, 32)), 128 * (32 + 4)),  # 65 outputs cost as many bytes as 128
        (conv((17, 1, 1, 32)), 32 * (32 + 4)),
        (conv((64, 3, 3, 3)), 64 * (9 * 4 + 4)),
        (conv((64, 1, 1, 32), bias_value=0), 64 * 32),
        (conv((64, 1, 1, 32), scales=64), 64 * (32 + 12)),
        (conv((64, 1, 1, 32), scales=64, bias_value=0), 64 * (32 + 8)),
        (conv((64, 3, 3, 16), size=1), 64 * (16 + 4)),  # only the middle tap meets a 1x1 map
        (conv((1, 1, 1, 3), bias_value=0), 16 * 4),
        (dense(10, 512), 16 * 512),
        (dense(1, 4096), 16 * 4096),
        (depthwise(30), 32 * (4 * 9 + 4)),
        (depthwise(12), 12 * (4 * 9 + 4) + 32),  # filled up to a multiple of 64 bytes
    ],
)
def test_bytes_of_a_layer(op: Op, size: int) -> None:
    assert size_of(op) == size


def test_a_convolution_of_one_channel_to_one_is_packed_as_a_depthwise_one() -> None:
    assert size_of(conv((1, 3, 3, 1), size=64, bias_value=0)) == 192  # 9 taps of 16 bytes, filled up to 64


def test_every_byte_has_a_purpose() -> None:
    size = weight_bytes(conv((65, 3, 3, 6), scales=65), {})
    assert size.weights == 65 * 9 * 6
    assert size.channel_padding == 65 * 9 * 2
    assert size.output_padding == (128 - 65) * 9 * 8
    assert size.header == 128 * 12
    assert size.low == size.weights + size.header + size.wasted == 128 * (9 * 8 + 12)


def test_three_quarters_of_depthwise_weights_lie_beside_the_diagonal() -> None:
    size = weight_bytes(depthwise(32), {})
    assert size.weights == 32 * 9
    assert size.wasted == size.diagonal == 3 * 32 * 9


@pytest.mark.parametrize(("outputs", "occupied"), [(12, 64), (48, 64), (64, 64), (100, 128)])
def test_on_the_chip_outputs_fill_whole_groups_of_64(outputs: int, occupied: int) -> None:
    assert weight_bytes(conv((outputs, 1, 1, 32)), {}).occupied == occupied * (32 + 4)


def test_depthwise_layers_fill_no_groups_on_the_chip() -> None:
    size = weight_bytes(depthwise(96), {})
    assert size.occupied == size.low == 96 * (4 * 9 + 4)


def test_one_channel_is_multiplied_like_an_ordinary_convolution() -> None:
    assert size_of(depthwise(8, multiplier=8, scales=8)) == 16 * (9 * 4 + 12)


def test_a_depth_multiplier_of_several_channels_is_in_a_band() -> None:
    size = weight_bytes(depthwise(32, multiplier=2), {})
    assert size.low == 32 * (4 * 9 + 4) < size.high
    assert "unknown" in size.evidence


def test_equal_scales_may_need_no_multiplier_for_each_channel() -> None:
    op = conv((64, 1, 1, 32))
    op.inputs[1].quant = Quant(np.full(64, 0.1, np.float32), np.zeros(64, np.int64))
    size = weight_bytes(op, {})
    assert (size.low, size.high) == (64 * (32 + 8), 64 * (32 + 12))


@pytest.mark.parametrize(("runtime", "spare"), [(10, 64 * 4), (11, 64 * 4), (12, 0), (14, 0)])
def test_files_for_old_runtimes_may_store_a_bias_that_is_all_zero(runtime: int, spare: int) -> None:
    size = weight_bytes(conv((64, 1, 1, 32), bias_value=0), {}, min_runtime=runtime)
    assert (size.low, size.high - size.low) == (64 * 32, spare)


def test_depthwise_taps_that_only_see_padding_may_be_dropped() -> None:
    size = weight_bytes(depthwise(16, size=1), {})
    assert (size.low, size.high) == (16 * (4 * 1 + 4), 16 * (4 * 9 + 4))


def test_the_classes_of_a_detector_head_are_padded_to_a_multiple_of_four() -> None:
    head = conv((45, 3, 3, 16))
    reshaped = activation("scores", (1, 16 * 16 * 9, 5), np.int8)
    graph = Graph([head, Op("RESHAPE", [head.output], [reshaped])], [head.inputs[0]], [reshaped])
    assert weight_bytes(head, graph.consumers()).low == 128 * (9 * 16 + 4)  # 9 anchors of 8: two groups of 64
    assert size_of(head) == 48 * (9 * 16 + 4)


@given(
    size=st.integers(1, 9),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
)
def test_kernel_taps_that_only_see_padding_are_dropped(size, kernel, stride, dilation) -> None:
    op = conv((64, kernel, 1, 4), size=size, stride_h=stride, dilation_h_factor=dilation, bias_value=0)
    assert size_of(op) == 64 * taps_that_change_the_output(size, kernel, stride, dilation) * 4


def taps_that_change_the_output(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Run a one-dimensional SAME convolution with one tap at a time over an input of ones."""
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) // 2
    padded = np.zeros(size + 100)
    padded[before : before + size] = 1
    return sum(
        bool(np.any(padded[tap * dilation : tap * dilation + outputs * stride : stride][:outputs]))
        for tap in range(kernel)
    )


def test_weights_of_unknown_packing_are_in_a_wide_band() -> None:
    weights = constant("weights", np.ones((8, 3, 3, 16), np.int8))
    source = activation("input", (1, 4, 4, 16), np.int8)
    op = Op(
        "TRANSPOSE_CONV",
        [constant("shape", [1, 8, 8, 8], np.int32), weights, source],
        [activation("out", (1, 8, 8, 8))],
    )
    size = weight_bytes(op, {})
    assert (size.low, size.high) == (weights.elements, 4 * weights.elements)
    assert "unknown" in size.evidence


def test_operands_and_custom_options_are_no_weights() -> None:
    source, output = activation("input", (1, 8, 8, 16), np.int8), activation("out", (1, 8, 8, 16), np.int8)
    few, many = constant("few", np.ones(16, np.int8)), constant("anchors", np.ones((1917, 4), np.float32))
    assert weight_bytes(Op("ADD", [source, few], [output]), {}).high == 0
    assert (
        weight_bytes(Op("CUSTOM", [source, many], [output], custom_code="TFLite_Detection_PostProcess"), {}).high
        == 0
    )


def test_a_file_whose_shapes_contradict_each_other_is_no_obstacle() -> None:
    op = conv((64, 3, 3, 4))
    op.output.shape = ()
    assert weight_bytes(op, {}).low == 64 * 9 * 4


def test_float_weights_are_sized_as_they_will_be_quantized() -> None:
    source, output = activation("input", (1, 8, 8, 32)), activation("out", (1, 8, 8, 64))
    weights = constant("weights", np.ones((64, 1, 1, 32), np.float32))
    op = Op("CONV_2D", [source, weights], [output], dict(CONVOLUTION))
    assert weight_bytes(op, {}, as_if_quantized=True).low == 64 * (32 + 8)


def test_a_matrix_has_a_bias_for_each_row() -> None:
    assert matrix_bytes(9, 36) == 16 * (36 + 4)
