"""What every check returns: one typed record per observation, the same in messages, JSON and documentation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
"""The gravest first."""

EXAMINATION_SCHEMA: Final = "coralsmith/doctor/1"


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


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether any of the findings stops the job."""
    return any(finding.severity == "error" for finding in findings)


@dataclass(frozen=True)
class MachineFact:
    """One line of `coralsmith doctor`.

    Attributes:
        part: What of the machine it is about: "runtime", "device", "compiler", "model".
        name: What was looked at, in a word or two.
        state: ``ok``, ``fail``, or ``unknown`` where it could not be looked at.
        value: What was found.
        fix: What to do about it, step by step, one a line; empty where nothing needs doing.
    """

    part: str
    name: str
    state: Literal["ok", "fail", "unknown"]
    value: str
    fix: str = ""


@dataclass(frozen=True)
class Examination:
    """What `coralsmith doctor --json` prints.

    Attributes:
        facts: One line for each thing that was looked at.
        schema: Name and version of this document.
    """

    facts: tuple[MachineFact, ...]
    schema: str = field(default=EXAMINATION_SCHEMA)

    @property
    def is_well(self) -> bool:
        """Whether nothing failed."""
        return all(fact.state != "fail" for fact in self.facts)
