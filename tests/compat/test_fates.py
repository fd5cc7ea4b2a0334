"""Each operator's fate follows from its own verdict and from what it depends on."""

from __future__ import annotations

from coralsmith.compat import check_graph
from tests.compat.models import chain, targets


def test_a_stranded_operator_names_what_stranded_it():
    report = check_graph(chain("RELU", "LEAKY_RELU", "RELU", "RELU"))
    assert targets(report) == ["edgetpu", "cpu", "cpu", "cpu"]
    assert [fate.rule for fate in report.ops][1:] == [
        "operation-not-supported",
        "more-than-one-subgraph",
        "more-than-one-subgraph",
    ]
    assert report.ops[2].status == "More than one subgraph is not supported"
    (stranded,) = [finding for finding in report.findings if finding.rule == "more-than-one-subgraph"]
    assert (stranded.op, stranded.measured) == ("t2", "2 operators")
    assert report.partitions == 2


def test_unknown_stays_unknown_and_makes_what_depends_on_it_unknown():
    report = check_graph(chain("RELU", "CUMSUM", "RELU"))
    assert targets(report) == ["edgetpu", "unknown", "unknown"]
    assert (report.ops_edgetpu, report.ops_cpu, report.ops_unknown) == (1, 0, 2)
    assert report.ops[1].rule == "unknown-operator" and report.ops[1].status == "unknown"


def test_an_unknown_operator_at_the_start_leaves_open_which_partition_is_the_first():
    report = check_graph(chain("CUMSUM", "LEAKY_RELU", "RELU"))
    assert targets(report) == ["unknown", "cpu", "unknown"]
