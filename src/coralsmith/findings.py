"""What every check returns: one typed record per observation, the same in messages, JSON and documentation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
"""The gravest first."""


@dataclass(frozen=True)
class Finding:
    """One observation about a model, an image folder or the machine.

    Attributes:
        rule: Stable identifier of the rule, in kebab-case; also its anchor in the documentation.
        severity: ``error`` stops the job, ``warning`` costs speed or accuracy, ``info`` is worth knowing.
        reason: What is so, and why it matters, in one sentence.
        fix: What to do about it; empty where nothing needs doing.
        op: Name of the operator concerned (its first output), if one is.
        tensor: Name of the tensor concerned, if one is.
        measured: The value found, with its unit.
        limit: The value the rule allows, with its unit.
        evidence: Where the rule comes from: measured, in a compiler log, documented or inferred, with the source.
    """

    rule: str
    severity: Severity
    reason: str
    fix: str = ""
    op: str | None = None
    tensor: str | None = None
    measured: str | None = None
    limit: str | None = None
    evidence: str = ""


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by severity; those of one severity keep their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def has_errors(findings: list[Finding]) -> bool:
    """Whether any of the findings stops the job."""
    return any(finding.severity == "error" for finding in findings)
