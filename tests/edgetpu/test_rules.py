"""The rules are complete, agree with the code that measures them, and become findings."""

from __future__ import annotations

from coralsmith.edgetpu.conditions import FAULTS, QUANTITIES
from coralsmith.edgetpu.rules import rule, rule_book
from coralsmith.graph.versions import COMPILER_LIMITS


def test_every_rule_of_an_operator_has_a_condition_and_every_condition_a_rule():
    book = rule_book()
    used = {identifier for facts in book.operators.values() for identifier in facts.rules}
    assert used == set(FAULTS) | set(QUANTITIES)
    assert used <= set(book.rules)
    assert all(book.rules[identifier].mapped_up_to is not None for identifier in QUANTITIES)


def test_the_newest_version_seen_mapped_is_one_the_compiler_reads():
    for kind, facts in rule_book().operators.items():
        if facts.version is not None and kind in COMPILER_LIMITS:
            assert facts.version <= COMPILER_LIMITS[kind].newest


def test_every_rule_has_reason_fix_and_evidence():
    for each in rule_book().rules.values():
        assert each.reason.endswith(".") and each.evidence
        assert each.fix or each.severity == "info" or each.id == "custom-operator"


def test_a_range_is_told_by_its_known_ends():
    assert rule("resize-factor").limit_text == "mapped up to 2 times, refused from 15.5"
    assert rule("nearest-resize-factor").limit_text == "mapped up to 2 times"
    assert rule("equal-dilation").limit_text == ""


def test_a_finding_is_the_rule_at_one_place():
    finding = rule("tensor-rank").finding(op="conv", measured="[2, 8, 8, 4] (conv)")
    assert (finding.rule, finding.severity, finding.op) == ("tensor-rank", "warning", "conv")
    assert finding.limit == "3 innermost dimensions" and finding.fix == rule("tensor-rank").fix
    assert rule("tensor-rank").finding(severity="info", fix="other").fix == "other"
