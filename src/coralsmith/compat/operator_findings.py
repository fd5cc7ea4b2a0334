"""Findings about single operators and the partitions they make: one for each cause, with what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from coralsmith.compat.fates import Prediction
from coralsmith.compat.model_rules import told_of
from coralsmith.edgetpu.rules import rule, rule_book
from coralsmith.edgetpu.support import Verdict
from coralsmith.findings import Finding
from coralsmith.graph.model import Graph, Op, Tensor

_LARGEST_LIST: Final = 8


def operator_findings(graph: Graph, verdicts: Sequence[Verdict], prediction: Prediction) -> list[Finding]:
    """One finding for each operator that is not surely supported; one in all for rules about the model.

    An operator that makes the compiler refuse the model is none: a rule about the model tells of it.

    Args:
        graph: A verified graph.
        verdicts: For each operator what the Edge TPU makes of it for itself.
        prediction: What follows from them.

    Returns:
        First those that keep the most other operators off the Edge TPU; among equals in execution order.
    """
    readers = graph.consumers()
    subsumed = told_of(graph)
    told: set[str] = set()
    found: list[tuple[int, Finding]] = []
    for index, (op, verdict) in enumerate(zip(graph.ops, verdicts, strict=True)):
        broken = verdict.rule
        if broken is None or broken.id in told or op in subsumed:
            continue
        if broken.scope == "model":
            told.add(broken.id)
        cost = prediction.stranded_by.get(index, 0) + prediction.undecided_by.get(index, 0)
        finding = broken.finding(
            op=None if broken.scope == "model" else op.name,
            measured="; ".join(filter(None, (verdict.measured, _cost(prediction, index)))) or None,
            severity="info" if cost == 0 and _is_normal(graph, op, readers) else None,
            fix=verdict.fix,
            evidence=verdict.evidence,
        )
        found.append((cost, finding))
    return [finding for _, finding in sorted(found, key=lambda entry: -entry[0])]


def partition_findings(
    graph: Graph, verdicts: Sequence[Verdict], prediction: Prediction, *, all_partitions: bool
) -> Iterator[Finding]:
    """What is to be said of the partitions of a graph.

    Args:
        graph: A verified graph.
        verdicts: For each operator what the Edge TPU makes of it for itself.
        prediction: What follows from them.
        all_partitions: Whether the compiler is told to map every partition.
    """
    if all(fate.target == "cpu" for fate in prediction.fates):
        yield _nothing_mapped(verdicts)
    small = prediction.small_first
    if small is not None:
        cutting, op = verdicts[small.blocker], graph.ops[small.blocker]
        because = f"{op.kind} ({cutting.rule.id})" if cutting.rule else op.kind
        yield rule("small-first-partition").finding(
            op=op.name,
            measured=f"{'at worst ' if small.at_worst else ''}{_operators(small.mapped)} mapped, "
            f"{small.larger:,} in a later partition; cut by {because}",
            fix=_fix_of_cut(cutting),
        )
    sizes = prediction.partition_sizes
    if len(sizes) > 1:
        shown = ", ".join(map(str, sizes[:_LARGEST_LIST])) + (", ..." if len(sizes) > _LARGEST_LIST else "")
        yield rule("all-partitions").finding(
            measured=f"{len(sizes)} partitions of {shown} operators",
            severity="warning" if all_partitions else None,
        )


def _nothing_mapped(verdicts: Sequence[Verdict]) -> Finding:
    """That nothing is mapped; where one rule keeps every operator off, with its advice."""
    rules = {verdict.rule for verdict in verdicts if verdict.rule is not None}
    measured = f"0 of {_operators(len(verdicts))}"
    if len(rules) != 1:
        return rule("nothing-mapped").finding(measured=measured)
    (only,) = rules
    fixes = {verdict.fix or only.fix for verdict in verdicts}
    fix = fixes.pop() if len(fixes) == 1 else None
    return rule("nothing-mapped").finding(measured=f"{measured}, because of {only.id}", fix=fix)


def _fix_of_cut(cutting: Verdict) -> str:
    own = cutting.fix or (cutting.rule.fix if cutting.rule else "")
    return own or rule("small-first-partition").fix


def _cost(prediction: Prediction, index: int) -> str:
    """What else is kept off the Edge TPU, or left unknown, by an operator."""
    stranded, undecided = prediction.stranded_by.get(index, 0), prediction.undecided_by.get(index, 0)
    return ", ".join(
        filter(
            None,
            (
                f"strands {_operators(stranded)}" if stranded else "",
                f"leaves {_operators(undecided)} unknown" if undecided else "",
            ),
        )
    )


def _operators(count: int) -> str:
    return f"{count:,} operator{'' if count == 1 else 's'}"


def _is_normal(graph: Graph, op: Op, readers: dict[Tensor, list[Op]]) -> bool:
    """Whether the operator stays on the CPU in every model of its sort: float ends, and detection at the end."""
    if op.kind == "CUSTOM":
        return op.custom_code in rule_book().known_custom_operators
    if op.kind == "QUANTIZE":
        return op.inputs[0] in graph.inputs and op.inputs[0].is_float
    if op.kind == "DEQUANTIZE":
        following = [reader for tensor in op.outputs for reader in readers.get(tensor, [])]
        return all(reader.kind == "CUSTOM" for reader in following)
    return False
