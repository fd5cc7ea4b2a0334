"""What the Edge TPU compiler accepts, as data with evidence (`rules.json`): rules, and facts of each operator.

A rule's identifier, reason, fix and evidence are the same in findings, in JSON and in docs/supported-ops.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from coralsmith.findings import Finding, Severity

Target = Literal["edgetpu", "cpu", "unknown"]


@dataclass(frozen=True)
class Rule:
    """One thing that the compiler asks of a model or an operator.

    Attributes:
        id: Stable identifier, in kebab-case.
        reason: What is so, and why it matters.
        fix: What to do about it; empty where nothing needs doing.
        evidence: Measured on pairs, in a compiler log or output, documented, reported, inferred, or unknown.
        status: What the compiler says of an operator that breaks the rule; empty where it has no words for it.
        severity: Of the finding.
        scope: Whether every operator that breaks the rule is a finding, or the model as a whole.
        limit: What is allowed, in words.
        mapped_up_to: The largest value seen on the Edge TPU.
        refused_from: The smallest value known to be refused; between the two nothing is known.
        unit: Unit of these values.
        uncertain: Whether an operator that breaks the rule may be mapped all the same.
    """

    id: str
    reason: str
    fix: str
    evidence: str
    status: str = ""
    severity: Severity = "warning"
    scope: Literal["op", "model"] = "op"
    limit: str = ""
    mapped_up_to: float | None = None
    refused_from: float | None = None
    unit: str = ""
    uncertain: bool = False

    @property
    def limit_text(self) -> str:
        """The limit in words or, where it is a range, its known ends."""
        if self.mapped_up_to is None:
            return self.limit
        known = f"mapped up to {self.mapped_up_to:g} {self.unit}"
        return known if self.refused_from is None else f"{known}, refused from {self.refused_from:g}"

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
            evidence=evidence or self.evidence,
        )


@dataclass(frozen=True)
class OperatorFacts:
    """What is known of one kind of operator.

    Attributes:
        target: Where it runs if it breaks no rule; "unknown" where the compiler's choice cannot be foretold.
        evidence: How that is known.
        since: Oldest runtime version that has the operator.
        since_from_memory: Whether `since` was not found in a document, so that older runtimes are uncertain.
        version: Newest operator version seen in mapped models; None where none was recorded.
        cpu_versions: Versions that the compiler reads but leaves on the CPU.
        largest: Largest tensor seen mapped; larger ones were not refused, only not seen.
        rules: Identifiers of the rules of this kind.
        note: Anything else worth knowing.
        fix: What to do where the operator stays on the CPU; empty for the rule's own advice.
    """

    target: Target
    evidence: str
    since: int = 10
    since_from_memory: bool = False
    version: int | None = None
    cpu_versions: tuple[int, ...] = ()
    largest: str = ""
    rules: tuple[str, ...] = ()
    note: str = ""
    fix: str = ""


@dataclass(frozen=True)
class RuleBook:
    """Everything in `rules.json`.

    Attributes:
        compiler: Version of the compiler that the rules speak of.
        rules: By identifier.
        operators: By kind; a kind that is missing is unknown.
        known_custom_operators: Custom operators that the compiler's own interpreter knows.
        first_unknown_builtin: Smallest builtin operator code that it refused.
    """

    compiler: str
    rules: Mapping[str, Rule]
    operators: Mapping[str, OperatorFacts]
    known_custom_operators: tuple[str, ...]
    first_unknown_builtin: int


@cache
def rule_book() -> RuleBook:
    """The rules, read once."""
    content: dict[str, Any] = json.loads(files(__package__).joinpath("rules.json").read_text("utf-8"))
    return RuleBook(
        compiler=content["compiler"],
        rules={entry["id"]: Rule(**entry) for entry in content["rules"]},
        operators={kind: _operator_facts(entry) for kind, entry in content["operators"].items()},
        known_custom_operators=tuple(content["known_custom_operators"]),
        first_unknown_builtin=content["first_unknown_builtin"],
    )


def rule(identifier: str) -> Rule:
    """The rule of that identifier.

    Raises:
        KeyError: There is none.
    """
    return rule_book().rules[identifier]


def _operator_facts(entry: dict[str, Any]) -> OperatorFacts:
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()}
    return OperatorFacts(**fields)
