"""Findings that say the same of several places, as one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from coralsmith.findings import SEVERITIES, Finding, Severity
from coralsmith.report.wording import short_name


@dataclass(frozen=True)
class FindingGroup:
    """Findings of one rule with the same reason, fix and evidence.

    Attributes:
        first: One of them, for all that they share.
        members: All of them, in their order.
    """

    first: Finding
    members: tuple[Finding, ...]


def group_findings(findings: Iterable[Finding]) -> dict[Severity, list[FindingGroup]]:
    """The findings by severity, the gravest first; what says the same is one group."""
    together: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        key = (finding.severity, finding.rule, finding.reason, finding.fix, finding.evidence)
        together.setdefault(key, []).append(finding)
    groups = [FindingGroup(members[0], tuple(members)) for members in together.values()]
    return {severity: [g for g in groups if g.first.severity == severity] for severity in SEVERITIES}


def places(group: FindingGroup) -> list[str]:
    """Where the findings of a group lie, with what was measured there, each in a few words."""
    return [place for finding in group.members if (place := _place(finding))]


def _place(finding: Finding) -> str:
    where = short_name(finding.op or finding.tensor or "")
    return f"{where}: {finding.measured}" if where and finding.measured else where or finding.measured or ""
