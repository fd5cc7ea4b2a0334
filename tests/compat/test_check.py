"""What `check` says of small models, sentence by sentence."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compat import check_graph
from coralsmith.errors import UnsupportedModelError, UsageError
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.reader import read_tflite
from tests.builders import activation, constant, conv_graph
from tests.compat.models import QUANT, chain, int8, targets


def rules(report, severity: str | None = None) -> list[str]:
    return [finding.rule for finding in report.findings if severity in (None, finding.severity)]


def test_the_advice_for_an_operator_replaces_that_of_the_rule():
    (finding,) = [f for f in check_graph(chain("RELU", "LEAKY_RELU")).findings if f.op == "t2"]
    assert finding.fix == "coralsmith convert rewrites it exactly."
    assert "#272" in finding.evidence


def test_a_model_of_which_nothing_maps_is_refused():
    report = check_graph(chain("LEAKY_RELU", "HARD_SWISH"))
    assert report.is_refused and "nothing-mapped" in rules(report, "error")


def test_where_one_rule_keeps_everything_off_the_refusal_names_it_and_its_fix():
    (refusal, _) = check_graph(chain("RELU", "RELU"), min_runtime=11).findings
    assert (refusal.rule, refusal.measured) == ("nothing-mapped", "0 of 2 operators, because of int8-runtime")
    assert refusal.fix == "Compile with a minimum runtime version of 12 or later."
    several = check_graph(chain("ELU", "HARD_SWISH")).findings[0]
    assert several.fix == "See the other findings for the reasons."


def test_an_empty_graph_is_refused():
    source = int8("in", 1, 8)
    assert rules(check_graph(Graph([], [source], [source]))) == ["nothing-mapped"]


def test_a_cause_that_holds_for_the_model_is_told_once():
    report = check_graph(chain("RELU", "RELU", "RELU"), min_runtime=11)
    assert rules(report).count("int8-runtime") == 1
    assert report.ops_cpu == 3


def test_a_float_model_is_judged_as_quantized_and_refused_as_it_is():
    report = check_graph(conv_graph())
    assert targets(report) == ["edgetpu"]
    assert rules(report, "error") == ["not-quantized"]
    assert rules(report, "info") == ["assumed-quantized"]
    assert report.parameters.low > 0


def test_a_float_model_that_is_to_be_quantized_is_not_refused():
    report = check_graph(conv_graph(), as_if_quantized=True)
    assert not report.is_refused and rules(report) == ["assumed-quantized"]


def test_weights_of_16_bits_are_judged_as_the_constants_they_become():
    graph = conv_graph()
    conv = graph.ops[0]
    half = constant("half", conv.inputs[1].data, np.float16)
    conv.inputs[1] = activation("expanded", half.shape)
    graph.ops.insert(0, Op("DEQUANTIZE", [half], [conv.inputs[1]]))
    report = check_graph(graph)
    assert [(fate.kind, fate.target) for fate in report.ops] == [("CONV_2D", "edgetpu")]
    assert len(graph.ops) == 2  # the caller's graph is left alone


def test_a_float_model_of_8_bit_weights_counts_as_float():
    graph = conv_graph()
    graph.ops[0].inputs[1] = Tensor.constant("weights", np.ones((4, 3, 3, 3), np.int8), QUANT)
    assert "not-quantized" in rules(check_graph(graph))


def test_the_float_ends_of_an_int8_model_are_normal():
    source, output = activation("image", (1, 8)), activation("scores", (1, 8))
    inside = [int8("quantized", 1, 8), int8("result", 1, 8)]
    ops = [
        Op("QUANTIZE", [source], [inside[0]]),
        Op("RELU", [inside[0]], [inside[1]]),
        Op("DEQUANTIZE", [inside[1]], [output]),
    ]
    report = check_graph(Graph(ops, [source], [output]))
    assert targets(report) == ["cpu", "edgetpu", "cpu"]
    assert rules(report) == rules(report, "info") == ["float-input", "float-output"]


def test_a_float_island_inside_is_not():
    first, middle, last = int8("a", 1, 8), activation("b", (1, 8)), int8("c", 1, 8)
    ops = [Op("DEQUANTIZE", [first], [middle]), Op("QUANTIZE", [middle], [last])]
    report = check_graph(Graph(ops, [first], [last]))
    assert rules(report, "warning") == ["float-output", "float-input"]


def shaped_at_run_time() -> Graph:
    """A RESHAPE to a shape that SHAPE and PACK compute."""
    source, shape, packed = int8("in", 1, 8), activation("shape", (2,), np.int32), activation("to", (2,), np.int32)
    ops = [
        Op("SHAPE", [source], [shape]),
        Op("PACK", [shape], [packed]),
        Op("RESHAPE", [source, packed], [int8("out", 1, 8)]),
        Op("RELU", [source], [int8("other", 1, 8)]),
    ]
    return Graph(ops, [source], [ops[2].output, ops[3].output])


def test_operators_that_only_compute_shapes_are_told_of_once():
    report = check_graph(shaped_at_run_time())
    (finding,) = report.findings
    assert (finding.rule, finding.op) == ("dynamic-shape", "out")
    assert finding.measured == "1 operators, the first a RESHAPE; 2 compute the shapes"


@pytest.mark.parametrize(("code", "rule"), [("Atan", "unknown-custom-operator"), ("", "operator-too-new")])
def test_an_operator_that_the_model_is_refused_for_is_told_of_once(code, rule):
    graph = chain("RELU", "CUSTOM" if code else "GELU")
    graph.ops[1].custom_code = code
    assert rules(check_graph(graph)) == [rule]


def test_errors_come_first():
    report = check_graph(chain("LEAKY_RELU", "CUSTOM"))
    order = ["error", "warning", "info"]
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=order.index)


@pytest.mark.parametrize("runtime", [9, 15])
def test_a_runtime_that_does_not_exist_is_wrong_use(runtime):
    with pytest.raises(UsageError, match="choose 10 to 14"):
        check_graph(chain("RELU"), min_runtime=runtime)


def test_a_compiled_model_is_wrong_input(shared):
    path = shared / "edgetpu" / "pairs" / "libredge__dense_256" / "model_edgetpu.tflite"
    with pytest.raises(UnsupportedModelError, match="compiled for the Edge TPU already") as caught:
        check_graph(read_tflite(path))
    assert "compiled from" in caught.value.hint


def test_of_several_partitions_there_is_no_latency():
    graph = chain("RELU", "LEAKY_RELU", "RELU")
    assert check_graph(graph).latency_ms.usb is not None
    latency = check_graph(graph, all_partitions=True).latency_ms
    assert latency.usb is latency.pcie is None
    assert latency.evidence.startswith("not estimated: of a model in several partitions")
