"""Whether the Edge TPU takes one operator, for itself: yes, no, or unknown, with the rule that decides.

Source: the predicate that reproduces 133 of 134 published pairs of source and compiled model, extended by the
limits that Coral documents. Where an operator that is taken ends up depends on its neighbours: see `partition`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from coralsmith.edgetpu.conditions import violation
from coralsmith.edgetpu.rules import OperatorFacts, Rule, rule, rule_book
from coralsmith.edgetpu.rules.facts import NEWEST_RUNTIME, OLDEST_RUNTIME
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.graph.model import Op, Tensor
from coralsmith.graph.versions import COMPILER_LIMITS

__all__ = ["NEWEST_RUNTIME", "OLDEST_RUNTIME", "UNKNOWN", "Question", "Verdict", "supported"]

UNKNOWN: Final = "unknown"

_MAPPABLE_RANK: Final = 3
_INT8_RUNTIME: Final = 12


@dataclass(frozen=True)
class Verdict:
    """What the compiler makes of one operator.

    Attributes:
        supported: True, False, or None where it is not known.
        status: The compiler's words for it; "unknown" where it is not known.
        rule: The rule that decides against the operator, or leaves it unknown; None where nothing does.
        measured: The value that the rule is about, in words.
        fix: Advice for this kind of operator that replaces the rule's own.
        evidence: Evidence for this kind of operator that replaces the rule's own.
    """

    supported: bool | None
    status: str
    rule: Rule | None = None
    measured: str = ""
    fix: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class Question:
    """One operator and the conditions under which it is judged.

    Attributes:
        op: The operator.
        min_runtime: Oldest Edge TPU runtime that must run the model, 10 to 14.
        as_if_quantized: Whether float values are judged as the int8 values that quantization would make of them.
    """

    op: Op
    min_runtime: int = NEWEST_RUNTIME
    as_if_quantized: bool = False

    @property
    def facts(self) -> OperatorFacts | None:
        """What is known of this kind of operator."""
        return rule_book().operators.get(self.op.kind)

    def element_type(self, tensor: Tensor) -> str:
        """The element type that the tensor has or, after quantization, would have."""
        return "int8" if self.as_if_quantized and tensor.is_float else tensor.dtype.name


def supported(op: Op, min_runtime: int = NEWEST_RUNTIME, *, as_if_quantized: bool = False) -> Verdict:
    """Whether the Edge TPU takes this operator.

    Args:
        op: An operator of a verified graph.
        min_runtime: Oldest Edge TPU runtime that must run the model, 10 to 14.
        as_if_quantized: Judge float values as the int8 values that quantization would make of them.

    Returns:
        The first rule that speaks against the operator; else the first that leaves it unknown; else support.
    """
    question = Question(op, min_runtime, as_if_quantized)
    uncertain: Verdict | None = None
    for check in _CHECKS:
        verdict = check(question)
        if verdict is not None and verdict.supported is False:
            return verdict
        uncertain = uncertain or verdict
    return uncertain or Verdict(True, MAPPED)


def _no(identifier: str, measured: str = "", *, fix: str = "", evidence: str = "") -> Verdict:
    broken = rule(identifier)
    return Verdict(False, broken.status, broken, measured, fix, evidence)


def _unknown(identifier: str, measured: str = "", *, fix: str = "", evidence: str = "") -> Verdict:
    return Verdict(None, UNKNOWN, rule(identifier), measured, fix, evidence)


def _about(op: Op, tensor: Tensor, measured: str) -> str:
    """A property of a tensor; the operator's own output needs no name, for the operator has the same."""
    return f"{op.kind} {measured}" if tensor is op.output else f"{op.kind} {measured} ({tensor.name})"


def _check_custom(question: Question) -> Verdict | None:
    return _no("custom-operator", question.op.custom_code) if question.op.kind == "CUSTOM" else None


