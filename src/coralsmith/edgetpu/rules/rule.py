"""A rule of the Edge TPU compiler and the evidence for it.

A rule's identifier, reason, fix and evidence are the same in findings, in JSON and in docs/supported-ops.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from coralsmith.findings import Finding, Severity

EvidenceKind = Literal[
    "measured on pairs",
    "compiler log",
    "compiler output",
    "documented",
    "reported",
    "inferred",
    "from memory",
    "unknown",
]
EVIDENCE_KINDS: Final[tuple[EvidenceKind, ...]] = get_args(EvidenceKind)
"""How something can be known, the surest first."""


@dataclass(frozen=True)
class Evidence:
    """One reason to believe a fact.

    Attributes:
        kind: How it is known.
        source: Where that stands, in words; empty where the kind says it all.
    """

    kind: EvidenceKind
    source: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.source}" if self.source else self.kind


def evidence_text(evidence: Iterable[Evidence]) -> str:
    """All the evidence for a fact in one line."""
    return "; ".join(map(str, evidence))


@dataclass(frozen=True)
class Rule:
    """One thing that the compiler asks of a model or an operator.

    Attributes:
        id: Stable identifier, in kebab-case.
        reason: What is so, and why it matters.
        fix: What to do about it; empty where nothing needs doing.
        evidence: Why this is believed, the surest first.
        status: What the compiler says of an operator that breaks the rule; empty where it has no words for it.
        status_evidence: How it is known that it uses these words.
        severity: Of the finding.
        scope: Whether every operator that breaks the rule is a finding, or the model as a whole.
        limit: What is allowed, in words.
        mapped_up_to: The largest value seen on the Edge TPU.
        refused_from: The smallest value known to be refused; between the two nothing is known.
        unit: Unit of these values.
        before_runtime: The rule is asked of models for older runtimes than this only; None for all.
        uncertain: Whether an operator that breaks the rule may be mapped all the same.
    """

    id: str
    reason: str
    fix: str
    evidence: tuple[Evidence, ...]
    status: str = ""
    status_evidence: EvidenceKind = "compiler log"
    severity: Severity = "warning"
    scope: Literal["op", "model"] = "op"
    limit: str = ""
    mapped_up_to: float | None = None
    refused_from: float | None = None
    unit: str = ""
    before_runtime: int | None = None
    uncertain: bool = False

    @property
    def limit_text(self) -> str:
        """The limit in words or, where it is a range, its known ends."""
        if self.mapped_up_to is None:
            return self.limit
        known = f"mapped up to {_number(self.mapped_up_to)} {self.unit}"
        return known if self.refused_from is None else f"{known}, refused from {_number(self.refused_from)}"

    @property
    def evidence_text(self) -> str:
        """The evidence in one line."""
        return evidence_text(self.evidence)

    def measured(self, value: float) -> str:
        """A value that the rule is about, with its unit."""
        return f"{_number(value)} {self.unit}"

    def finding(
        self,
        *,
        op: str | None = None,
        tensor: str | None = None,
        measured: str | None = None,
        severity: Severity | None = None,
        fix: str | None = None,
        evidence: str | None = None,
    ) -> Finding:
        """The finding that something breaks this rule; what is given stands in place of the rule's own."""
        return Finding(
            rule=self.id,
            severity=severity or self.severity,
            reason=self.reason,
            fix=fix or self.fix,
            op=op,
            tensor=tensor,
            measured=measured,
            limit=self.limit_text or None,
            evidence=evidence or self.evidence_text,
        )


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"
