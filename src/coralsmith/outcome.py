"""What came of a conversion: its verdict in plain words, and the records of its report."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

import numpy as np

from coralsmith import __version__
from coralsmith.compiler.locate import COMPILER_UNUSABLE, manual_command
from coralsmith.compiler.run import Compilation
from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.findings import Finding, gravest_first
from coralsmith.gate import EXCEEDED
from coralsmith.graph import Graph
from coralsmith.pipeline import VERIFICATION_IMAGES, Conversion
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.report.document import (
    CompilerRecord,
    ConversionReport,
    HeadRecord,
    LayerFidelity,
    OutputFidelity,
    QuantizationRecord,
    RepairRecord,
    SourceRecord,
    TensorScale,
    Verdict,
)
from coralsmith.report.explanation import (
    AttributionRecord,
    ClassErrorRecord,
    ExplanationRecord,
    LayerShareRecord,
)

NOT_COMPILED: Final = "int8 model ready, not compiled"


def build_report(run: Conversion) -> ConversionReport:
    """The report of a finished conversion."""
    source = run.imported.source
    comparison = run.comparison
    return ConversionReport(
        name=run.job.name,
        verdict=verdict(run),
        versions=_versions(run),
        source=SourceRecord(str(source.path), source.format, source.sha256, source.notes),
        recipe=run.recipe.model_dump(),
        head=None if run.head is None else _head(run.head),
        verification=None if run.imported.verification is None else run.imported.verification.to_json(),
        repairs=_repairs(run),
        quantization=_quantization(run),
        explanation=_explanation(run),
        check=run.check.document(),
        compiler=_compiler(run.compilation),
        agreement=None if comparison is None else comparison.agreement,
        accuracy=run.accuracy.record,
        samples=() if comparison is None else comparison.samples,
        stages=tuple(run.watch.records),
        files=tuple(run.folder.files),
        findings=tuple(gravest_first(run.findings)),
    )


def verdict(run: Conversion) -> Verdict:
    """What the user got, and the next step."""
    errors = [finding for finding in run.findings if finding.severity == "error"]
    if errors:
        return Verdict(
            "blocked",
            _blocked(errors[0], run),
            f"{errors[0].reason} ({len(errors)} in all.)" if len(errors) > 1 else errors[0].reason,
            errors[0].fix,
        )
    if run.compilation is not None and run.compilation.model is not None:
        return _compiled(run.compilation)
    check = run.check
    compared = "" if run.fidelity is None else " and was compared with the float model on the CPU"
    why = "as asked" if run.recipe.compiler == "none" else "since this machine has none"
    if any(finding.rule == COMPILER_UNUSABLE for finding in run.findings):
        why = "since the one on this machine does not answer"
    return Verdict(
        "int8-ready",
        NOT_COMPILED,
        f"The int8 model is complete{compared}. Prediction: {check.ops_edgetpu} of "
        f"{check.ops_total} operators will run on the Edge TPU{_tail(check.ops_cpu)}. "
        f"The Edge TPU compiler was not run, {why}.",
        "Compile it on a machine that has the compiler (x86-64 Linux):",
        manual_command(run.int8_path),
    )


def _blocked(error: Finding, run: Conversion) -> str:
    if error.rule == EXCEEDED:
        return "int8 model written, but outside the accuracy limit"
    if run.compilation is not None:
        return "The compiler did not accept the model"
    return "The Edge TPU compiler would refuse the model"


def _compiled(compilation: Compilation) -> Verdict:
    record = _compiler(compilation)
    assert compilation.model is not None, "only called for a compiled model"
    total = (record.mapped or 0) + (record.unmapped or 0)
    return Verdict(
        "compiled",
        f"Compiled: {record.mapped} of {total} operators run on the Edge TPU",
        f"edgetpu_compiler {record.version} wrote {compilation.model.name}{_tail(record.unmapped or 0)}."
        f"{_proved(compilation)}",
        f"Copy {compilation.model.name} and labels.txt to the device.",
    )


def _proved(compilation: Compilation) -> str:
    """How far it is proved that the compiled file was made from the int8 model."""
    return "".join(
        f" {origin.layers_exact} of its {origin.layers_total} layers were found in it to the bit."
        for origin in compilation.origins
    )


def _tail(cpu_operators: int) -> str:
    return "" if not cpu_operators else f", {cpu_operators} on the CPU"


def _versions(run: Conversion) -> dict[str, str]:
    return {
        "coralsmith": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ai-edge-litert": version("ai-edge-litert"),
        **run.imported.source.versions,
    }


def _head(head: DetectionHead) -> HeadRecord:
    return HeadRecord(
        head.input.size,
        describe_normalisation(head.input),
        head.boxes,
        head.scores,
        len(head.anchors),
        head.labels,
        head.evidence,
    )


def describe_normalisation(spec: InputSpec) -> str:
    """The normalisation as a formula."""
    if spec.mean is not None and spec.std is not None:
        return f"(pixel - {list(spec.mean)}) / {list(spec.std)}"
    return f"pixel * {spec.scale:.6g} {'-' if (spec.offset or 0) < 0 else '+'} {abs(spec.offset or 0):g}"


def _repairs(run: Conversion) -> tuple[RepairRecord, ...]:
    return tuple(
        RepairRecord(
            change.pass_name,
            change.reason,
            change.exact,
            tuple(f"{op.kind} {op.name}" for op in change.before),
            tuple(f"{op.kind} {op.name}" for op in change.after),
            change.worst_difference,
            change.sqnr,
        )
        for change in run.repaired.changes
    )


def _quantization(run: Conversion) -> QuantizationRecord:
    fidelity = run.fidelity
    options = QuantizationOptions() if run.quantized is None else run.quantized.options
    return QuantizationRecord(
        images=None if run.quantized is None else run.quantized.images,
        ranges=options.ranges,
        weights=options.weights,
        detection_ranges=options.detection_ranges,
        equalization=options.equalization,
        rounding=options.rounding,
        bias_correction=options.bias_correction,
        trials=() if run.quantized is None else run.quantized.trials,
        outputs=()
        if fidelity is None
        else tuple(OutputFidelity(n, s.sqnr_db, s.worst) for n, s in fidelity.outputs.items()),
        layers=()
        if fidelity is None
        else tuple(LayerFidelity(op.name, op.kind, total.sqnr_db) for op, total in fidelity.layers),
        tensors=_tensor_scales(run.final, run),
    )


def _explanation(run: Conversion) -> ExplanationRecord | None:
    found, shares = run.explanation, run.attribution
    if found is None:
        return None
    labels = run.head.labels if run.head is not None else ()
    return ExplanationRecord(
        VERIFICATION_IMAGES if run.images is None else min(VERIFICATION_IMAGES, len(run.images)),
        found.anchors,
        found.coordinates,
        tuple(
            ClassErrorRecord(labels[error.class_id], error.anchors, error.shift, error.mean)
            for error in found.classes
        ),
        found.tensors,
        None
        if shares is None
        else AttributionRecord(
            shares.images,
            shares.explained(),
            tuple(LayerShareRecord(op.name, op.kind, share) for op, share in shares.shares()),
        ),
    )


def _tensor_scales(graph: Graph, run: Conversion) -> tuple[TensorScale, ...]:
    ranges = {} if run.quantized is None else run.quantized.ranges
    scales = []
    for tensor in graph.tensors():
        if tensor.is_constant or tensor.quant is None:
            continue
        span = ranges.get(tensor.name) or ranges.get(tensor.name.removesuffix("_int8"))
        low, high = (None, None) if span is None else (span.low, span.high)
        zero_point = int(tensor.quant.zero_point[0])
        scales.append(TensorScale(tensor.name, tensor.shape, float(tensor.quant.scale[0]), zero_point, low, high))
    return tuple(scales)


def _compiler(compilation: Compilation | None) -> CompilerRecord:
    if compilation is None:
        return CompilerRecord(ran=False)
    result = compilation.result
    return CompilerRecord(
        ran=True,
        version=result.version,
        command=" ".join(compilation.command),
        mapped=result.mapped,
        unmapped=result.unmapped,
        on_chip_bytes=result.on_chip_used_bytes,
        streamed_bytes=result.streamed_bytes,
        operations=tuple((row.kind, row.count, row.status) for row in result.operations),
        where=compilation.compiler,
        attempts=compilation.attempts,
        origins=compilation.origins,
    )
