"""What is known of one kind of operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from coralsmith.edgetpu.rules.rule import Evidence, EvidenceKind, evidence_text

Target = Literal["edgetpu", "cpu", "unknown"]

OLDEST_RUNTIME = 10
NEWEST_RUNTIME = 14


@dataclass(frozen=True)
class OperatorFacts:
    """What is known of one kind of operator.

    Attributes:
        target: Where it runs if it breaks no rule; "unknown" where the compiler's choice cannot be foretold.
        evidence: Why this is believed, the surest first.
        since: Oldest runtime version that has the operator.
        since_evidence: How `since` is known; where it is no document, older runtimes are uncertain.
        versions: Operator versions seen mapped (or left on the CPU, for an operator of the CPU).
        safe_versions: Versions of which that is inferred from models of the compiler's time.
        cpu_versions: Versions that the compiler reads but leaves on the CPU.
        doubtful_versions: Versions that it may refuse.
        version_runtimes: Oldest runtime for which a version was seen mapped, where not that of the operator.
        largest: Largest tensors seen mapped; larger ones were not refused, only not seen.
        rules: Identifiers of the rules of this kind.
        note: Anything else worth knowing.
        fix: What to do where the operator may stay on the CPU; empty for the rule's own advice.
    """

    target: Target
    evidence: tuple[Evidence, ...]
    since: int = OLDEST_RUNTIME
    since_evidence: EvidenceKind = "documented"
    versions: tuple[int, ...] = ()
    safe_versions: tuple[int, ...] = ()
    cpu_versions: tuple[int, ...] = ()
    doubtful_versions: tuple[int, ...] = ()
    version_runtimes: Mapping[str, int] = field(default_factory=dict)
    largest: str = ""
    rules: tuple[str, ...] = ()
    note: str = ""
    fix: str = ""

    @property
    def newest_version(self) -> int | None:
        """The newest version known to be taken; None where none was recorded."""
        return max((*self.versions, *self.safe_versions), default=None)

    @property
    def is_unheard_of(self) -> bool:
        """Whether nothing is known of the operator but what to do instead."""
        return all(evidence.kind == "unknown" for evidence in self.evidence)

    @property
    def evidence_text(self) -> str:
        """The evidence in one line."""
        return evidence_text(self.evidence)
