from __future__ import annotations

from typing import Any

from coralsmith.findings import Finding, Severity
from coralsmith.report.grouping import group_findings, places


def finding(severity: Severity = "warning", reason: str = "It is zero.", **fields: Any) -> Finding:
    return Finding("dead-tensor", severity, reason, **fields)


def test_the_same_finding_in_several_places_is_one_group() -> None:
    groups = group_findings([finding(op="a"), finding(op="b"), finding(op="c", reason="It is one.")])
    assert [len(group.members) for group in groups["warning"]] == [2, 1]


def test_severities_come_gravest_first() -> None:
    groups = group_findings([finding("info"), finding("error"), finding("warning")])
    assert list(groups) == ["error", "warning", "info"]
    assert all(len(members) == 1 for members in groups.values())


def test_a_place_is_the_operator_or_the_tensor_with_what_was_measured() -> None:
    members = [
        finding(op="conv", measured="version 5"),
        finding(tensor="relu;;add"),
        finding(measured="width 0"),
        finding(),
    ]
    (group,) = group_findings(members)["warning"]
    assert places(group) == ["conv: version 5", "relu;...", "width 0"]
