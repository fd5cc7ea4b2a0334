"""What is to be said of compiled files, as data with evidence (`rules.json`): rules, and who wrote them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from coralsmith.edgetpu.rules import Rule, evidence_of, evidence_text, rules_of


@dataclass(frozen=True)
class CompilerRange:
    """Versions of the compiler that may have written a file; no file says it itself.

    Attributes:
        versions: In words.
        evidence: How that is known.
    """

    versions: str
    evidence: str


def inspection_rule(identifier: str) -> Rule:
    """The rule of that identifier.

    Raises:
        KeyError: There is none.
    """
    return inspection_rules()[identifier]


@cache
def inspection_rules() -> dict[str, Rule]:
    """All rules by identifier, in the order of the file."""
    return rules_of(_content()["rules"])


def compiler_range(min_runtime: int, *, names_chips: bool) -> CompilerRange:
    """Which compiler wrote a package.

    Args:
        min_runtime: Minimum runtime version of the package.
        names_chips: Whether the options of its custom operator name the chip.
    """
    for runtime, names, found in compiler_ranges():
        if runtime == min_runtime and names in (None, names_chips):
            return found
    return CompilerRange("unknown", f"unknown: no file with minimum runtime {min_runtime} was ever seen")


def compiler_ranges() -> list[tuple[int, bool | None, CompilerRange]]:
    """All that is known of compilers: minimum runtime, whether the chip is named (None: either), versions."""
    return [
        (
            entry["min_runtime"],
            entry.get("names_chips"),
            CompilerRange(entry["versions"], evidence_text(evidence_of(entry))),
        )
        for entry in _content()["compilers"]
    ]


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files(__package__).joinpath("rules.json").read_text("utf-8"))
    return content
