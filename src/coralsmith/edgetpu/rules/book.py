"""Reads the files of this folder; a field that no record has is an error, not a fact that nobody interprets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from coralsmith.edgetpu.rules.facts import OperatorFacts
from coralsmith.edgetpu.rules.rule import Evidence, Rule


@dataclass(frozen=True)
class Status:
    """One status of the compiler's operator table.

    Attributes:
        trigger: What makes the compiler print it.
        evidence: Where it was seen.
    """

    trigger: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class OtherStatuses:
    """What the compiler was seen to print in place of the status of a rule."""

    statuses: tuple[str, ...]
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Unpredicted:
    """Something known of the compiler that no rule foretells, and the reason why not."""

    fact: str
    why: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class RuleBook:
    """Everything in the files of this folder.

    Attributes:
        compiler: Version of the compiler that the rules speak of.
        earlier_compilers: The versions before it.
        default_runtime: Oldest runtime that its output needs unless told otherwise.
        known_custom_operators: Custom operators that the compiler's own interpreter knows.
        first_unknown_builtin: Smallest builtin operator code that it refused.
        rules: By identifier, those of operators before those of models.
        model_rules: Identifiers of the rules about a whole model.
        memory_rules: Of these, the ones about memory on the chip.
        operators: By kind; a kind that is missing is unknown.
        statuses: By the compiler's words.
        other_statuses: By the case in which they were seen.
        unpredicted: What no rule foretells.
    """

    compiler: str
    earlier_compilers: tuple[str, ...]
    default_runtime: int
    known_custom_operators: tuple[str, ...]
    first_unknown_builtin: int
    rules: Mapping[str, Rule]
    model_rules: frozenset[str]
    memory_rules: frozenset[str]
    operators: Mapping[str, OperatorFacts]
    statuses: Mapping[str, Status]
    other_statuses: Mapping[str, OtherStatuses]
    unpredicted: tuple[Unpredicted, ...]


@cache
def rule_book() -> RuleBook:
    """The rules, read once."""
    compiler = _content("compiler")
    about_operators, about_memory = _content("operator_rules"), _content("memory_rules")
    about_models = _content("model_rules") | about_memory
    return RuleBook(
        compiler=compiler["version"],
        earlier_compilers=tuple(compiler["earlier_versions"]),
        default_runtime=compiler["default_runtime"],
        known_custom_operators=tuple(compiler["known_custom_operators"]),
        first_unknown_builtin=compiler["first_unknown_builtin"],
        rules=rules_of(about_operators | about_models),
        model_rules=frozenset(about_models),
        memory_rules=frozenset(about_memory),
        operators={kind: OperatorFacts(**_fields(entry)) for kind, entry in _content("operators").items()},
        statuses={words: Status(**_fields(entry)) for words, entry in _content("statuses").items()},
        other_statuses={k: OtherStatuses(**_fields(e)) for k, e in compiler["other_statuses"].items()},
        unpredicted=tuple(Unpredicted(**_fields(entry)) for entry in compiler["unpredicted"]),
    )


def rule(identifier: str) -> Rule:
    """The rule of that identifier.

    Raises:
        KeyError: There is none.
    """
    return rule_book().rules[identifier]


def rules_of(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Rule]:
    """Rules by identifier, of the content of any file of rules; also those about compiled files.

    Raises:
        TypeError: An entry has a field that no rule has, or lacks one.
    """
    return {name: Rule(id=name, **_fields(entry)) for name, entry in entries.items()}


def evidence_of(entry: Mapping[str, Any]) -> tuple[Evidence, ...]:
    """How the fact of an entry is known."""
    return tuple(Evidence(kind, source) for kind, source in entry["evidence"].items())


def _content(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files(__package__).joinpath(f"{name}.json").read_text("utf-8"))
    return content


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record: lists as tuples, evidence as records of its own."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    fields["evidence"] = evidence_of(entry)
    return fields
