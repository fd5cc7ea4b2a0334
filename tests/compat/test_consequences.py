"""Who keeps whom on the CPU, against a search through all ancestors; and the partition that is too small."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings

from coralsmith.compat import check_graph
from coralsmith.compat.consequences import blockers, small_first_partition, stranded_by, undecided_by
from coralsmith.edgetpu.partition import partition
from tests.compat.models import chain
from tests.edgetpu.test_partition import build, cases, first_supported


def ancestors(inputs_of: list[list[int]], index: int) -> set[int]:
    """Everything that an operator depends on."""
    found = set(inputs_of[index])
    for source in inputs_of[index]:
        found |= ancestors(inputs_of, source)
    return found


@settings(max_examples=60)
@given(cases())
def test_a_blocker_is_the_first_unsupported_ancestor_that_only_mapped_ones_stand_before(case):
    inputs_of, supported = case
    subsets = partition(build(inputs_of), supported)
    mapped = first_supported(subsets)
    done = {i for subset in subsets[: subsets.index(mapped) + 1] for i in subset.ops} if mapped else set()
    if mapped is None:
        done = set(range(len(inputs_of)))
    behind = set(range(len(inputs_of))) - done
    first = {index for index in behind if set(inputs_of[index]) <= done}
    expected = {index: min(({index} | ancestors(inputs_of, index)) & first) for index in behind}
    found = blockers(build(inputs_of), subsets)
    assert found == expected
    assert not any(supported[blocker] for blocker in found.values())


@settings(max_examples=60)
@given(cases())
def test_every_stranded_operator_counts_once(case):
    inputs_of, supported = case
    found = blockers(build(inputs_of), partition(build(inputs_of), supported))
    stranded = [index for index in found if supported[index]]
    assert stranded_by(found, stranded).total() == len(stranded)


def test_an_operator_of_two_causes_counts_for_the_first():
    # 1 and 2 are unsupported, 3 reads both, 4 the second only.
    graph = build([[], [0], [0], [1, 2], [2]])
    found = blockers(graph, partition(graph, [True, False, False, True, True]))
    assert stranded_by(found, [3, 4]) == Counter({1: 1, 2: 1})


def test_a_leading_operator_is_nobodys_blocker():
    # 0 is unsupported and leads; 1 is mapped; 2 is unsupported; 3 reads 0 and 2.
    graph = build([[], [0], [1], [0, 2]])
    found = blockers(graph, partition(graph, [False, True, False, True]))
    assert found == {2: 2, 3: 2}


def test_undecided_operators_hang_on_the_first_unknown_one():
    graph = build([[], [0], [1], [1, 2]])
    assert undecided_by(graph, {1, 2}, [3]) == Counter({1: 1})


def small(inputs_of: list[list[int]], hopeful: list[bool], fearful: list[bool] | None = None):
    graph = build(inputs_of)
    return small_first_partition(graph, partition(graph, hopeful), partition(graph, fearful or hopeful))


LINE = [[], [0], [1], [2], [3]]


def test_a_larger_later_partition_is_named_with_what_cuts_it_off():
    found = small(LINE, [True, False, True, True, True])
    assert (found.mapped, found.larger, found.blocker, found.at_worst) == (1, 3, 1, False)


def test_a_smaller_later_partition_is_as_it_should_be():
    assert small(LINE, [True, True, False, True, True]) is None
    assert small(LINE, [True, True, True, True, True]) is None
    assert small(LINE, [False] * 5) is None


def test_what_only_happens_at_worst_says_so():
    found = small(LINE, [True] * 5, [True, False, True, True, True])
    assert (found.mapped, found.larger, found.at_worst) == (1, 3, True)


def test_the_finding_names_the_operator_its_rule_and_its_fix():
    report = check_graph(chain("QUANTIZE", "LEAKY_RELU", *["RELU"] * 5))
    finding = report.findings[0]
    assert (finding.rule, finding.severity, finding.op) == ("small-first-partition", "warning", "t2")
    assert (
        finding.measured
        == "1 operator mapped, 5 in a later partition; cut by LEAKY_RELU (operation-not-supported)"
    )
    assert finding.fix == "coralsmith convert rewrites it exactly."


def test_a_yolo_that_begins_channels_first_is_warned_of_what_may_happen():
    # Compiler 15 mapped the QUANTIZE of such a model and left 293 operators behind its TRANSPOSE to the CPU.
    report = check_graph(chain("QUANTIZE", "TRANSPOSE", *["RELU"] * 293))
    finding = report.findings[0]
    assert finding.rule == "small-first-partition"
    assert finding.measured.startswith("at worst 1 operator mapped, 293 in a later partition; cut by TRANSPOSE")
    assert finding.fix == "Export the model in NHWC layout."


def test_findings_begin_with_what_costs_the_most():
    graph = chain("RELU", "LEAKY_RELU", "RELU", "ELU", "RELU", "RELU")
    # The ELU is behind the LEAKY_RELU, which is the first cause of all that follows.
    measured = [f.measured for f in check_graph(graph).findings if f.rule == "operation-not-supported"]
    assert measured == ["LEAKY_RELU; strands 3 operators", "ELU"]
