"""Published pairs are matches; pairs that were swapped and sources that were changed are not, and are told why."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from coralsmith.compiled.verification import verify_models
from coralsmith.compiled.verification.source_layers import is_layer
from coralsmith.errors import InputError
from coralsmith.graph.model import Quant
from tests.compiled.pairs import (
    BIRD,
    COLOURS,
    INSECT,
    MOBILENET_V1,
    MOBILENET_V2,
    SSD,
    changed,
    compiled,
    move_zero_point,
    multiplier,
    other_bias,
    other_output_scale,
    other_output_zero_point,
    other_weight,
    other_weight_scale,
    other_weight_zero_point,
    source,
    verified,
)

MATCHES = {
    MOBILENET_V2: (53, 10),
    BIRD: (53, 10),
    INSECT: (53, 10),
    MOBILENET_V1: (28, 0),
    **dict.fromkeys(COLOURS, (3, 1)),
    "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant": (55, 10),
    "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant": (59, 15),
    "jorgi__N100-nMACs379699200_quant": (2, 0),
    "jorgi__N32-nMACs41287680_quant": (2, 0),
    "jorgi__firstTest_quant": (6, 0),
    "jorgi__model_size_channel32_quant": (5, 0),
    "jorgi__model_size_channel82_quant": (5, 0),
    "libredge__bright_64x64": (2, 1),
    "libredge__dense_1024": (1, 0),
    "libredge__dense_256": (1, 0),
    "libredge__looming_64x64_3x3": (2, 4),
    SSD: (72, 13),
}
POSENET = "gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder"
GABOR = "libredge__gabor_64x64_p4"
PER_CHANNEL = "jorgi__firstTest_quant"


def layer_of(report, index):
    (layer,) = [layer for layer in report.layers if layer.index == index]
    return layer


def layers(graph):
    return [index for index, op in enumerate(graph.ops) if is_layer(op)]


@pytest.mark.parametrize("name", MATCHES)
def test_every_layer_of_a_published_pair_is_exact_and_every_byte_explained(shared, name):
    report = verified(shared, name)
    assert (report.verdict, report.layers_total, len(report.other_ops)) == ("match", *MATCHES[name])
    assert report.layers_exact == report.layers_total
    assert {other.status for other in report.other_ops} <= {"exact"}
    for account in report.parameters:
        assert account.layer_bytes + sum(rest.bytes for rest in account.remainders) == account.bytes
        assert "unexplained" not in {rest.what for rest in account.remainders}


def test_no_two_layers_of_a_match_share_a_byte_or_a_block(shared):
    report = verified(shared, SSD)
    bundles = [(layer.file, layer.bundle) for layer in report.layers]
    assert len(set(bundles)) == 72
    places = sorted((layer.file, layer.offset, layer.offset + layer.bytes) for layer in report.layers)
    ends = {}
    for file, start, end in places:
        assert start == ends.get(file, 0)
        ends[file] = end
    assert list(ends.values()) == [2_914_752, 3_608_512]


def test_a_depth_multiplier_is_unverified_never_a_mismatch(shared):
    report = verified(shared, GABOR)
    assert (report.verdict, report.layers[0].status) == ("unverified", "unverified")
    assert "depth multiplier of 8" in report.layers[0].reason


def test_another_export_of_a_concatenation_is_unverified_and_says_so(shared):
    report = verified(shared, POSENET)
    assert (report.verdict, report.layers_exact, report.layers_unverified) == ("unverified", 29, 2)
    assert all("another export" in layer.reason for layer in report.layers if layer.status != "exact")
    (finding,) = [finding for finding in report.findings if finding.rule == "boundary-renamed"]
    assert finding.tensor == "quant_mid_offsets" and finding.limit.startswith(
        "quantization scale 1.38757646, zero point 117"
    )


@pytest.mark.parametrize("pair", [*permutations((MOBILENET_V2, BIRD, INSECT), 2), *permutations(COLOURS, 2)])
def test_pairs_of_one_architecture_cannot_be_swapped(shared, pair):
    report = verified(shared, *pair)
    assert report.verdict == "mismatch" and report.layers_mismatched > 0 and report.layers_exact == 0
    named = {finding.op for finding in report.findings if finding.rule == "layer-mismatch"}
    assert named == {layer.name for layer in report.layers if layer.status == "mismatch"}


def test_another_architecture_is_told_apart(shared):
    report = verified(shared, MOBILENET_V1, BIRD)
    assert report.verdict == "mismatch" and report.layers_mismatched == 28
    assert report.text.startswith("Another model")


ONE_STEP = {
    other_weight: "weights",
    other_bias: "bias",
    other_weight_scale: "multiplier",
    other_weight_zero_point: "weight zero point",
    other_output_zero_point: "output zero point",
}


@pytest.mark.parametrize("change", ONE_STEP)
@pytest.mark.parametrize("index", [0, 1, 14, 26, 28])
def test_one_step_in_one_layer_is_a_mismatch_that_names_it(shared, change, index):
    graph = changed(source(shared, MOBILENET_V1), index, change)
    report = verify_models(graph, compiled(shared, MOBILENET_V1), name="changed")
    layer = layer_of(report, index)
    assert (report.verdict, layer.status) == ("mismatch", "mismatch")
    assert ONE_STEP[change] in [difference.what for difference in layer.differences]
    if change is not other_output_zero_point:  # which is the input of others
        assert report.layers_mismatched == 1


@pytest.mark.parametrize("change", [change for change in ONE_STEP if change is not other_weight_scale])
def test_one_step_in_one_layer_of_a_per_channel_model_is_a_mismatch_that_names_it(shared, change):
    for index in (0, 1, 3, 4):
        graph = changed(source(shared, PER_CHANNEL), index, change)
        report = verify_models(graph, compiled(shared, PER_CHANNEL), name="changed")
        assert (report.verdict, layer_of(report, index).status) == ("mismatch", "mismatch")


def test_a_scale_of_one_channel_is_among_the_multipliers(shared):
    def one_scale(op, graph):
        quant = op.inputs[1].quant
        scale = quant.scale.copy()
        scale[7] *= np.float32(1.001)
        op.inputs[1].quant = Quant(scale, quant.zero_point, quant.axis)

    graph = changed(source(shared, PER_CHANNEL), 1, one_scale)
    (difference,) = layer_of(verify_models(graph, compiled(shared, PER_CHANNEL), name=""), 1).differences
    assert (difference.what, difference.channel, difference.count) == ("multipliers", 7, 1)


def test_a_scale_that_changes_no_constant_is_no_difference(shared):
    """The integers of the network are the same, so nothing can tell: the product of the scales rounds alike."""
    graph = source(shared, MOBILENET_V1)
    base = verified(shared, MOBILENET_V1)
    op = graph.ops[10]
    quant = op.inputs[1].quant
    near = Quant(np.nextafter(quant.scale, np.float32(1)), quant.zero_point)

    def change(op, graph):
        op.inputs[1].quant = near

    report = verify_models(changed(graph, 10, change), compiled(shared, MOBILENET_V1), name="")
    assert report.verdict == base.verdict == "match"


def test_a_weight_that_only_ever_sees_padding_is_no_difference(shared):
    """The compiler drops such taps: 3x3 with stride 2 from a map of 2x2 keeps four of nine."""
    graph = source(shared, SSD)
    (index,) = [
        i for i, op in enumerate(graph.ops)
        if op.kind == "CONV_2D" and op.inputs[1].shape[1] == 3 and op.output.shape[1:3] == (1, 1)
    ]  # fmt: skip

    def corner(op, graph):
        values = op.inputs[1].data.copy()
        values[5, 2, 2, 3] ^= 1
        op.inputs[1].data = values

    report = verify_models(changed(graph, index, corner), compiled(shared, SSD), name="")
    assert report.verdict == "match"


@pytest.mark.parametrize("kind", ["ADD", "CONCATENATION", "LOGISTIC"])
def test_constants_of_operators_without_weights_are_compared(shared, kind):
    graph = source(shared, SSD)
    index = next(i for i, op in enumerate(graph.ops) if op.kind == kind)

    def change(op, graph):
        move_zero_point(op.inputs[0] if kind == "LOGISTIC" else op.output)

    report = verify_models(changed(graph, index, change), compiled(shared, SSD), name="")
    assert report.verdict == "mismatch"
    if kind == "ADD":
        assert {other.status for other in report.other_ops if other.index == index} == {"mismatch"}


def test_a_layer_left_on_the_cpu_is_compared_there(shared):
    name = "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant"
    graph = source(shared, name)
    stayed = [layer for layer in verified(shared, name).layers if layer.program == "cpu"]
    assert [layer.index for layer in stayed] == [66, 67] and {layer.status for layer in stayed} == {"exact"}
    report = verify_models(changed(graph, 67, other_bias), compiled(shared, name), name="")
    assert report.verdict == "mismatch" and layer_of(report, 67).status == "mismatch"


def test_the_quantization_of_what_goes_in_and_out_is_compared(shared):
    name = "libredge__dense_256"
    graph = source(shared, name).copy()
    for tensor in (graph.inputs[0], graph.outputs[0]):
        move_zero_point(tensor)
    report = verify_models(graph, compiled(shared, name), name="")
    found = [finding.tensor for finding in report.findings if finding.rule == "boundary-mismatch"]
    assert report.verdict == "mismatch" and found == [graph.inputs[0].name, graph.outputs[0].name]


def test_other_shapes_at_the_ends_are_a_mismatch_whatever_their_names(shared):
    report = verified(shared, GABOR, "libredge__dense_256")
    assert report.verdict == "mismatch" and report.layers_mismatched == 0
    assert "what lies around" in report.text
    found = [finding for finding in report.findings if finding.rule == "boundary-mismatch"]
    assert [finding.measured for finding in found] == ["inputs [1, 256]", "outputs [1, 256]"]
    assert found[0].limit == "inputs [1, 64, 64, 1] in the source"


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_segment_is_named(shared, number):
    segments = compiled(shared, SSD)
    with pytest.raises(InputError, match="segment is missing") as error:
        verify_models(source(shared, SSD), [segments[number]], name="")
    assert segments[1 - number][0] in error.value.hint


def test_the_order_of_the_segments_does_not_matter(shared):
    assert verify_models(source(shared, SSD), compiled(shared, SSD)[::-1], name="").verdict == "match"


@pytest.mark.slow
@pytest.mark.parametrize("change", [other_weight, other_bias, other_output_scale])
def test_one_step_in_any_layer_of_a_mobilenet_v2_is_a_mismatch_that_names_it(shared, change):
    graph = source(shared, BIRD)
    for index in layers(graph):
        report = verify_models(changed(graph, index, change), compiled(shared, BIRD), name="")
        assert (report.verdict, layer_of(report, index).status) == ("mismatch", "mismatch"), graph.ops[index]


@pytest.mark.slow
def test_one_weight_of_any_layer_of_the_segments_is_a_mismatch_that_names_it(shared):
    graph = source(shared, SSD)
    for index in layers(graph):
        report = verify_models(changed(graph, index, other_weight), compiled(shared, SSD), name="")
        mismatched = [layer.index for layer in report.layers if layer.status == "mismatch"]
        assert (report.verdict, mismatched) == ("mismatch", [index]), graph.ops[index]


def test_a_layer_that_is_written_with_the_scale_of_the_concatenation_is_unverified_not_a_mismatch(shared):
    """Head 0 of the SSD writes the concatenation's scale; a source whose head has its own may be the right one."""
    graph = source(shared, SSD)
    concatenation = next(op for op in graph.ops if op.kind == "CONCATENATION")
    head = graph.producers()[graph.producers()[concatenation.inputs[0]].inputs[0]]
    assert head.kind == "CONV_2D" and head.output.quant.same_as(concatenation.output.quant)

    def own_scale(op, graph):
        other_output_scale(op, graph)
        (reshape,) = graph.consumers()[op.output]
        reshape.output.quant = op.output.quant

    index = graph.ops.index(head)
    report = verify_models(changed(graph, index, own_scale), compiled(shared, SSD), name="")
    assert layer_of(report, index).status == "unverified"
    assert "scale of the operator behind it" in layer_of(report, index).reason
    alone = verify_models(changed(graph, index, other_output_scale), compiled(shared, SSD), name="")
    assert layer_of(alone, index).status == "mismatch"


@pytest.mark.slow
def test_the_next_float_of_any_weight_scale_is_a_mismatch_where_it_changes_the_multiplier_and_only_there(shared):
    graph = source(shared, BIRD)

    def next_scale(op, graph):
        quant = op.inputs[1].quant
        op.inputs[1].quant = Quant(np.nextafter(quant.scale, np.float32(1)), quant.zero_point)

    statuses = {}
    for index in layers(graph):
        other = changed(graph, index, next_scale)
        is_other = multiplier(other.ops[index]) != multiplier(graph.ops[index])
        report = verify_models(other, compiled(shared, BIRD), name="")
        statuses[index] = (is_other, layer_of(report, index).status)
    assert set(statuses.values()) == {(True, "mismatch"), (False, "exact")}
