"""Layers are found among the parameters in the compiler's order, in all ways that the bytes allow, in no other."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from coralsmith.compiled.packed_layer import PackedLayer
from coralsmith.compiled.packing import LayerParameters, PackingError, pack
from coralsmith.compiled.program import Program
from coralsmith.compiled.recovery.segment import Segment, read_segments
from coralsmith.compiled.recovery.tiling import shown_zero_point, tilings
from coralsmith.compiled.recovery.topologies.known import known_topologies
from coralsmith.compiled.recovery.topologies.outline import Outline
from coralsmith.graph.model import Graph
from tests.compiled.recovery.recovered import V2, segments_of, ssd_segments


def segment(*layers: bytes) -> Segment:
    """A compiled file of which only the parameters are known."""
    return Segment("x", None, None, 12, Program(np.zeros((0, 2), np.uint64)), b"".join(layers))


def dense(outputs: int, inputs: int, seed: int, **form: bool) -> bytes:
    random = np.random.default_rng(seed)
    layer = PackedLayer((outputs, inputs), **form)
    return pack(
        layer,
        LayerParameters(
            random.integers(0, 256, (outputs, inputs)).astype(np.uint8),
            128,
            random.integers(-9999, 9999, outputs, np.int32) if layer.has_bias else None,
            random.random(outputs, np.float32) + np.float32(0.1) if layer.per_channel else None,
        ),
    )


def branches() -> Graph:
    """Two dense layers side by side, each with one behind it."""
    outline = Outline((1, 20))
    ends = []
    for name, width in (("a", 24), ("b", 40)):
        inner = outline.fully_connected(outline.input, width, f"{name}_1")
        ends.append(outline.fully_connected(inner, 10, f"{name}_2"))
    return outline.graph(*ends)


def order(tiling) -> list[str]:
    return [layer.op.name for layer in tiling]


def test_branches_may_be_scheduled_in_any_order_that_the_data_allows():
    a, b, a_end, b_end = dense(24, 20, 0), dense(40, 20, 1), dense(10, 24, 2), dense(10, 40, 3)
    for blobs, names in (
        ((a, a_end, b, b_end), ["a_1", "a_2", "b_1", "b_2"]),
        ((b, a, a_end, b_end), ["b_1", "a_1", "a_2", "b_2"]),
    ):
        (found,) = tilings(branches(), [segment(*blobs)])
        assert order(found) == names
    assert not list(tilings(branches(), [segment(a_end, a, b, b_end)]))


def test_a_layer_may_lie_in_a_later_segment_but_never_across_two():
    a, b, a_end, b_end = dense(24, 20, 0), dense(40, 20, 1), dense(10, 24, 2), dense(10, 40, 3)
    (found,) = tilings(branches(), [segment(a, b), segment(b_end, a_end)])
    assert [(layer.op.name, layer.segment, layer.start) for layer in found][2:] == [
        ("b_2", 1, 0),
        ("a_2", 1, len(b_end)),
    ]
    whole = a + b + a_end + b_end
    assert not list(tilings(branches(), [segment(whole[:100]), segment(whole[100:])]))


def test_layers_that_look_alike_are_found_in_every_order():
    outline = Outline((1, 16))
    ends = [outline.fully_connected(outline.input, 20, name) for name in ("x", "y")]
    found = tilings(outline.graph(*ends), [segment(dense(20, 16, 0), dense(20, 16, 1))])
    assert [order(tiling) for tiling in found] == [["x", "y"], ["y", "x"]]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_the_form_of_a_layer_shows_in_its_bytes(per_channel, has_bias):
    outline = Outline((1, 20))
    graph = outline.graph(outline.fully_connected(outline.input, 30, "dense"))
    blob = dense(30, 20, 4, per_channel=per_channel, has_bias=has_bias)
    (found,) = tilings(graph, [segment(blob)])
    assert (found[0].form.per_channel, found[0].form.has_bias) == (per_channel, has_bias)
    assert found[0].zero_point == 128


def test_leftover_bytes_are_no_tiling():
    outline = Outline((1, 20))
    graph = outline.graph(outline.fully_connected(outline.input, 30, "dense"))
    for blob in (dense(30, 20, 4) + bytes(64), dense(30, 20, 4)[:-1], b""):
        assert not list(tilings(graph, [segment(blob)]))


def test_a_matrix_of_zeros_and_ones_is_passed_over_where_values_are_moved_about():
    outline = Outline((1, 20))
    logits = outline.fully_connected(outline.input, 30, "dense")
    matrix = bytes(64) + b"\x01" + bytes(127)
    blob = dense(30, 20, 4)
    moving = outline.graph(outline.softmax(logits, "softmax"))
    assert [order(tiling) for tiling in islice(tilings(moving, [segment(blob, matrix)]), 1)] == [["dense"]]
    assert not list(tilings(outline.graph(logits), [segment(blob, b"\x02" + matrix)]))


def test_impossible_headers_and_padding_are_no_layer():
    form = PackedLayer((30, 20), per_channel=True)
    good = np.frombuffer(dense(30, 20, 0, per_channel=True), np.uint8)
    assert shown_zero_point(form, memoryview(good.tobytes())) == 128
    for position, value in ((3, 0xFF), (4 * 32 * 2 + 1, 9), (len(good) - 1, 7)):
        damaged = good.copy()
        damaged[position] = value
        with pytest.raises(PackingError):
            shown_zero_point(form, memoryview(damaged.tobytes()))


def test_real_models_tile_in_one_way_only(shared):
    for segments, layers in ((segments_of(shared, V2), 53), (read_segments(ssd_segments(shared)), 72)):
        found = [
            list(islice(tilings(skeleton.graph, segments), 2))
            for skeleton in known_topologies(segments[0].inputs, segments[-1].outputs)
        ]
        assert sorted(map(len, found))[-2:] == [0, 1]
        assert [len(tiling) for tilings_ in found for tiling in tilings_] == [layers]
