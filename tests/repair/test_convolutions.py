"""Dilated, grouped and fully connected layers in the forms that the compiler of 2021 reads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coralsmith.graph import Attribute, Graph
from coralsmith.graph.versions import legal_version
from coralsmith.repair.dilation import RestoreDilation
from coralsmith.repair.fully_connected import FlattenFullyConnected
from coralsmith.repair.grouped_convolution import SplitGroups
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant
from tests.repair.helpers import applied, kinds, raw_op, refused, window_op

VALID: dict[str, Attribute] = {"padding": "VALID"}


def emulated_dilation(
    size: int, rate: int, paddings: tuple[int, int], crop: int, kind: str = "CONV_2D", **attributes: Attribute
) -> Graph:
    """SPACE_TO_BATCH_ND, a 3x3 convolution, BATCH_TO_SPACE_ND over [1, size, size, 4]."""
    source = activation("input", (1, size, size, 4))
    block = constant("block", [rate, rate], np.int32)
    side = (size + sum(paddings)) // rate
    pads = constant("paddings", [paddings, paddings], np.int32)
    phases = raw_op("SPACE_TO_BATCH_ND", [source, block, pads], "phases", (rate * rate, side, side, 4))
    conv = window_op(kind, phases.output, "conv", **{**VALID, "fused_activation_function": "RELU", **attributes})
    crops = constant("crops", [(0, crop), (0, crop)], np.int32)
    result = conv.output.shape[1] * rate - crop
    back = raw_op("BATCH_TO_SPACE_ND", [conv.output, block, crops], "result", (1, result, result, 4))
    return graph([phases, conv, back], [source])


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_an_emulated_dilation_is_one_dilated_convolution(kind: str) -> None:
    result = applied(RestoreDilation(), emulated_dilation(12, 2, (0, 0), 0, kind))
    assert kinds(result) == [kind]
    assert result.ops[0].attributes["dilation_h_factor"] == 2


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(6, 12),
    rate=st.integers(2, 3),
    before=st.integers(0, 3),
    behind=st.integers(0, 4),
    crop=st.integers(0, 2),
)
def test_paddings_and_crops_end_in_a_pad(size: int, rate: int, before: int, behind: int, crop: int) -> None:
    assume((size + before + behind) % rate == 0 and (size + before + behind) // rate >= 3 and crop <= behind)
    result = applied(RestoreDilation(), emulated_dilation(size, rate, (before, behind), crop))
    assert kinds(result) == (["PAD", "CONV_2D"] if before or behind > crop else ["CONV_2D"])


def test_cropping_more_than_was_padded_is_refused() -> None:
    assert refused(RestoreDilation(), emulated_dilation(12, 2, (0, 0), 1)) == ["it crops more than it pads"]


def test_a_convolution_with_stride_in_between_is_refused() -> None:
    (reason,) = refused(RestoreDilation(), emulated_dilation(20, 2, (0, 0), 0, stride_h=2, stride_w=2))
    assert "stride" in reason


def test_a_convolution_that_pads_each_phase_is_refused() -> None:
    (reason,) = refused(RestoreDilation(), emulated_dilation(12, 2, (0, 0), 0, padding="SAME"))
    assert "pads" in reason


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("fused", ["NONE", "RELU6"])
def test_a_grouped_convolution_becomes_one_per_group(groups: int, fused: str) -> None:
    source = activation("input", (1, 5, 5, 6))
    weights = random_constant("weights", (6, 3, 3, 6 // groups))
    attributes = {**CONVOLUTION, "fused_activation_function": fused}
    conv = op("CONV_2D", [source, weights, random_constant("bias", (6,))], "result", **attributes)
    result = applied(SplitGroups(), graph([conv], [source]))
    assert kinds(result) == ["SPLIT", *["CONV_2D"] * groups, "CONCATENATION"]
    assert all(legal_version(step) <= 3 for step in result.ops)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_groups_of_one_channel_are_a_depthwise_convolution(multiplier: int) -> None:
    source = activation("input", (1, 5, 5, 4))
    weights = random_constant("weights", (4 * multiplier, 3, 3, 1))
    conv = op("CONV_2D", [source, weights, random_constant("bias", (4 * multiplier,))], "result", **CONVOLUTION)
    assert kinds(applied(SplitGroups(), graph([conv], [source]))) == ["DEPTHWISE_CONV_2D"]


def test_a_plain_convolution_stays() -> None:
    source = activation("input", (1, 5, 5, 4))
    conv = op("CONV_2D", [source, random_constant("weights", (4, 3, 3, 4))], "result", **CONVOLUTION)
    assert refused(SplitGroups(), graph([conv], [source])) == []


def dense(shape: tuple[int, ...], *, keep: bool, bias: bool = True) -> Graph:
    source = activation("input", shape)
    inputs = [source, random_constant("weights", (5, 4)), random_constant("bias", (5,)) if bias else None]
    attributes = {"weights_format": "DEFAULT", "fused_activation_function": "RELU", "keep_num_dims": keep}
    return graph([op("FULLY_CONNECTED", inputs, "result", **attributes)], [source])


@pytest.mark.parametrize("bias", [True, False])
def test_a_dense_layer_over_several_vectors_is_a_pointwise_convolution(bias: bool) -> None:
    result = applied(FlattenFullyConnected(), dense((1, 6, 4), keep=True, bias=bias))
    assert kinds(result) == ["RESHAPE", "CONV_2D", "RESHAPE"]


def test_a_dense_layer_over_one_vector_keeps_no_dimensions() -> None:
    result = applied(FlattenFullyConnected(), dense((1, 1, 4), keep=True))
    assert kinds(result) == ["RESHAPE", "FULLY_CONNECTED", "RESHAPE"]
    assert all(legal_version(step) == 1 for step in result.ops)


def test_a_plain_dense_layer_stays() -> None:
    assert refused(FlattenFullyConnected(), dense((1, 4), keep=False)) == []
