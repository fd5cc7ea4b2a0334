"""The verdict on compiled files as a whole, in plain words, and what there is to say of each operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from coralsmith.compiled.verification.cpu_operators import CpuOperator
from coralsmith.compiled.verification.report import (
    ORDER,
    Difference,
    LayerVerdict,
    OperatorVerdict,
    ParameterAccount,
    Verdict,
)
from coralsmith.compiled.verification.rules import verification_rule
from coralsmith.findings import Finding, has_errors
from coralsmith.graph.model import Op

UNEXPLAINED: Final = "unexplained"


def verdict_of(
    layers: Sequence[LayerVerdict],
    others: Sequence[OperatorVerdict],
    accounts: Sequence[ParameterAccount],
    findings: Sequence[Finding],
) -> tuple[Verdict, str]:
    """The verdict, and what sort of difference there is in plain words."""
    if has_errors(list(findings)):
        return "mismatch", _sort_of_difference(layers, others)
    unsettled = [layer for layer in layers if layer.status != "exact"]
    if unsettled:
        return (
            "unverified",
            f"Nothing contradicts, but {len(unsettled)} of {_count(layers)} could not be verified.",
        )
    if any(other.status != "exact" for other in others):
        return "unverified", "Every layer is exact, but operators without weights could not be verified."
    unexplained = sum(r.bytes for account in accounts for r in account.remainders if r.what == UNEXPLAINED)
    if unexplained:
        return "unverified", f"Every layer is exact, but {unexplained:,} bytes of parameters belong to none."
    if any(finding.severity == "warning" for finding in findings):
        return "unverified", "Every layer is exact, but something around them could not be verified."
    if not layers:
        return "unverified", "The source has no layers with weights that could be compared."
    what = f"all {_count(layers)} are" if len(layers) > 1 else "its one layer is"
    return "match", f"Compiled from this source: {what} in it, bit for bit."


def _sort_of_difference(layers: Sequence[LayerVerdict], others: Sequence[OperatorVerdict]) -> str:
    differing = [layer for layer in layers if layer.status == "mismatch"]
    changed = [layer for layer in differing if any(d.what == "weights" for d in layer.differences)]
    strangers = [layer for layer in differing if layer.program is None]
    if strangers and not any(layer.status == "exact" for layer in layers):
        return "Another model: none of the source's layers is in the compiled file, and their sizes do not fit."
    moved = [layer for layer in differing if any(d.what == ORDER for d in layer.differences)]
    if strangers:
        return f"Another architecture: no place in the compiled file for {len(strangers)} of {_count(layers)}."
    if changed:
        cause = "another training, or weights that were quantized otherwise"
        return f"The weights of {len(changed)} of {_count(layers)} differ: {cause}."
    if moved:
        return f"The parameters are the same, but {len(moved)} of {_count(layers)} run at another point."
    if differing:
        of_all = f"{len(differing)} of {_count(layers)}"
        cause = "exported again with other ranges (calibrated on other images)"
        return f"The weights are the same, but the quantization of {of_all} differs: {cause}."
    if any(other.status == "mismatch" for other in others):
        return "The layers are the same, but operators without weights have other constants."
    if all(layer.status == "exact" for layer in layers):
        return "The layers are the same, but what lies around them differs."
    return "No layer is proved to differ, but what lies around them does."


def verdict_findings(
    layers: Sequence[LayerVerdict],
    others: Sequence[OperatorVerdict],
    accounts: Sequence[ParameterAccount],
    on_cpu: Sequence[CpuOperator],
) -> Iterator[Finding]:
    """What differs, what could not be verified, what belongs to no layer."""
    for layer in layers:
        yield from _of_operator(layer, "layer")
    for other in others:
        yield from _of_operator(other, "operator")
    for op in on_cpu:
        yield from _of_cpu_operator(op)
    for account in accounts:
        yield from _of_account(account)


def remaining_findings(
    missing: Sequence[Op], unexplained: Sequence[tuple[str, Sequence[int]]], silent: Sequence[Op]
) -> Iterator[Finding]:
    """What has no counterpart in the other file.

    Args:
        missing: Operators of the source that no file has on the CPU, where they would have to be.
        unexplained: For each program its file and the bundles of constants that belong to no operator.
        silent: Operators of the source of which nothing shows in a program.
    """
    for op in missing:
        yield verification_rule("cpu-operator-missing").finding(op=op.name, measured=op.custom_code or op.kind)
    for file, bundles in unexplained:
        if bundles:
            places = f"{len(bundles)} place{'' if len(bundles) == 1 else 's'}"
            measured = f"{places} in {Path(file).name}, the first in bundle {bundles[0]:,}"
            yield verification_rule("constants-unexplained").finding(measured=measured)
    if silent:
        kinds = [f"{count} {kind}" for kind, count in Counter(op.kind for op in silent).items()]
        yield verification_rule("not-compared").finding(measured=", ".join(kinds))


def _of_operator(verdict: LayerVerdict | OperatorVerdict, sort: str) -> Iterator[Finding]:
    first = verdict.differences[0] if verdict.differences else None
    if verdict.status == "mismatch":
        measured = verdict.reason if first is None else in_words(first)
        finding = verification_rule(f"{sort}-mismatch").finding(op=verdict.name, measured=measured)
        yield _with_limit(finding, first)
    elif verdict.status == "unverified":
        yield verification_rule(f"{sort}-unverified").finding(op=verdict.name, measured=verdict.reason)


def _of_cpu_operator(op: CpuOperator) -> Iterator[Finding]:
    if op.index is None:
        measured = f"{op.op.custom_code or op.op.kind} in {Path(op.file).name}"
        yield verification_rule("cpu-operator-added").finding(op=op.op.name, measured=measured)
    elif op.differences:
        first = op.differences[0]
        finding = verification_rule("cpu-operator-mismatch").finding(op=op.op.name, measured=in_words(first))
        yield _with_limit(finding, first)


def _with_limit(finding: Finding, difference: Difference | None) -> Finding:
    return finding if difference is None else replace(finding, limit=f"{difference.expected} in the source")


def _of_account(account: ParameterAccount) -> Iterator[Finding]:
    file = Path(account.file).name
    for remainder in account.remainders:
        where = f"{remainder.bytes:,} bytes at {remainder.offset:,} of {account.program} in {file}"
        if remainder.what == UNEXPLAINED:
            yield verification_rule("parameters-unexplained").finding(measured=where)
        else:
            yield verification_rule("parameters-added").finding(measured=f"{remainder.what}: {where}")


def in_words(difference: Difference) -> str:
    """What differs, where, and the value found."""
    places = (
        ("channel", difference.channel),
        ("tap", difference.tap),
        ("input channel", difference.input_channel),
    )
    where = ", ".join(f"{name} {place}" for name, place in places if place is not None)
    more = f" ({difference.count:,} in all)" if difference.count > 1 else ""
    return f"{difference.what}{f' at {where}' if where else ''}: {difference.found}{more}"


def _count(layers: Sequence[LayerVerdict]) -> str:
    return f"{len(layers)} layer{'' if len(layers) == 1 else 's'}"
