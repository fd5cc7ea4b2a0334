"""The part of the page that lists the findings, each with its fix and evidence."""

from __future__ import annotations

from typing import Final

from coralsmith.findings import Severity
from coralsmith.report import wording
from coralsmith.report.document import ConversionReport
from coralsmith.report.grouping import FindingGroup, group_findings, places
from coralsmith.report.html_elements import Markup, chip, code, details, element, facts, joined, section

_PLACES_SHOWN: Final = 4


def findings_section(report: ConversionReport) -> Markup:
    """Errors and warnings open, what is merely worth knowing folded; says so where there is nothing."""
    groups = group_findings(report.findings)
    if not report.findings:
        return section("findings", "Findings", element("p", "None.", class_="lead"))
    anchored: set[str] = set()
    parts = [_severity(severity, members, anchored) for severity, members in groups.items() if members]
    return section("findings", "Findings", *parts)


def _severity(severity: Severity, groups: list[FindingGroup], anchored: set[str]) -> Markup:
    cards = element("ul", *(_card(group, anchored) for group in groups), class_="cards")
    title = f"{wording.SEVERITIES[severity]} ({len(groups)})"
    if severity == "info":
        return details(title, cards)
    return joined(element("h3", title), cards)


def _card(group: FindingGroup, anchored: set[str]) -> Markup:
    """One finding; the first of a rule bears the anchor that the operator table points to."""
    first = group.first
    identifier = None if first.rule in anchored else f"rule-{first.rule}"
    anchored.add(first.rule)
    pairs = [("limit", first.limit), ("evidence", first.evidence)]
    return element(
        "li",
        element("p", chip(first.rule, first.severity), _count(group), class_="rule"),
        element("p", first.reason, class_="reason"),
        element("p", element("b", "Fix: "), first.fix, class_="fix") if first.fix else None,
        _places(group),
        facts((name, value) for name, value in pairs if value),
        class_=first.severity,
        id=identifier,
    )


def _count(group: FindingGroup) -> str | None:
    return f" {len(group.members)} times" if len(group.members) > 1 else None


def _places(group: FindingGroup) -> Markup | None:
    found = places(group)
    if not found:
        return None
    items = [element("li", code(place)) for place in found]
    shown = element("ul", *items[:_PLACES_SHOWN], class_="places")
    if len(items) <= _PLACES_SHOWN:
        return shown
    rest = details(f"{len(items) - _PLACES_SHOWN} more", element("ul", *items[_PLACES_SHOWN:], class_="places"))
    return joined(shown, rest)
