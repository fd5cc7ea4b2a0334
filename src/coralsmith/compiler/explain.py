"""What the compiler's words mean: its statuses and fatal messages as findings, each with a fix.

The words, their causes and their fixes are data (`messages.json`); text that is not in it is shown whole.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from coralsmith.compiler.log import CompileResult, OperationCount
from coralsmith.findings import Finding, Severity

_MAX_SHOWN: Final = 8_000

# Consequences of a message that says more; left out where a cause was found.
_CONSEQUENCES: Final = frozenset(
    {"operator-failed", "interpreter-refused", "model-unreadable", "failed-without-reason"}
)


@dataclass(frozen=True)
class _Message:
    """One known text of the compiler and what to make of it."""

    rule: str
    severity: Severity
    pattern: re.Pattern[str]
    reason: str
    fix: str
    evidence: str


def explain_statuses(result: CompileResult) -> list[Finding]:
    """One finding for each row of the operator table whose operators stay on the CPU.

    Args:
        result: A parsed log.

    Returns:
        Warnings; `info` for the operators that always stay on the CPU at the end of a detector.
    """
    return [explain_row(row) for row in result.operations if not row.is_mapped]


def explain_warnings(output: str) -> list[Finding]:
    """What the compiler warns of in a run that succeeds all the same."""
    return [_explain_message(m, match) for m, match in _matches(output) if m.severity == "warning"]


def remedies(rule: str) -> frozenset[str]:
    """What may help after a failure: "again", "min-runtime", "search", "cut", "subgraphs"; mostly nothing."""
    return frozenset(_messages()["remedies"].get(rule, ()))


def is_steady(rule: str) -> bool:
    """Whether a failure is the model's, so that the same run would end the same way once more."""
    return "again" not in remedies(rule) and rule not in _messages()["passing"]


def explain_failure(output: str) -> list[Finding]:
    """What went wrong in a failed run.

    Args:
        output: Everything that the compiler wrote, standard output and standard error.

    Returns:
        A finding for each known message, causes before consequences; one finding with the whole text where
        no message is known. At least one of them is an error.
    """
    found = {message.rule: _explain_message(message, match) for message, match in _matches(output)}
    errors = [finding for finding in found.values() if finding.severity == "error"]
    causes = [finding for finding in errors if finding.rule not in _CONSEQUENCES]
    warnings = [finding for finding in found.values() if finding.severity != "error"]
    return [*(causes or errors[:1] or [_unknown_failure(output)]), *warnings]


def explain_row(row: OperationCount) -> Finding:
    """What one row of the operator table means whose operators stay on the CPU."""
    entry = next((e for e in _messages()["statuses"] if e["status"] == row.status), None)
    measured = f"{row.count} {row.kind}"
    if entry is None:
        return Finding(
            rule="unknown-status",
            severity="warning",
            reason=f"The compiler left operators on the CPU for a reason not known to coralsmith: {row.status}",
            measured=measured,
            evidence="compiler log",
        )
    return Finding(
        rule=entry["rule"],
        severity="info" if row.kind in entry.get("normal_for", ()) else "warning",
        reason=f'"{row.status}": {entry["reason"]}',
        fix=entry["fix"],
        measured=measured,
        evidence=entry["evidence"],
    )


def _matches(output: str) -> list[tuple[_Message, re.Match[str]]]:
    matches = ((message, message.pattern.search(output)) for message in _failures())
    return [(message, match) for message, match in matches if match is not None]


def _explain_message(message: _Message, match: re.Match[str]) -> Finding:
    groups = match.groupdict()
    return Finding(
        rule=message.rule,
        severity=message.severity,
        reason=f'"{match[0]}": {message.reason}',
        fix=message.fix,
        op=groups.get("op"),
        measured=groups.get("measured"),
        evidence=message.evidence,
    )


def _unknown_failure(output: str) -> Finding:
    text = output.strip()
    if len(text) > _MAX_SHOWN:
        half = _MAX_SHOWN // 2
        text = f"{text[:half]}\n... {len(text) - _MAX_SHOWN} characters left out ...\n{text[-half:]}"
    return Finding(
        rule="unknown-compiler-failure",
        severity="error",
        reason=f"The compiler failed with a message not known to coralsmith:\n{text}"
        if text
        else "The compiler failed without a word.",
        fix="Run the compiler by hand on this model and see whether it fails again.",
        evidence="compiler output",
    )


@cache
def _messages() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files(__package__).joinpath("messages.json").read_text("utf-8"))
    return content


@cache
def _failures() -> tuple[_Message, ...]:
    return tuple(
        _Message(
            rule=entry["rule"],
            severity=entry.get("severity", "error"),
            pattern=re.compile(entry["pattern"], re.MULTILINE),
            reason=entry["reason"],
            fix=entry["fix"],
            evidence=entry["evidence"],
        )
        for entry in _messages()["failures"]
    )
