"""Every block of constants belongs to an operator, and addresses choose where zero points do not."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from coralsmith.compiled.program import Program, RequantBlock
from coralsmith.compiled.recovery.access import access_of
from coralsmith.compiled.recovery.addresses import is_contradicted
from coralsmith.compiled.recovery.assignment import assignments
from coralsmith.compiled.recovery.blocks import Kind, labelled_blocks
from coralsmith.compiled.recovery.skeleton import skeletons_of
from coralsmith.compiled.recovery.tiling import tilings
from coralsmith.compiled.requantization import ratio, scale, zero_point
from coralsmith.graph.reader import read_tflite
from tests.compiled.recovery.recovered import COLOUR, V1, V2, V2_BIRD, segments_of, source_of

EDGETPU = "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant"
DEEPLAB = "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant"


def readings(shared, pair: str):
    """The source, the skeleton made of it, the segments, and every tiling with its assignments."""
    source, segments = read_tflite(source_of(shared, pair)), segments_of(shared, pair)
    skeleton = next(skeletons_of(source, pair, segments[0].inputs, segments[-1].outputs))
    given = {
        inner: zero_point(outer) for inner, outer in zip(skeleton.graph.inputs, segments[0].inputs, strict=True)
    }
    found = [
        (tiling, assignment)
        for tiling in islice(tilings(skeleton.graph, segments), 4)
        for assignment in islice(assignments(skeleton.graph, tiling, segments, given), 8)
    ]
    return source, skeleton.graph, segments, found


def true_terms(source, op) -> tuple[int, int]:
    """The factors of an ADD by the scales of the source."""
    (original,) = (one for one in source.ops if one.kind == "ADD" and one.output.name == op.output.name)
    return ratio(scale(original.inputs[0]), scale(original.inputs[1]))


@pytest.mark.parametrize("pair", [V1, V2])
def test_the_constants_of_a_published_model_belong_to_its_operators_in_one_way(shared, pair):
    source, graph, _, found = readings(shared, pair)
    ((_, assignment),) = found
    with_constants = [op for op in graph.ops if op.kind not in ("AVERAGE_POOL_2D", "RESHAPE", "SOFTMAX")]
    assert set(assignment.blocks) == set(with_constants)
    for op, terms in assignment.ratios.items():
        assert terms == true_terms(source, op)


def test_where_zero_points_are_equal_the_addresses_tell_the_operands_of_a_sum(shared):
    source, graph, segments, found = readings(shared, V2_BIRD)
    assert len({assignment.integers() for _, assignment in found}) == 2
    left = [assignment for _, assignment in found if not is_contradicted(graph, assignment, segments)]
    assert len({assignment.integers() for assignment in left}) == 1
    assert all(terms == true_terms(source, op) for op, terms in left[0].ratios.items())


@pytest.mark.parametrize("pair", [V2, V2_BIRD, EDGETPU, DEEPLAB])
def test_addresses_contradict_every_exchange_of_operands_that_they_show_and_no_truth(shared, pair):
    source, graph, segments, found = readings(shared, pair)
    assignment = found[0][1]
    truth = replace(assignment, ratios={op: true_terms(source, op) for op in assignment.ratios})
    assert not is_contradicted(graph, truth, segments)
    exchanged = [
        is_contradicted(graph, replace(truth, ratios={**truth.ratios, op: terms[::-1]}), segments)
        for op, terms in truth.ratios.items()
    ]
    assert sum(exchanged) >= len(exchanged) - (5 if pair == EDGETPU else 1)


def test_addresses_tell_the_inputs_of_a_concatenation(shared):
    source, graph, segments, found = readings(shared, COLOUR)
    assert len(found) == 2
    ((tiling, _),) = (reading for reading in found if not is_contradicted(graph, reading[1], segments))
    dense = [layer.op.name for layer in tiling if layer.op.kind == "FULLY_CONNECTED"]
    assert dense == [op.name for op in source.ops if op.kind == "FULLY_CONNECTED"]


def test_a_block_that_belongs_to_nothing_refutes_a_topology(shared):
    segments = segments_of(shared, V1)
    graph = next(
        skeletons_of(read_tflite(source_of(shared, V1)), "x", segments[0].inputs, segments[0].outputs)
    ).graph
    (tiling,) = tilings(graph, segments)
    given = {graph.inputs[0]: 128}
    assert list(assignments(graph, tiling, segments, given))
    assert not list(assignments(graph, tiling[:-1], segments, given))
    assert not list(assignments(graph, tiling, segments, {graph.inputs[0]: 127}))


def test_blocks_are_sorted_by_what_they_can_be(shared):
    kinds = [block.kind for block in labelled_blocks(segments_of(shared, V2)[0].program)]
    assert kinds.count(Kind.ADD) == 10 and kinds.count(Kind.LAYER) == 53 and Kind.MOVEMENT not in kinds
    assert Kind.MOVEMENT in {block.kind for block in labelled_blocks(segments_of(shared, COLOUR)[0].program)}


def test_what_stands_beside_a_block_is_read_from_the_words_before_it():
    words = np.zeros((20, 2), np.uint64)
    words[2, 1], words[5, 1] = 0x0A00007000081B00, 0x0080007800040D80
    access = access_of(Program(words), RequantBlock(16, 1.0, 0.0, 255.0, 0, 0, 0, 0))
    assert (access.read, access.written, access.run, access.outer) == (0x1B00, 0x1B00, 8, 0x0A)
    assert not access.is_empty
    assert access_of(Program(words), RequantBlock(3, 1.0, 0.0, 255.0, 0, 0, 0, 0)).is_empty
