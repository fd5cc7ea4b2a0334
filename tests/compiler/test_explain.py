"""Every status and fatal message that the compiler is known to print has a reason and a fix."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import get_args

import pytest

from coralsmith.compiler.attempts import Step
from coralsmith.compiler.explain import explain_failure, explain_statuses
from coralsmith.compiler.log import CompileResult, OperationCount, parse_log
from coralsmith.edgetpu.rules import EVIDENCE_KINDS, rule_book


def explain(kind: str, status: str):
    (finding,) = explain_statuses(CompileResult(operations=[OperationCount(kind, 2, status)]))
    return finding


@pytest.mark.parametrize(
    ("status", "rule"),
    [
        ("More than one subgraph is not supported", "more-than-one-subgraph"),
        (
            "Operation is otherwise supported, but not mapped due to some unspecified limitation",
            "unspecified-limitation",
        ),
        ("Operation is working on an unsupported data type", "unsupported-data-type"),
        ("Operation not supported", "operation-not-supported"),
        ("Operation version not supported", "operation-version"),
        ("Tensor has unsupported rank (up to 3 innermost dimensions mapped)", "tensor-rank"),
        ("Filter, bias, or other param is not constant at compile-time", "parameter-not-constant"),
        ("Only Strided-Slice with unitary strides supported", "strided-slice-stride"),
        ("Image-interpolation layer won't run precisely enough on Edge TPU", "resize-factor"),
    ],
)
def test_known_statuses(status, rule):
    finding = explain("CONV_2D", status)
    assert (finding.rule, finding.severity, finding.measured) == (rule, "warning", "2 CONV_2D")
    assert status in finding.reason and finding.fix and finding.evidence


@pytest.mark.parametrize("kind", ["CUSTOM", "DEQUANTIZE"])
def test_the_tail_of_a_detector_is_no_cause_for_worry(kind):
    assert explain(kind, "Operation is working on an unsupported data type").severity == "info"


def test_mapped_operators_need_no_explanation():
    assert explain_statuses(CompileResult(operations=[OperationCount("ADD", 1, "Mapped to Edge TPU")])) == []


def test_an_unknown_status_is_shown_whole():
    finding = explain("ADD", "Operation is tired")
    assert finding.rule == "unknown-status" and "Operation is tired" in finding.reason


def test_every_status_in_the_real_logs_is_known(shared):
    for path in (shared / "edgetpu").rglob("*.log"):
        findings = explain_statuses(parse_log(path.read_text()))
        assert not [finding for finding in findings if finding.rule == "unknown-status"]


def test_every_status_that_a_check_predicts_is_one_the_compiler_says():
    for rule in rule_book().rules.values():
        if rule.status:
            assert explain("ADD", rule.status).rule != "unknown-status"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("Invalid model: m.tflite\nModel not quantized", ["not-quantized"]),
        (
            "ERROR: Op builtin_code out of range: 150. Are you using old TFLite binary with newer model?",
            ["operator-too-new"],
        ),
        (
            "ERROR: Attempting to use a delegate that only supports static-sized tensors with a graph that has "
            "dynamic-sized tensors.\nCompilation failed: Model failed in Tflite interpreter. Please ensure model "
            "can be loaded/run in Tflite interpreter.\nCompilation failed! ",
            ["dynamic-shape"],
        ),
        (
            "ERROR: Encountered unresolved custom op: Atan.\nERROR: Node number 1 (Atan) failed to prepare.",
            ["unknown-custom-operator"],
        ),
        ("ERROR: :344 no_integer_overflow_from_quantization was not true.", ["bias-overflow"]),
        ("ERROR: :334 bias->type != kTfLiteInt32 (INT8 != INT32)", ["bias-type"]),
        (
            "std::abs(input_product_scale - bias_scale) <= 1e-6 * std::min(input_product_scale, bias_scale) "
            "was not true.",
            ["bias-scale"],
        ),
        ("ERROR: :80 t->dims->data[d] != t0->dims->data[d] (9 != 13)", ["shape-mismatch"]),
        (
            "ERROR: Restored original execution plan after delegate application failure.\nCompilation failed: "
            "Compilation failed due to large activation tensors in model.\nCompilation failed! ",
            ["large-activations"],
        ),
        ("Internal compiler error. Aborting! ", ["internal-compiler-error"]),
        ("Segmentation fault (core dumped)", ["compiler-crash"]),
        (
            "Warning: For the given model, you're creating more segments than is necessary, which can ...\n"
            "Internal compiler error. Aborting! ",
            ["internal-compiler-error", "too-many-segments"],
        ),
        ("ERROR: Node number 7 (CONV_2D) failed to prepare.", ["operator-failed"]),
        ("terminate called: No space left on device", ["disk-full"]),
        ("exec /usr/bin/edgetpu_compiler: exec format error", ["wrong-architecture"]),
        ("error while loading shared libraries: libedgetpu.so: cannot open", ["broken-installation"]),
        ("Compilation failed! ", ["failed-without-reason"]),
        ("Invalid model: m.tflite\nModel could not be parsed", ["model-unreadable"]),
    ],
)
def test_known_failures_name_the_cause_before_the_consequence(text, rules):
    findings = explain_failure(text)
    assert [finding.rule for finding in findings] == rules
    assert all(finding.reason and finding.fix and finding.evidence for finding in findings)


def test_a_refused_version_names_the_operator_and_the_version():
    (finding,) = explain_failure(
        "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '5'. An older version\n"
        "ERROR: Registration failed.\nInvalid model: m.tflite\nModel could not be parsed"
    )
    assert (finding.rule, finding.op, finding.measured) == ("operation-version", "CONV_2D", "5")


def test_all_evidence_is_of_a_known_kind():
    messages = json.loads(files("coralsmith.compiler").joinpath("messages.json").read_text("utf-8"))
    for entry in (*messages["statuses"], *messages["failures"]):
        for part in entry["evidence"].split("; "):
            assert part.partition(":")[0] in EVIDENCE_KINDS, entry["rule"]


def test_what_may_help_belongs_to_failures_that_there_are():
    messages = json.loads(files("coralsmith.compiler").joinpath("messages.json").read_text("utf-8"))
    judged = {"compiler-killed", "compiler-timeout", "no-custom-operator", "nothing-mapped", "no-operator-table"}
    judged |= {"stub-output", "output-disagrees", "output-missing", "unknown-compiler-failure"}
    known = {entry["rule"] for entry in messages["failures"]} | judged
    assert set(messages["remedies"]) | set(messages["passing"]) <= known
    for steps in messages["remedies"].values():
        assert set(steps) <= {"again", *get_args(Step)}


def test_an_unknown_failure_is_shown_whole():
    (finding,) = explain_failure("the moon is in the wrong phase\nplease wait")
    assert finding.rule == "unknown-compiler-failure"
    assert "the moon is in the wrong phase\nplease wait" in finding.reason


def test_an_endless_unknown_failure_is_cut_in_the_middle():
    (finding,) = explain_failure("first" + "x" * 100_000 + "last")
    assert len(finding.reason) < 9_000
    assert "first" in finding.reason and "last" in finding.reason