def _check_float_boundary(question: Question) -> Verdict | None:
    """The conversions between float and integer at the ends of a model, which have statuses of their own."""
    op = question.op
    if op.kind == "QUANTIZE" and any(question.element_type(t) == "float32" for t in op.activations()):
        return _no("float-input", "float32")
    if op.kind == "DEQUANTIZE" and not question.as_if_quantized:
        return _no("float-output", op.output.dtype.name)
    return None


def _check_data_types(question: Question) -> Verdict | None:
    # The state of a recurrent operator (16 bits in an int8 LSTM) is its own affair.
    operands = (*question.op.inputs, *question.op.outputs)
    tensors = [tensor for tensor in operands if tensor is not None and not tensor.is_variable]
    for tensor in tensors:
        element_type = question.element_type(tensor)
        if element_type not in ("int8", "uint8") and not (element_type == "int32" and tensor.is_constant):
            return _no("unsupported-data-type", _about(question.op, tensor, element_type), fix=_cpu_fix(question))
    if question.min_runtime < _INT8_RUNTIME and any(question.element_type(t) == "int8" for t in tensors):
        return _no("int8-runtime", f"minimum runtime {question.min_runtime}")
    return None


def _cpu_fix(question: Question) -> str:
    """Advice for a kind that stays on the CPU whatever its types are."""
    facts = question.facts
    return facts.fix if facts is not None and facts.target == "cpu" else ""


def _check_kind(question: Question) -> Verdict | None:
    facts, kind = question.facts, question.op.kind
    if facts is None or facts.is_unheard_of:
        return _unknown("unknown-operator", kind, fix=facts.fix if facts else "")
    if facts.target == "cpu":
        return _no("operation-not-supported", kind, fix=facts.fix, evidence=facts.evidence_text)
    if question.min_runtime < facts.since:
        measured = f"{kind}: minimum runtime {question.min_runtime}, needed {facts.since}"
        if facts.since_evidence == "documented":
            return _no("operation-runtime", measured)
        return _unknown("operation-runtime", measured, evidence=facts.since_evidence)
    if facts.target == "unknown":
        return _unknown("uncertain-operator", kind, fix=facts.fix, evidence=facts.evidence_text)
    return None


def _check_version(question: Question) -> Verdict | None:
    """Operator versions of the file; a model that is still to be quantized will be written anew."""
    facts, version = question.facts, question.op.version
    if version is None or facts is None or question.as_if_quantized:
        return None
    limit = COMPILER_LIMITS.get(question.op.kind)
    if version in facts.cpu_versions or (limit is not None and version > limit.newest):
        return _no("operation-version", f"version {version}", evidence=limit.evidence if limit else "")
    if version in facts.doubtful_versions:
        return _unknown("operation-version", f"version {version}, which may be refused")
    if facts.newest_version is not None and version > facts.newest_version:
        return _unknown("operation-version", f"version {version}, seen mapped up to {facts.newest_version}")
    needed = facts.version_runtimes.get(str(version), facts.since)
    if question.min_runtime < needed:
        measured = f"version {version}: minimum runtime {question.min_runtime}, seen mapped for {needed}"
        return _unknown("operation-version", measured)
    return None


def _check_rank(question: Question) -> Verdict | None:
    op = question.op
    for tensor in (*op.outputs, *op.activations()):
        if any(size > 1 for size in tensor.shape[:-_MAPPABLE_RANK]):
            return _no("tensor-rank", _about(op, tensor, str(list(tensor.shape))))
    return None


def _check_rules(question: Question) -> Verdict | None:
    uncertain: Verdict | None = None
    for identifier in question.facts.rules if question.facts else ():
        found = violation(question.op, rule(identifier), question.min_runtime)
        if found is not None and found.certain:
            return _no(identifier, found.measured)
        if found is not None:
            uncertain = uncertain or _unknown(identifier, found.measured)
    return uncertain


# In the order in which the compiler names its reasons: the data type comes before everything about the kind.
_CHECKS: Final[tuple[Callable[[Question], Verdict | None], ...]] = (
    _check_custom,
    _check_float_boundary,
    _check_data_types,
    _check_kind,
    _check_version,
    _check_rules,
    _check_rank,
)
