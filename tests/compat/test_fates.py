"""Each operator's fate follows from its own verdict and from what it depends on."""

from __future__ import annotations

import numpy as np

from coralsmith.compat import check_graph
from coralsmith.edgetpu.rules import rule_book
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.graph.model import Graph, Op
from tests.builders import activation
from tests.compat.models import chain, int8, targets

MULTIPLE = "More than one subgraph is not supported"
OTHERWISE = "Operation is otherwise supported, but not mapped due to some unspecified limitation"


def test_a_stranded_operator_reads_so_and_its_cause_tells_how_many_it_strands():
    report = check_graph(chain("RELU", "LEAKY_RELU", "RELU", "RELU"))
    assert targets(report) == ["edgetpu", "cpu", "cpu", "cpu"]
    assert [fate.rule for fate in report.ops][1:] == [
        "operation-not-supported",
        "more-than-one-subgraph",
        "more-than-one-subgraph",
    ]
    assert report.ops[2].status == MULTIPLE
    (cause,) = [finding for finding in report.findings if finding.rule == "operation-not-supported"]
    assert (cause.op, cause.measured) == ("t2", "LEAKY_RELU; strands 2 operators")
    assert (report.partitions, report.ops_stranded) == (2, 2)


def test_an_unsupported_operator_behind_another_reads_its_own_reason():
    # As RESHAPE and CONCATENATION do in the log of a YOLOv5s.
    report = check_graph(chain("RELU", "LEAKY_RELU", "ELU"))
    assert [fate.status for fate in report.ops] == [MAPPED, "Operation not supported", "Operation not supported"]


def test_unknown_stays_unknown_and_makes_what_depends_on_it_unknown():
    report = check_graph(chain("RELU", "CUMSUM", "RELU"))
    assert targets(report) == ["edgetpu", "unknown", "unknown"]
    assert (report.ops_edgetpu, report.ops_cpu, report.ops_unknown) == (1, 0, 2)
    assert report.ops[1].rule == "unknown-operator" and report.ops[1].status == "unknown"
    (finding,) = report.findings
    assert finding.measured == "CUMSUM; leaves 1 operator unknown"


def test_an_unknown_operator_at_the_start_leaves_open_which_partition_is_the_first():
    report = check_graph(chain("CUMSUM", "LEAKY_RELU", "RELU"))
    assert targets(report) == ["unknown", "cpu", "unknown"]


def test_an_unknown_operator_at_the_start_strands_nobody():
    # Such as the TRANSPOSE of a model that takes images channels first.
    report = check_graph(chain("TRANSPOSE", "RELU", "RELU"))
    assert targets(report) == ["unknown", "edgetpu", "edgetpu"]


def test_a_stranded_quantize_may_read_otherwise():
    report = check_graph(chain("RELU", "ELU", "QUANTIZE", "RELU"))
    assert [(fate.status, fate.other_statuses) for fate in report.ops[2:]] == [
        (MULTIPLE, [OTHERWISE]),
        (MULTIPLE, []),
    ]


def float_tail() -> Graph:
    """int8, then float behind the conversion: RELU, DEQUANTIZE, LOGISTIC, post-processing."""
    quantized, scores = int8("quantized", 1, 8), [activation(f"scores {i}", (1, 8)) for i in range(3)]
    source = int8("image", 1, 8)
    ops = [
        Op("RELU", [source], [quantized]),
        Op("DEQUANTIZE", [quantized], [scores[0]]),
        Op("LOGISTIC", [scores[0]], [scores[1]]),
        Op("CUSTOM", [scores[1]], [scores[2]], custom_code="TFLite_Detection_PostProcess"),
    ]
    return Graph(ops, [source], [scores[2]])


def test_a_float_operator_behind_the_cpu_may_read_otherwise_but_the_usual_tail_does_not():
    report = check_graph(float_tail())
    data_type = rule_book().rules["unsupported-data-type"].status
    assert [(fate.kind, fate.status, fate.other_statuses) for fate in report.ops[1:]] == [
        ("DEQUANTIZE", data_type, []),
        ("LOGISTIC", data_type, [MULTIPLE, OTHERWISE]),
        ("CUSTOM", data_type, []),
    ]


def test_leading_cpu_operators_leave_the_mapping_alone():
    source, quantized, last = activation("image", (1, 8)), int8("quantized", 1, 8), int8("last", 1, 8)
    counts = activation("counts", (1, 8), np.uint8)
    ops = [
        Op("CAST", [counts], [source]),
        Op("QUANTIZE", [source], [quantized]),
        Op("RELU", [quantized], [last]),
    ]
    report = check_graph(Graph(ops, [counts], [last]))
    assert targets(report) == ["cpu", "cpu", "edgetpu"]
    assert (report.ops_stranded, report.partitions) == (0, 1)


def test_a_side_branch_on_the_cpu_leaves_the_rest_alone():
    # Two outputs, as in a pose network whose one head ends in an ARG_MAX.
    graph = chain("RELU", "ELU")
    beside = int8("beside", 1, 8)
    graph.ops.append(Op("RELU", [graph.ops[0].output], [beside]))
    graph.outputs.append(beside)
    assert targets(check_graph(graph)) == ["edgetpu", "cpu", "edgetpu"]


def test_asked_for_all_partitions_every_supported_operator_is_mapped():
    graph = chain("RELU", "ELU", "RELU", "LEAKY_RELU", "RELU", "RELU")
    first, every = check_graph(graph), check_graph(graph, all_partitions=True)
    assert targets(first) == ["edgetpu", "cpu", "cpu", "cpu", "cpu", "cpu"]
    assert targets(every) == ["edgetpu", "cpu", "edgetpu", "cpu", "edgetpu", "edgetpu"]
    assert (first.all_partitions.asked, every.all_partitions.asked) == (False, True)
    for report in (first, every):
        prediction = report.all_partitions
        assert (prediction.ops_edgetpu, prediction.ops_cpu, prediction.ops_unknown) == (4, 2, 0)
        assert (prediction.custom_operators, prediction.sizes) == (3, [1, 1, 2])
    assert every.ops_stranded == 0
    # Compiler 16 was seen to call an operator stranded although several partitions were mapped.
    assert [fate.other_statuses for fate in every.ops] == [[], [], [MULTIPLE], [], [MULTIPLE], [MULTIPLE]]


def test_that_all_partitions_are_slow_is_a_warning_only_where_they_are_asked_for():
    graph = chain("RELU", "ELU", "RELU")
    for asked, severity in ((False, "info"), (True, "warning")):
        report = check_graph(graph, all_partitions=asked)
        (finding,) = [found for found in report.findings if found.rule == "all-partitions"]
        assert (finding.severity, finding.measured) == (severity, "2 partitions of 1, 1 operators")
        assert "10 times slower" in finding.reason


def test_how_many_custom_operators_there_will_be_is_unknown_while_operators_are():
    prediction = check_graph(chain("RELU", "CUMSUM", "RELU")).all_partitions
    assert (prediction.custom_operators, prediction.ops_unknown, prediction.sizes) == (None, 1, [3])
