"""What the user should know about repairs, as findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from coralsmith.findings import Finding
from coralsmith.graph import Graph, Op
from coralsmith.repair.passes import Change, RepairPass
from coralsmith.repair.samples import EXACT_TOLERANCE, Difference

_MUL_EVIDENCE: Final = "reported by users: google-coral/edgetpu issues 288, 347, 377, 382, 460 and 685"
_WITHOUT_A_PLACE: Final = ("ELU", "GELU", "HARD_SWISH", "LEAKY_RELU")
_PRELU_EVIDENCE: Final = "documented: Coral, 'Edge TPU model requirements'; the runtime version from memory"


def advise(graph: Graph, changes: Sequence[Change]) -> list[Finding]:
    """Findings about a repaired graph.

    Args:
        graph: The graph after all repairs.
        changes: What was changed on the way.
    """
    inserted = _inserted(graph, changes)
    findings = []
    if inserted.get("MUL"):
        findings.append(_multiplications(inserted["MUL"]))
    if inserted.get("PRELU"):
        findings.append(_prelu(inserted["PRELU"]))
    approximate = {change.pass_name: change for change in changes if not change.exact}
    findings.extend(_approximated(change, changes) for change in approximate.values())
    findings.extend(_left(op) for op in graph.ops if op.kind in _WITHOUT_A_PLACE)
    return findings


def unproved(repair: RepairPass, reason: str) -> Finding:
    """The finding about a pass that was dropped."""
    return Finding(
        "repair-not-proved",
        "warning",
        f"The repair '{repair.name}' was dropped: {reason}. The model stays as it was in this respect.",
        fix="Report this as a bug of coralsmith, with the model if you may share it.",
        limit=f"{EXACT_TOLERANCE:g} of the output's range",
        evidence="measured on the CPU interpreter",
    )


def unprovable(reason: str) -> Finding:
    """The finding about a model that the interpreter cannot run."""
    return Finding(
        "repair-impossible",
        "warning",
        f"No repair was made, because none could be proved. {reason}",
        evidence="measured on the CPU interpreter",
    )


def unfinished(rounds: int) -> Finding:
    """The finding about passes that undo each other's work without end."""
    return Finding(
        "repair-unfinished",
        "warning",
        f"The repairs still changed the model after {rounds} rounds and were stopped; every change is proved.",
        fix="Report this as a bug of coralsmith, with the model if you may share it.",
        limit=f"{rounds} rounds",
        evidence="measured on the CPU interpreter",
    )


def disproof(repair: RepairPass, difference: Difference) -> str:
    """Why a pass with this effect on the outputs cannot be kept; empty where it can."""
    if difference.is_rounding or (not repair.exact and difference.worst < float("inf")):
        return ""
    return f"it changed an output by {difference.worst:.3g} of the output's range"


def _inserted(graph: Graph, changes: Sequence[Change]) -> dict[str, list[str]]:
    """Names of the operators in the final graph that repairs put there and that were of another kind before."""
    final = {(op.kind, op.name) for op in graph.ops}
    found: dict[str, list[str]] = {}
    for change in changes:
        old_kinds = {op.kind for op in change.before}
        for op in change.after:
            if op.kind not in old_kinds and op in final:
                found.setdefault(op.kind, []).append(op.name)
    return found


def _multiplications(names: list[str]) -> Finding:
    return Finding(
        "repair-inserted-mul",
        "warning",
        "Repairs inserted MUL operators. Users report that MUL on the Edge TPU can give other results than "
        "the int8 kernels of the CPU.",
        fix="Compare detections of the device with those of the CPU, or train with ReLU6 instead.",
        op=names[0],
        measured=f"{len(names)} MUL operators",
        evidence=_MUL_EVIDENCE,
    )


def _prelu(names: list[str]) -> Finding:
    return Finding(
        "repair-inserted-prelu",
        "info",
        "Leaky ReLU became PRELU with one constant slope per channel, which runtimes before 13 do not have.",
        fix="For an older runtime pass --min-runtime; another form is used then.",
        op=names[0],
        measured=f"{len(names)} PRELU operators",
        limit="Edge TPU runtime 13",
        evidence=_PRELU_EVIDENCE,
    )


def _approximated(change: Change, changes: Sequence[Change]) -> Finding:
    places = sum(other.pass_name == change.pass_name for other in changes)
    noise = "" if change.sqnr is None else f", {change.sqnr:.1f} dB"
    return Finding(
        "repair-approximate",
        "warning",
        f"The repair '{change.pass_name}' changed what the model computes in {places} places: {change.reason}.",
        fix="Evaluate the model on labelled images, or tune it; `--repair exact` leaves it out.",
        op=change.after[-1].name if change.after else None,
        measured=f"worst output difference {change.worst_difference or 0:.3g} of its range{noise}",
        evidence="measured on the CPU interpreter",
    )


def _left(op: Op) -> Finding:
    fix = "Repair the float model: this one is quantized already."
    if op.output.is_float:
        fix = "Pass `--repair approx` to put something near in its place, and evaluate the result."
    return Finding(
        "repair-left-activation",
        "warning",
        f"{op.kind} does not run on the Edge TPU, and no exact repair applied to it.",
        fix=fix,
        op=op.name,
        evidence="in compiler logs and documented: neither maps to the Edge TPU",
    )
