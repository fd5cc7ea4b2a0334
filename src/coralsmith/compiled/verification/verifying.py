"""Was this compiled from that? Every layer of a source is held against compiled files, bit for bit."""

from __future__ import annotations

import numpy as np

from coralsmith.compiled.integrity import integrity_findings
from coralsmith.compiled.verification.boundaries import boundary_findings
from coralsmith.compiled.verification.cpu_operators import cpu_operators, missing_operators
from coralsmith.compiled.verification.examination import Examination, Files
from coralsmith.compiled.verification.report import SCHEMA, VerifyReport
from coralsmith.compiled.verification.verdict import remaining_findings, verdict_findings, verdict_of
from coralsmith.findings import gravest_first
from coralsmith.graph.model import Graph


def verify_models(source: Graph, compiled: Files, *, name: str) -> VerifyReport:
    """Hold compiled files against the model they may have been made from.

    Args:
        source: The quantized model.
        compiled: The files; several are the segments of one model.
        name: What the source is called.

    Raises:
        InputError: A segment is missing.
        MalformedModelError: The instructions of a file cannot be those of a real model.
        UnsupportedModelError: The source has more layers than any real model.
    """
    on_cpu = cpu_operators(source, ((file, model.cpu_ops) for file, model in compiled))
    structure = [*boundary_findings(source, compiled, on_cpu)]
    for _, model in compiled:
        structure += (finding for finding in integrity_findings(model) if finding.severity == "error")
    with np.errstate(all="ignore"):  # a hostile model has scales whose products overflow
        examination = Examination(source, compiled, on_cpu)
    layers, others = examination.layers(), examination.other_ops()
    accounts = examination.accounts()
    missing = missing_operators(source, on_cpu)
    is_another = "mismatch" in {*(layer.status for layer in layers), *(other.status for other in others)}
    unexplained = [] if is_another else examination.unexplained  # they are those of the other model
    remaining = remaining_findings(missing, unexplained, examination.silent_ops())
    findings = gravest_first([*structure, *verdict_findings(layers, others, accounts, on_cpu), *remaining])
    verdict, text = verdict_of(layers, others, accounts, findings)
    counts = [layer.status for layer in layers]
    return VerifyReport(
        schema=SCHEMA,
        source=name,
        compiled=[file for file, _ in compiled],
        verdict=verdict,
        text=text,
        layers_total=len(layers),
        layers_exact=counts.count("exact"),
        layers_mismatched=counts.count("mismatch"),
        layers_unverified=counts.count("unverified"),
        layers=layers,
        other_ops=others,
        parameters=accounts,
        findings=findings,
    )
