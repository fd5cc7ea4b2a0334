"""Findings about memory: on each side of what fits, with numbers that are computed."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compat.memory_findings import memory_findings
from coralsmith.edgetpu.activations import TILE_BYTES, activation_memory
from coralsmith.edgetpu.latency import estimate_latency
from coralsmith.edgetpu.memory import parameter_memory
from coralsmith.edgetpu.rules import EVIDENCE_KINDS, rule_book
from coralsmith.findings import Finding
from coralsmith.graph.model import Graph, Op
from tests.builders import activation, constant
from tests.edgetpu.layers import conv, dense, depthwise, filters, flatten, graph_of


def findings(graph: Graph) -> list[Finding]:
    mapped = range(len(graph.ops))
    return memory_findings(graph, parameter_memory(graph, mapped), activation_memory(graph, mapped))


def flattened(channels: int) -> Graph:
    """A convolution and the flatten of what it computes."""
    front, op = conv((channels, 1, 1, 16), size=6), flatten(6, 6, channels)
    op.inputs[0] = front.output
    return Graph([front, op], [front.inputs[0]], [op.output])


def square(size: int, channels: int = 96) -> Graph:
    return graph_of(conv((channels, 1, 1, channels), size=size))


# Rule, a model that keeps it, one that breaks it.
CASES = [
    ("parameters-streamed", graph_of(dense(10, 6_900)), graph_of(dense(10, 9_504))),
    ("parameters-may-be-streamed", graph_of(dense(10, 6_900)), graph_of(dense(10, 7_500))),
    ("reshape-blow-up", flattened(116), flattened(114)),
    ("outputs-above-group", graph_of(dense(64, 8_000)), graph_of(dense(65, 8_000))),
    ("few-outputs", graph_of(dense(16, 5_000)), graph_of(dense(15, 50_000))),
    ("input-channels", graph_of(conv((2048, 3, 3, 16))), graph_of(conv((2048, 3, 3, 17)))),
    ("depth-multiplier", graph_of(depthwise(512, kernel=5)), graph_of(depthwise(512, kernel=5, multiplier=2))),
    ("activations-cut", square(128), square(132)),
    ("large-activations", square(132), square(260, 128)),
]


@pytest.mark.parametrize(("rule", "kept", "broken"), CASES, ids=[case[0] for case in CASES])
def test_each_side_of_the_rule(rule: str, kept: Graph, broken: Graph) -> None:
    assert rule not in [finding.rule for finding in findings(kept)]
    assert rule in [finding.rule for finding in findings(broken)]


def test_every_rule_about_memory_has_its_two_graphs() -> None:
    assert {case[0] for case in CASES} == rule_book().memory_rules


def test_the_evidence_of_every_finding_has_a_known_kind() -> None:
    for _, _, broken in CASES:
        assert all(finding.evidence.startswith(EVIDENCE_KINDS) for finding in findings(broken))


def test_a_small_model_has_nothing_to_tell() -> None:
    assert findings(graph_of(conv((64, 3, 3, 32)))) == []


def test_what_is_streamed_is_told_with_what_it_costs() -> None:
    (finding,) = findings(graph_of(dense(8_192, 8_192)))
    assert (finding.rule, finding.severity) == ("parameters-streamed", "warning")
    assert finding.measured == "64.00 MiB streamed, 145.2 ms of every inference over USB 3"
    assert finding.fix == "A single layer is kept up to 6.80 MiB: make out (64.00 MiB) smaller."


def test_streaming_costs_what_the_estimate_of_the_latency_says_it_does() -> None:
    graph = graph_of(dense(8_192, 8_192))
    usb = estimate_latency(graph, [0]).usb
    (finding,) = findings(graph)
    assert usb is not None and finding.measured is not None
    assert f"{usb.parts.streamed_parameters:.1f} ms of every inference over USB 3" in finding.measured


def test_a_band_of_what_is_streamed_is_told() -> None:
    (finding,) = findings(
        graph_of(*[dense(2_000, 2_000, name=name) for name in "abc"], dense(1_000, 1_000, name="d"))
    )
    assert finding.measured is not None
    assert finding.measured.endswith("ms of every inference over USB 3 (between 4.88 MiB and 7.81 MiB)")


def test_a_model_that_just_exceeds_the_chip_is_told_how_much_to_save() -> None:
    layers = [dense(2_048, 2_048, name="layer 0")]
    assert findings(graph_of(dense(1_024, 2_048), *layers)) == []
    (finding,) = findings(graph_of(*layers, dense(1_920, 2_048, name="last")))
    assert finding.rule == "parameters-may-be-streamed"
    assert finding.measured is not None
    assert finding.measured.startswith("7.75 MiB of cache, if all is kept; else up to 4.00 MiB streamed, 9.1 ms")
    assert "save 256 KiB of the 7.75 MiB of cache that the layers take" in finding.fix
    assert "the largest are layer 0 (4.00 MiB), last (3.75 MiB)" in finding.fix
    assert "2 % narrower" in finding.fix


def test_a_narrow_layer_is_streamed_however_much_room_there_is() -> None:
    found = {finding.rule: finding for finding in findings(graph_of(dense(10, 9_504)))}
    assert found["parameters-streamed"].measured == "148 KiB streamed, 0.3 ms of every inference over USB 3"
    assert found["parameters-streamed"].fix == (
        "A layer of at most 16 outputs is kept up to 108 KiB: reduce the inputs of out (148 KiB)."
    )


def test_a_layer_whose_packing_is_not_known_is_kept_for_certain_only_at_its_greatest_size() -> None:
    def transposed(channels: int) -> Graph:
        weights = filters((channels, 3, 3, channels))
        source, output = (activation(name, (1, 8, 8, channels), np.int8) for name in ("small", "large"))
        shape = constant("shape", output.shape, np.int32)
        return Graph([Op("TRANSPOSE_CONV", [shape, weights, source], [output])], [source], [output])

    assert findings(transposed(256)) == []  # 0.56 to 2.25 MiB
    (finding,) = findings(transposed(512))  # 2.25 to 9.00 MiB
    assert finding.rule == "parameters-may-be-streamed"


@pytest.mark.parametrize(("channels", "measured"), [(114, "114 channels add 2.03 MiB"), (112, None), (116, None)])
def test_a_flatten_of_odd_channels_blows_up(channels: int, measured: str | None) -> None:
    found = findings(flattened(channels))
    assert [finding.measured for finding in found if finding.rule == "reshape-blow-up"] == (
        [measured] if measured else []
    )
    if measured:
        assert found[0].fix == "With 112 or 116 channels before the flatten nothing is added."


def test_a_flatten_of_one_channel_is_told_to_have_four() -> None:
    front, op = conv((1, 1, 1, 16), size=10), flatten(10, 10, 1)
    op.inputs[0] = front.output
    (finding,) = findings(Graph([front, op], [front.inputs[0]], [op.output]))
    assert finding.measured == "1 channel adds 50 KiB"
    assert finding.fix == "With 4 channels before the flatten nothing is added."


def test_a_flatten_of_a_few_values_is_not_worth_a_word() -> None:
    front = conv((1, 3, 3, 1), size=3)
    op = flatten(3, 3, 1)
    op.inputs[0] = front.output
    assert findings(Graph([front, op], [front.inputs[0]], [op.output])) == []


def test_an_operator_that_does_not_fit_whole_is_cut_and_named() -> None:
    whole, cut = conv((96, 1, 1, 96), size=128), conv((96, 1, 1, 96), size=132)
    assert findings(graph_of(whole)) == []
    (finding,) = findings(graph_of(cut))
    assert (finding.rule, finding.severity, finding.op) == ("activations-cut", "info", "out")
    assert finding.measured == "204 KiB on one tile of 16: input 1x132x132x96, out 1x132x132x96"
    assert TILE_BYTES == 2 * 32 * 32 * 96 == 196_608


def test_more_than_was_ever_seen_mapped_is_a_warning() -> None:
    (finding,) = findings(graph_of(conv((128, 1, 1, 128), size=260)))
    assert (finding.rule, finding.severity) == ("large-activations", "warning")


def test_enlarging_a_map_that_does_not_fit_is_a_warning() -> None:
    source, output = activation("small", (1, 88, 88, 96), np.int8), activation("large", (1, 176, 176, 96), np.int8)
    op = Op("RESIZE_BILINEAR", [source], [output])
    (finding,) = findings(Graph([op], [source], [output]))
    assert (finding.rule, finding.op) == ("large-activations", "large")


def test_enlarging_a_map_that_fits_is_none() -> None:
    source, output = activation("small", (1, 20, 20, 96), np.int8), activation("large", (1, 40, 40, 96), np.int8)
    assert findings(Graph([Op("RESIZE_BILINEAR", [source], [output])], [source], [output])) == []
