"""Every byte and every block has one owner; a layer is exact only at a place of its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from coralsmith.compiled.verification import verify_models
from coralsmith.compiled.verification.gap_filling import place_layers
from coralsmith.compiled.verification.placement import gaps
from coralsmith.graph.model import Graph, Op, Quant
from tests.builders import CONVOLUTION, activation, constant
from tests.compiled.pairs import changed, move_zero_point, other_bias, other_weight
from tests.compiled.verification.int8_chain import blob_of, blocks_of, chain, compiled_chain, layers_of


def verify(graph, model):
    return verify_models(graph, [("chain_edgetpu.tflite", model)], name="chain.tflite")


def statuses(report):
    return [layer.status for layer in report.layers]


def nothing_added(place):
    return ""


def convolution_graph():
    """A 3x3 convolution of 16 channels, whose four blocks of channels can be stored in several orders."""
    random = np.random.default_rng(0)
    quant = Quant.per_tensor(0.02, 3)
    flow = activation("input", (1, 6, 6, 16), np.int8, quant)
    weights = constant("weights", random.integers(-127, 128, (16, 3, 3, 16), np.int8), quant=quant)
    output = activation("output", (1, 6, 6, 16), np.int8, Quant.per_tensor(0.5, 1))
    bias = constant("bias", random.integers(-500, 500, 16, np.int32))
    return Graph([Op("CONV_2D", [flow, weights, bias], [output], dict(CONVOLUTION))], [flow], [output])


def test_a_chain_as_the_compiler_would_write_it_is_a_match():
    graph = chain(16, 32, 64, 24, 10)
    report = verify(graph, compiled_chain(graph))
    assert report.verdict == "match" and not report.findings
    (account,) = [account for account in report.parameters if account.bytes]
    assert account.layer_bytes == account.bytes and account.remainders == []


@pytest.mark.parametrize("streamed", [(1,), (0, 2), (3,)])
def test_layers_that_are_streamed_are_found_beside_those_that_are_cached(streamed):
    graph = chain(16, 32, 64, 24, 10)
    parts = [layer.packed(layer.forms[0]) for layer in layers_of(graph)]
    cached = b"".join(part for number, part in enumerate(parts) if number not in streamed)
    model = compiled_chain(graph, cached, streamed=b"".join(parts[number] for number in streamed))
    report = verify(graph, model)
    assert report.verdict == "match"
    found = {layer.index for layer in report.layers if layer.program == "EXECUTION_ONLY"}
    assert found == set(streamed)
    broken = verify(changed(graph, streamed[0], other_weight), model)
    assert [layer.index for layer in broken.layers if layer.status == "mismatch"] == [streamed[0]]


def test_two_equal_layers_cannot_claim_one_place():
    twins = chain(16, 16, 16, 16, twins=(0, 2))
    parts = [layer.packed(layer.forms[0]) for layer in layers_of(twins)]
    assert parts[0] == parts[2]
    other = layers_of(chain(16, 16, 16, 16, seed=9))[2]
    report = verify(twins, compiled_chain(twins, b"".join([*parts[:2], other.packed(other.forms[0])])))
    assert statuses(report) == ["exact", "exact", "mismatch"]
    places = {(layer.offset, layer.bytes) for layer in report.layers}
    assert len(places) == 3


def test_equal_layers_at_two_places_are_both_exact_in_order():
    twins = chain(16, 16, 16, 16, twins=(0, 2))
    report = verify(twins, compiled_chain(twins))
    assert statuses(report) == ["exact"] * 3
    assert [layer.offset for layer in report.layers] == sorted(layer.offset for layer in report.layers)


def test_a_layer_found_inside_a_larger_one_is_not_exact():
    graph = chain(4, 16, 64)
    small, large = layers_of(graph)
    needle = small.packed(small.forms[0])
    content = bytearray(large.packed(large.forms[0]))
    weights = large.op.inputs[1].data.copy()
    content[1024 : 1024 + len(needle)] = needle  # the large layer's weights happen to hold the small one
    holder = graph.copy()
    # [16 inputs / 4][64 rows][4 inputs] behind 64 biases, int8 in the uint8 domain
    rows = np.frombuffer(bytes(content[256:]), np.uint8).reshape(4, 64, 4) ^ np.uint8(128)
    holder.ops[1].inputs[1].data = rows.transpose(1, 0, 2).reshape(weights.shape).view(np.int8)
    changed_small = changed(holder, 0, other_weight)
    blob = blob_of(changed_small)
    assert blob.count(needle) == 1
    report = verify(holder, compiled_chain(changed_small, blob))
    assert statuses(report) == ["mismatch", "exact"]


def test_a_small_layer_found_where_nothing_around_it_fits_is_given_up():
    graph = chain(4, 16, 64)
    small, large = layers_of(graph)
    needle = small.packed(small.forms[0])
    content = bytearray(large.packed(large.forms[0]))
    content[1024 : 1024 + len(needle)] = needle
    blob = bytes(np.random.default_rng(5).integers(0, 256, len(needle), np.uint8)) + bytes(content)
    report = verify(graph, compiled_chain(graph, blob))
    assert statuses(report) == ["mismatch", "mismatch"]
    assert [layer.offset for layer in report.layers] == [0, len(needle)]


def test_bytes_that_belong_to_no_layer_are_listed_and_no_match():
    graph = chain(16, 32, 64)
    blob = blob_of(graph) + bytes(range(128))
    report = verify(graph, compiled_chain(graph, blob))
    assert statuses(report) == ["exact", "exact"] and report.verdict == "unverified"
    (account,) = [account for account in report.parameters if account.bytes]
    (remainder,) = account.remainders
    assert (remainder.offset, remainder.bytes, remainder.what) == (len(blob) - 128, 128, "unexplained")
    assert account.layer_bytes + remainder.bytes == account.bytes


def test_one_block_of_constants_is_not_the_proof_of_two_layers():
    graph = chain(16, 32, 64)
    report = verify(graph, compiled_chain(graph, blocks=blocks_of(graph)[:1]))
    assert statuses(report) == ["exact", "unverified"]
    assert "no block of constants" in report.layers[1].reason


def test_blocks_in_another_order_than_the_parameters_are_no_proof():
    graph = chain(16, 32, 64)
    first, second = blocks_of(graph)
    swapped = [replace(first, bundle=second.bundle), replace(second, bundle=first.bundle)]
    report = verify(graph, compiled_chain(graph, blocks=swapped))
    assert report.verdict != "match" and statuses(report).count("exact") == 1


@pytest.mark.parametrize("field", ["multiplier", "clamp_max", "output_zero_point", "input_zero_point"])
def test_constants_that_contradict_make_a_mismatch_of_exact_weights(field):
    graph = chain(16, 32, 64)
    blocks = blocks_of(graph)
    value = getattr(blocks[1], field)
    other = float(np.nextafter(np.float32(value), np.float32(0))) if isinstance(value, float) else value + 1
    blocks[1] = replace(blocks[1], **{field: other})
    report = verify(graph, compiled_chain(graph, blocks=blocks))
    assert statuses(report) == ["exact", "mismatch"]
    (difference,) = report.layers[1].differences
    assert difference.what.replace("maximum", "max").replace(" ", "_") == field
    assert report.layers[1].bundle == blocks[1].bundle


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("change", [other_weight, other_bias])
def test_one_step_of_one_value_names_the_layer_the_sort_and_the_place(index, change):
    graph = chain(16, 32, 64, 70, 10)
    report = verify(changed(graph, index, change), compiled_chain(graph))
    assert statuses(report) == ["mismatch" if n == index else "exact" for n in range(4)]
    (difference,) = report.layers[index].differences
    sort = "weights" if change is other_weight else "bias"
    assert (difference.what, difference.count) == (sort, 1)
    role = "filter" if change is other_weight else "bias"
    values = [g.ops[index].input(role).data for g in (changed(graph, index, change), graph)]
    place = tuple(np.argwhere(values[0] != values[1])[0].tolist())
    assert place == (
        (difference.channel, difference.input_channel) if sort == "weights" else (difference.channel,)
    )


def test_a_bias_where_the_compiled_file_has_none_is_a_mismatch():
    graph = chain(16, 32, 64)
    bias = graph.ops[0].inputs[2]
    bias.data = np.zeros_like(bias.data)
    model = compiled_chain(graph)
    report = verify(changed(graph, 0, other_bias), model)
    assert statuses(report) == ["mismatch", "exact"]
    assert [difference.what for difference in report.layers[0].differences] == ["bias"]


def test_a_layer_of_another_width_is_a_mismatch_of_size():
    narrow = chain(16, 32, 64, 24, 10)
    parts = [layer.packed(layer.forms[0]) for layer in layers_of(narrow)]
    parts[1] = blob_of(chain(48, 64, seed=7))
    report = verify(narrow, compiled_chain(narrow, b"".join(parts)))
    assert statuses(report) == ["exact", "mismatch", "exact", "exact"]
    assert report.layers[1].differences[0].what == "size"


def test_the_same_weights_in_an_order_that_nobody_knows_are_unverified():
    graph = convolution_graph()
    (layer,) = layers_of(graph)
    content = np.frombuffer(layer.packed(layer.forms[0]), np.uint8)
    header, weights = content[:64], content[64:].reshape(9, 4, 16, 4)  # [tap][block][row][4 channels]
    known = [np.concatenate([header, weights.ravel()]), np.concatenate([header, weights.swapaxes(0, 1).ravel()])]
    unknown = np.concatenate([header, weights[::-1].ravel()])
    statuses_of_orders = [
        verify(graph, compiled_chain(graph, order.tobytes())).layers[0].status for order in (*known, unknown)
    ]
    assert statuses_of_orders == ["exact", "exact", "unverified"]


def test_another_model_altogether_says_so():
    graph, other = chain(16, 32, 64, 24), chain(16, 48, 130, 24, seed=3)
    report = verify(graph, compiled_chain(other))
    assert report.verdict == "mismatch" and statuses(report) == ["mismatch"] * 3
    assert report.text.startswith("Another model")


def test_the_same_weights_with_other_ranges_are_called_a_new_export():
    graph = chain(16, 32, 64)
    report = verify(changed(graph, 0, lambda op, _: move_zero_point(op.output)), compiled_chain(graph))
    assert report.verdict == "mismatch"
    assert "exported again with other ranges" in report.text


def test_other_weights_are_called_another_training():
    graph, other = chain(16, 32, 64), chain(16, 32, 64, seed=1)
    report = verify(graph, compiled_chain(other))
    assert report.text.startswith("The weights of 2 of 2 layers differ")


def test_the_places_and_the_gaps_cover_every_byte_once():
    graph = chain(16, 32, 64, 24, 10)
    layers = layers_of(graph)
    parts = [layer.packed(layer.forms[0]) for layer in layers]
    content = parts[0] + bytes(range(64)) + parts[1] + parts[3]
    placements = place_layers(layers, [content], nothing_added)
    owned = [p.place for p in placements] + [gap.place for gap in gaps(placements, [content])]
    edges = sorted((place.start, place.end) for place in owned)
    assert edges[0][0] == 0 and edges[-1][1] == len(content)
    assert all(before[1] == after[0] for before, after in pairwise(edges))


def test_parameters_of_zeros_do_not_hide_a_layer_or_take_long():
    graph = chain(16, 32, 64)
    layers = layers_of(graph)
    content = bytes(1 << 20) + layers[0].packed(layers[0].forms[0]) + bytes(1 << 20)
    (placement,) = [p for p in place_layers(layers, [content], nothing_added) if p.is_exact]
    assert placement.layer is layers[0] and placement.place.start == 1 << 20
