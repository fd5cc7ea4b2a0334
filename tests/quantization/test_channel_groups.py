"""Which channels may change their unit: those that layers read, through operators that commute with a factor."""

from __future__ import annotations

import math

import numpy as np

from coralsmith.quantization.channel_groups import channel_groups
from tests.builders import activation, constant, graph, op
from tests.quantization.networks import convolution, inverted_residual


def names(model) -> list[set[str]]:
    return [{tensor.name for tensor in group.tensors} for group in channel_groups(model)]


def test_a_residual_sum_shares_the_unit_of_its_terms() -> None:
    assert {"stem", "narrow", "total"} in names(inverted_residual())


def test_writers_and_readers_of_a_residual_group_are_its_layers() -> None:
    group = next(g for g in channel_groups(inverted_residual()) if len(g.tensors) == 3)
    assert {layer.name for layer in group.writers} == {"stem", "narrow"}
    assert {layer.name for layer in group.readers} == {"wide", "head"}
    assert group.channels == 6


def test_input_and_outputs_keep_their_unit() -> None:
    assert not {"input", "head"} & set().union(*names(inverted_residual()))


def test_a_clamp_is_a_ceiling() -> None:
    ceilings = {g.tensors[0].name: g.ceiling for g in channel_groups(inverted_residual("RELU6"))}
    assert ceilings == {"stem": math.inf, "wide": 6.0, "spatial": 6.0}


def test_a_sum_with_a_constant_fixes_the_unit() -> None:
    source = activation("input", (1, 8, 8, 3))
    first = convolution(source, 4, "first")
    shifted = op("ADD", [first.output, constant("three", 3.0, np.float32)], "shifted")
    last = convolution(shifted.output, 4, "last")
    assert names(graph([first, shifted, last], [source])) == []


def test_weights_that_two_layers_read_fix_the_units_on_both_sides() -> None:
    source = activation("input", (1, 8, 8, 3))
    first = convolution(source, 4, "first")
    second = convolution(first.output, 4, "second")
    third = convolution(second.output, 4, "third")
    third.inputs[1] = second.inputs[1]
    last = convolution(third.output, 2, "last")
    assert names(graph([first, second, third, last], [source])) == []


def test_a_value_that_becomes_a_sigmoid_keeps_its_unit() -> None:
    source = activation("input", (1, 8, 8, 3))
    first = convolution(source, 4, "first")
    gate = op("LOGISTIC", [first.output], "gate")
    last = convolution(first.output, 4, "last")
    assert names(graph([first, gate, last], [source], [gate.output, last.output])) == []


def test_padding_of_the_channels_is_not_crossed() -> None:
    source = activation("input", (1, 8, 8, 3))
    first = convolution(source, 4, "first")
    wider = op("PAD", [first.output, constant("by", [[0, 0], [0, 0], [0, 0], [0, 2]], np.int32)], "wider")
    last = convolution(wider.output, 4, "last")
    assert names(graph([first, wider, last], [source])) == []
