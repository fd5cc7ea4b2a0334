"""Whether what the compiler wrote was made from the model that went in: proved by layer before it is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from coralsmith.compiled.package import CompiledModel
from coralsmith.compiled.verification import verify_models
from coralsmith.compiled.verification.report import Verdict
from coralsmith.errors import CoralsmithError
from coralsmith.findings import Finding
from coralsmith.graph.model import Graph

Files = Sequence[tuple[str, CompiledModel]]
"""Name and content of each compiled file."""


@dataclass(frozen=True)
class Origin:
    """How far it is proved that compiled files were made from their source.

    Attributes:
        verdict: "match": every layer is proved; "mismatch": a layer is proved to be another one; "unverified".
        layers_exact: Layers found in the compiled files, to the bit.
        layers_total: Layers of the source: convolutions, depthwise convolutions, dense layers.
        findings: Why the files are not to be taken (errors), or what stays unproved (infos).
    """

    verdict: Verdict
    layers_exact: int
    layers_total: int
    findings: tuple[Finding, ...] = field(default=(), repr=False)


Verifier = Callable[[Graph, Files], Origin]


def prove_origin(source: Graph, compiled: Files) -> Origin:
    """Hold compiled files against the model that they should have been made from.

    Args:
        source: The full-integer model.
        compiled: The compiled file, or all segments of the model.

    Returns:
        The proof. A layer that can be neither proved nor disproved is no reason to refuse a file, since how the
        compiler writes is not known in every corner.
    """
    try:
        report = verify_models(source, list(compiled), name="the model")
    except CoralsmithError as error:
        return Origin("unverified", 0, 0, (_unproved(error.message),))
    exact, total = report.layers_exact, report.layers_total
    if report.verdict == "mismatch":
        errors = tuple(finding for finding in report.findings if finding.severity == "error")
        return Origin("mismatch", exact, total, errors)
    if report.verdict == "match":
        return Origin("match", exact, total)
    return Origin("unverified", exact, total, (_unproved(f"{exact} of {total} layers were found to the bit"),))


def _unproved(what: str) -> Finding:
    return Finding(
        "origin-unproved",
        "info",
        f"That the compiled model was made from this one is not proved for every layer: {what}.",
        "coralsmith verify shows every layer.",
        evidence="compiler output: this run and its files",
    )
