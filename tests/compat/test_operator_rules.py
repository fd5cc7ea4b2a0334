"""Each rule about an operator on both sides of its limit: verdict, rule and the compiler's words."""

from __future__ import annotations

import pytest

from coralsmith.compat import check_graph
from coralsmith.edgetpu.conditions import QUANTITIES
from coralsmith.edgetpu.rules import EVIDENCE_KINDS, rule_book
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.edgetpu.support import UNKNOWN
from tests.compat.rule_cases import OPERATOR_CASES, Case

BOOK = rule_book()


def rules_of(case: Case) -> list[str]:
    """What is said of the graph that breaks the rule, the consequences for the whole model aside."""
    consequences = {"nothing-mapped", "small-first-partition", "all-partitions"}
    findings = check_graph(case.breaks, min_runtime=case.runtimes[1]).findings
    return [finding.rule for finding in findings if finding.rule not in consequences]


@pytest.mark.parametrize("case", OPERATOR_CASES, ids=str)
def test_what_keeps_the_rule_is_mapped(case):
    fate = check_graph(case.keeps, min_runtime=case.runtimes[0]).ops[-1]
    assert (fate.target, fate.status, fate.rule) == ("edgetpu", MAPPED, None)


@pytest.mark.parametrize("case", OPERATOR_CASES, ids=str)
def test_what_breaks_it_is_not_and_the_rule_says_why(case):
    fate = check_graph(case.breaks, min_runtime=case.runtimes[1]).ops[-1]
    words = BOOK.rules[case.rule].status if case.target == "cpu" else UNKNOWN
    assert (fate.target, fate.status, fate.rule) == (case.target, words, case.rule)
    assert words in (*BOOK.statuses, UNKNOWN)


@pytest.mark.parametrize("case", OPERATOR_CASES, ids=str)
def test_nothing_but_the_rule_is_found(case):
    assert rules_of(case) == [case.told_by or case.rule]


@pytest.mark.parametrize("case", OPERATOR_CASES, ids=str)
def test_every_finding_says_how_it_is_known(case):
    for finding in check_graph(case.breaks, min_runtime=case.runtimes[1]).findings:
        assert finding.evidence.startswith(EVIDENCE_KINDS), finding


def test_every_rule_about_an_operator_has_its_two_graphs():
    assert {case.rule for case in OPERATOR_CASES} == set(BOOK.rules) - BOOK.model_rules


def test_a_limit_with_two_known_ends_is_tested_at_both():
    """Beyond what was seen mapped nothing is known; from what was seen refused on it is the CPU."""
    for identifier in QUANTITIES:
        limit = BOOK.rules[identifier]
        targets = {case.target for case in OPERATOR_CASES if case.rule == identifier}
        if limit.refused_from is None:
            assert targets == {"unknown"}, identifier
        elif limit.refused_from - (limit.mapped_up_to or 0) > 1:
            assert targets == {"unknown", "cpu"}, identifier
        else:
            assert targets == {"cpu"}, identifier
