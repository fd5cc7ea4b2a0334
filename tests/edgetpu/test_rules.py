"""The facts are complete, consistent, of known kinds, and become findings."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib.resources import files
from typing import Any, get_args

from pydantic import TypeAdapter

import coralsmith.compat
import coralsmith.edgetpu
from coralsmith.compiler import parse_log
from coralsmith.compiler.explain import explain_statuses
from coralsmith.compiler.log import CompileResult, OperationCount
from coralsmith.edgetpu.conditions import FAULTS, QUANTITIES
from coralsmith.edgetpu.placement import LARGEST_KEPT, LARGEST_NARROW_KEPT, MOST_ROOM, least_room
from coralsmith.edgetpu.rules import EVIDENCE_KINDS, Evidence, EvidenceKind, OperatorFacts, Rule, rule, rule_book
from coralsmith.edgetpu.rules.book import OtherStatuses, Status, Unpredicted
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.graph.schema import OPERATOR_CODES
from coralsmith.graph.versions import COMPILER_LIMITS

BOOK = rule_book()


def content(name: str) -> dict[str, Any]:
    return json.loads(files("coralsmith.edgetpu.rules").joinpath(f"{name}.json").read_text("utf-8"))


def records() -> list[tuple[str, type, dict[str, Any]]]:
    """Every entry of every file with the record that it becomes."""
    compiler = content("compiler")
    tables = [
        (Rule, content("operator_rules")),
        (Rule, content("model_rules")),
        (Rule, content("memory_rules")),
        (OperatorFacts, content("operators")),
        (Status, content("statuses")),
        (OtherStatuses, compiler["other_statuses"]),
        (Unpredicted, {entry["fact"]: entry for entry in compiler["unpredicted"]}),
    ]
    return [(name, kind, entry) for kind, table in tables for name, entry in table.items()]


def test_every_entry_has_the_fields_of_its_record_and_values_of_their_types():
    for name, kind, entry in records():
        assert set(entry) <= {field.name for field in dataclasses.fields(kind)} - {"id"}, name
        evidence = [{"kind": how, "source": source} for how, source in entry["evidence"].items()]
        identifier = {"id": name} if kind is Rule else {}
        TypeAdapter(kind).validate_python({**entry, **identifier, "evidence": evidence})


def test_everything_has_evidence_of_a_known_kind_the_surest_first():
    for name, _, entry in records():
        kinds = list(entry["evidence"])
        assert kinds and set(kinds) <= set(EVIDENCE_KINDS), name
        assert kinds == sorted(kinds, key=EVIDENCE_KINDS.index), name


def test_the_vocabulary_of_evidence_is_closed():
    assert get_args(EvidenceKind) == EVIDENCE_KINDS
    assert len(EVIDENCE_KINDS) == 8


def test_a_name_stands_once():
    for name in ("operator_rules", "model_rules", "memory_rules", "operators", "statuses"):
        text = files("coralsmith.edgetpu.rules").joinpath(f"{name}.json").read_text("utf-8")
        names = re.findall(r'^  "(.*)": \{$', text, re.MULTILINE)
        assert len(names) == len(set(names)) == len(content(name)), name
    assert not set(content("operator_rules")) & set(content("model_rules") | content("memory_rules"))
    assert not set(content("model_rules")) & set(content("memory_rules"))


def test_every_rule_has_a_reason_and_one_that_warns_a_fix():
    for each in BOOK.rules.values():
        assert each.reason.endswith("."), each.id
        assert each.fix or each.severity == "info", each.id
        assert not each.fix or each.fix.endswith("."), each.id


def test_every_rule_is_used():
    """By an operator, or by name in the code."""
    code = "".join(
        path.read_text("utf-8")
        for room in (coralsmith.edgetpu, coralsmith.compat)
        for path in files(room.__name__).iterdir()
        if path.name.endswith(".py")
    )
    of_operators = {identifier for facts in BOOK.operators.values() for identifier in facts.rules}
    assert {name for name in BOOK.rules if name not in of_operators and f'"{name}"' not in code} == set()


def test_every_rule_of_an_operator_has_a_condition_and_every_condition_a_rule():
    used = {identifier for facts in BOOK.operators.values() for identifier in facts.rules}
    assert used == set(FAULTS) | set(QUANTITIES)
    assert used <= set(BOOK.rules) - BOOK.model_rules
    assert all(BOOK.rules[identifier].mapped_up_to is not None for identifier in QUANTITIES)


def test_a_rule_without_words_of_the_compiler_claims_nothing_certain():
    for identifier in set(FAULTS) | set(QUANTITIES):
        each = BOOK.rules[identifier]
        assert each.status or each.uncertain or each.refused_from is None, identifier


def test_the_words_of_every_rule_are_the_compilers():
    assert {each.status for each in BOOK.rules.values() if each.status} <= set(BOOK.statuses)
    assert {words for other in BOOK.other_statuses.values() for words in other.statuses} <= set(BOOK.statuses)
    assert MAPPED in BOOK.statuses


def test_every_status_can_be_explained_by_the_reader_of_logs():
    for words in set(BOOK.statuses) - {MAPPED}:
        (finding,) = explain_statuses(CompileResult(operations=[OperationCount("RELU", 1, words)]))
        assert finding.rule != "unknown-status", words


def test_every_status_of_every_real_log_is_known(shared):
    logs = sorted((shared / "edgetpu" / "logs").glob("*.log"))
    assert len(logs) == 25
    logs += sorted((shared / "edgetpu" / "pairs").glob("*/compile.log"))
    said = {(row.status, path.name) for path in logs for row in parse_log(path.read_text("utf-8")).operations}
    assert {entry for entry in said if entry[0] not in BOOK.statuses} == set()
    assert len({status for status, _ in said}) >= 4


def test_every_version_that_wrote_a_real_log_is_known(shared):
    logs = (shared / "edgetpu" / "logs").glob("*.log")
    assert {parse_log(path.read_text("utf-8")).version for path in logs} <= {
        BOOK.compiler,
        *BOOK.earlier_compilers,
    }


def test_operators_are_builtin_operators_of_known_runtimes():
    assert set(BOOK.operators) <= set(OPERATOR_CODES)
    assert {facts.since for facts in BOOK.operators.values()} <= set(range(10, 15))


def test_the_newest_version_seen_mapped_is_one_the_compiler_reads():
    for kind, facts in BOOK.operators.items():
        limit = COMPILER_LIMITS.get(kind)
        if facts.newest_version is not None and limit is not None:
            assert facts.newest_version <= limit.newest


def test_what_is_known_of_the_versions_that_the_compiler_reads_has_evidence_too():
    assert all(limit.evidence.startswith(EVIDENCE_KINDS) for limit in COMPILER_LIMITS.values())


def test_a_version_has_one_fate():
    for kind, facts in BOOK.operators.items():
        mapped, doubtful = {*facts.versions, *facts.safe_versions}, set(facts.doubtful_versions)
        assert not mapped & doubtful and not (mapped | doubtful) & set(facts.cpu_versions), kind
        assert {int(version) for version in facts.version_runtimes} <= mapped, kind


def test_a_range_is_told_by_its_known_ends():
    assert rule("resize-factor").limit_text == "mapped up to 2 times, refused from 15.5"
    assert rule("nearest-resize-factor").limit_text == "mapped up to 2 times"
    assert rule("dense-width").limit_text == "mapped up to 8,192 outputs, refused from 100,000"
    assert rule("weights-format").limit_text == "DEFAULT"


def test_the_limits_told_of_the_memory_are_those_of_the_code():
    for identifier in ("parameters-streamed", "parameters-may-be-streamed"):
        limit = rule(identifier).limit
        assert f"{LARGEST_KEPT / 2**20:.1f} to " in limit and f"{LARGEST_NARROW_KEPT / 2**10:.0f} to " in limit
    assert f"{least_room(0) / 2**20:.1f} to {MOST_ROOM / 2**20:.1f} MiB" in rule("parameters-streamed").limit


def test_evidence_reads_as_one_line():
    assert str(Evidence("documented", "a page")) == "documented: a page"
    assert str(Evidence("unknown")) == "unknown"
    assert rule("softmax-size").evidence_text.startswith("measured on pairs: 16,384 mapped; documented: ")


def test_a_finding_is_the_rule_at_one_place():
    finding = rule("tensor-rank").finding(op="conv", measured="[2, 8, 8, 4]")
    assert (finding.rule, finding.severity, finding.op) == ("tensor-rank", "warning", "conv")
    assert finding.limit == "3 innermost dimensions" and finding.fix == rule("tensor-rank").fix
    assert finding.evidence == rule("tensor-rank").evidence_text
    assert rule("tensor-rank").finding(severity="info", fix="other").fix == "other"
