"""Advice about layers: one minimal layer on each side of each limit, and what the change would really save."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compat.memory_advice import as_size, layer_advice
from coralsmith.edgetpu.layer_bytes import weight_bytes
from coralsmith.edgetpu.memory import parameter_memory
from coralsmith.findings import Finding
from coralsmith.graph.model import Graph, Op
from tests.builders import activation
from tests.edgetpu.layers import conv, dense, depthwise, graph_of


def advice(*ops: Op, graph: Graph | None = None) -> list[Finding]:
    graph = graph or graph_of(*ops)
    return [a.finding for a in layer_advice(graph, parameter_memory(graph, range(len(graph.ops))))]


def rules(*ops: Op) -> list[str]:
    return [finding.rule for finding in advice(*ops)]


def test_65_classes_cost_as_much_as_128() -> None:
    (finding,) = advice(dense(65, 18_000))
    assert finding.rule == "outputs-above-group"
    assert finding.measured == "65 outputs cost as much as 128"
    assert finding.fix == "64 outputs would save 1.10 MiB."
    saved = weight_bytes(dense(65, 18_000), {}).low - weight_bytes(dense(64, 18_000), {}).low
    assert as_size(saved) == "1.10 MiB"
    assert finding.severity == "info"


@pytest.mark.parametrize(
    ("outputs", "kept"),
    [
        (64, None),
        (65, 64),
        (70, 64),
        (84, None),
        (128, None),
        (130, 128),
        (17, 16),
        (20, None),
        (33, 32),
        (1001, None),
    ],
)
def test_outputs_are_worth_giving_up_where_few_save_much(outputs: int, kept: int | None) -> None:
    found = advice(dense(outputs, 8_000))
    assert [finding.fix.split()[0] for finding in found] == ([str(kept)] if kept else [])


def head(classes: int, anchors: int, inputs: int) -> Graph:
    """A class predictor of a detector and the RESHAPE behind it."""
    op = conv((anchors * classes, 3, 3, inputs), size=4)
    scores = activation("scores", (1, 16 * anchors, classes), np.int8)
    return Graph([op, Op("RESHAPE", [op.output], [scores])], [op.inputs[0]], [scores])


def test_for_a_detector_the_classes_of_each_anchor_are_told() -> None:
    (finding,) = advice(graph=head(classes=33, anchors=4, inputs=512))
    assert finding.measured == "132 outputs (33 classes of 4 anchors) cost as much as 192"
    assert finding.fix.startswith("32 classes would save")
    needed = [weight_bytes(g.ops[0], g.consumers()).low for g in (head(33, 4, 512), head(32, 4, 512))]
    assert as_size(needed[0] - needed[1]) in finding.fix


def test_a_detector_whose_classes_fill_their_groups_is_left_alone() -> None:
    assert advice(graph=head(classes=32, anchors=4, inputs=512)) == []


def test_a_single_output_costs_as_much_as_16() -> None:
    (finding,) = advice(dense(1, 5_000))
    assert finding.rule == "few-outputs"
    assert finding.measured == "1 output costs 78 KiB, as 16 would"
    assert finding.limit == "16 outputs"


def test_16_outputs_waste_nothing() -> None:
    assert advice(dense(16, 5_000)) == []


def test_layers_of_few_outputs_that_read_the_same_could_be_one() -> None:
    first = dense(1, 4_096, name="first")
    second = dense(1, 4_096, source=first.inputs[0], name="second")
    (finding,) = advice(first, second)
    assert finding.op == "first"
    assert finding.measured == "2 layers that read the same cost 64 KiB each, as one of 16 would"
    assert finding.fix == "One layer in place of these 2 would save 64 KiB."


def test_layers_that_read_the_same_in_different_steps_cannot_be_one() -> None:
    first = conv((4, 3, 3, 512), name="first")
    second = conv((4, 3, 3, 512), source=first.inputs[0], name="second", stride_h=2, stride_w=2)
    assert [finding.measured for finding in advice(first, second)] == ["4 outputs cost 72 KiB, as 16 would"] * 2


def test_layers_of_different_inputs_cannot_be_one() -> None:
    found = advice(dense(1, 4_096, name="first"), dense(1, 4_096, name="second"))
    assert ["reads the same" in (finding.measured or "") for finding in found] == [False, False]


def test_input_channels_that_are_no_multiple_of_4_are_padded() -> None:
    (finding,) = advice(conv((2048, 3, 3, 17)))
    assert finding.rule == "input-channels"
    assert finding.measured == "17 input channels cost as much as 20"
    saved = weight_bytes(conv((2048, 3, 3, 17)), {}).low - weight_bytes(conv((2048, 3, 3, 16)), {}).low
    assert finding.fix == f"16 would save {as_size(saved)}."


@pytest.mark.parametrize("channels", [16, 20])
def test_whole_fours_of_input_channels_are_left_alone(channels: int) -> None:
    assert advice(conv((2048, 3, 3, channels))) == []


def test_an_image_of_three_channels_cannot_be_changed() -> None:
    assert advice(conv((2048, 7, 7, 3))) == []


def test_a_depth_multiplier_of_several_channels_may_cost_many_times() -> None:
    assert rules(depthwise(512, kernel=5, multiplier=2)) == ["depth-multiplier"]


@pytest.mark.parametrize("op", [depthwise(512, kernel=5), depthwise(8, kernel=7, multiplier=8)])
def test_depthwise_layers_of_known_packing_are_left_alone(op: Op) -> None:
    assert advice(op) == []


def test_what_saves_less_than_a_fiftieth_is_not_worth_it() -> None:
    odd = dense(65, 4_000)
    assert rules(odd, dense(1024, 14_000)) == []
    assert rules(odd, dense(1024, 8_000)) == ["outputs-above-group"]


def test_what_saves_less_than_40_kilobytes_is_not_worth_it() -> None:
    assert rules(dense(65, 620)) == []
    assert rules(dense(65, 640)) == ["outputs-above-group"]


def test_the_five_that_save_most_come_first() -> None:
    layers = [dense(65, 4_000 + 400 * number, name=f"layer {number}") for number in range(7)]
    assert [finding.op for finding in advice(*layers)] == [f"layer {number}" for number in (6, 5, 4, 3, 2)]
