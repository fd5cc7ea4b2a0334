"""What the commands say on standard output: compact, readable at 80 columns, with or without colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from coralsmith.report import wording
from coralsmith.report.figures import BASES, key_figures, memory_figure
from coralsmith.report.terminal_accuracy import gate_lines, ledger_table
from coralsmith.report.terminal_compiler import attempts_table
from coralsmith.report.terminal_latency import print_latency
from coralsmith.report.terminal_memory import activation_lines, layer_table, worth_changing
from coralsmith.report.terminal_parts import (
    findings,
    grouped,
    headline,
    labelled,
    operator_table,
    pairs_table,
    safe,
    standard_output,
)

if TYPE_CHECKING:
    from coralsmith.compat.report import CheckReport, OpFate
    from coralsmith.detection.head import DetectionHead
    from coralsmith.findings import Finding
    from coralsmith.report.document import ConversionReport, DetectionRecord, QuantizedFile, VerdictStatus

_COLOURS: Final[dict[VerdictStatus, str]] = {"compiled": "green", "int8-ready": "cyan", "blocked": "red"}
_LABELS_SHOWN: Final = 12
_DETECTIONS_SHOWN: Final = 10


def print_summary(
    report: ConversionReport, folder: Path, *, verbose: bool = False, console: Console | None = None
) -> None:
    """The result of a conversion: verdict, key figures, findings, files, next step."""
    console = console or standard_output()
    verdict = report.verdict
    headline(console, verdict.title, verdict.text, name=report.name, colour=_COLOURS[verdict.status])
    pairs_table(console, ((f.title, f.value, BASES[f.basis], f.detail) for f in key_figures(report)))
    if report.accuracy is not None:
        console.print()
        ledger_table(console, report.accuracy.ledger)
        if report.accuracy.gate is not None:
            gate_lines(console, report.accuracy.gate)
    attempts_table(console, report.compiler.attempts)
    findings(console, report.findings, verbose=verbose)
    if report.files:
        console.print(labelled(console, "\nWritten to ", folder))
        pairs_table(console, ((file.name, wording.size(file.bytes)) for file in report.files))
    if verdict.next_step:
        console.print(labelled(console, "\nNext: ", verdict.next_step))
    if verdict.command:
        console.print(safe(console, f"  {verdict.command}", "cyan"), soft_wrap=True)


def print_check(report: CheckReport, *, verbose: bool = False, console: Console | None = None) -> None:
    """Whether a model will run on the Edge TPU: the prediction, what blocks it, operators by kind, memory."""
    console = console or standard_output()
    title, text, colour = _prediction(report)
    headline(console, title, text, name=Path(report.model).name, colour=colour)
    operator_table(console, grouped((op.kind, op.target, _status(op)) for op in report.ops))
    console.print()
    pairs_table(console, (*_chip_lines(report), *activation_lines(report)))
    worth_changing(console, report.findings)
    if verbose:
        print_latency(console, report.latency_ms)
        layer_table(console, report.parameters.layers)
    findings(console, report.findings, verbose=verbose)


def print_quantized(result: QuantizedFile, *, verbose: bool = False, console: Console | None = None) -> None:
    """The int8 file, what it was calibrated with, what it consists of."""
    console = console or standard_output()
    text = f"{wording.size(result.bytes)}, calibrated with {wording.count(result.images, 'image')}"
    headline(console, "int8 model written", text, name=str(result.output), colour="green")
    if verbose:
        pairs_table(console, ((kind, str(amount)) for kind, amount in sorted(result.operators.items())))
    findings(console, result.findings, verbose=verbose)


def print_head(
    head: DetectionHead,
    found: Sequence[Finding] = (),
    *,
    verbose: bool = False,
    console: Console | None = None,
) -> None:
    """A detection head: what it is, on what evidence, and what was found wrong with it."""
    console = console or standard_output()
    coder, score, nms = head.box_coder, head.score, head.nms
    shown = head.labels if verbose else head.labels[:_LABELS_SHOWN]
    more = f" and {len(head.labels) - len(shown)} more" if len(shown) < len(head.labels) else ""
    height, width = head.input.size
    low, high = head.input.real_range()
    background = "none" if score.background is None else f"column {score.background}"
    rows = [
        ("Input", f"{width}x{height} pixels", f"{low:g} to {high:g}, {head.input.resize}"),
        ("Boxes", head.boxes, f"{coder.order}, scales {', '.join(f'{scale:g}' for scale in coder.scales)}"),
        ("Scores", head.scores, f"{score.activation}, background {background}"),
        ("Suppression", f"IoU {nms.iou:g}", f"score {nms.score:g}, at most {nms.max_detections} detections"),
    ]
    text = f"{wording.count(len(head.labels), 'label')}, {wording.count(len(head.anchors), 'anchor')}"
    headline(console, "Detection head", text, name="head", colour="cyan")
    pairs_table(console, rows)
    console.print(labelled(console, "\nLabels: ", ", ".join(shown) + more))
    console.print(Text("\nEvidence", "bold"))
    for clause in head.evidence.split("; "):
        console.print(Padding(safe(console, clause, "dim"), (0, 0, 0, 2), expand=False))
    findings(console, found, verbose=verbose)


def print_detections(
    found: Mapping[str, Sequence[DetectionRecord]],
    drawn: Path | None,
    *,
    verbose: bool = False,
    console: Console | None = None,
) -> None:
    """The detections of each image, best first; the first few unless all are asked for."""
    console = console or standard_output()
    for path, detections in found.items():
        console.print(safe(console, path, "bold"), soft_wrap=True)
        if not detections:
            console.print(Text("  nothing", "dim"))
        shown = detections if verbose else detections[:_DETECTIONS_SHOWN]
        boxes = (", ".join(f"{edge:.3f}" for edge in detection.box) for detection in shown)
        pairs_table(
            console, ((d.label, f"{d.score:.2f}", f"box {box}") for d, box in zip(shown, boxes, strict=True))
        )
        if len(shown) < len(detections):
            console.print(Text(f"  and {len(detections) - len(shown)} more; --verbose tells.", "dim"))
    if drawn is not None:
        console.print(labelled(console, "Pictures: ", drawn), soft_wrap=True)


def _prediction(report: CheckReport) -> tuple[str, str, str]:
    """Title, text and colour of the verdict of a check."""
    mapped = f"{report.ops_edgetpu} of {report.ops_total} operators"
    stranded = f" ({report.ops_stranded} only because of others)" if report.ops_stranded else ""
    counts = [f"{report.ops_cpu or 'none'} on the CPU{stranded}"]
    if report.ops_unknown:
        counts.append(f"{report.ops_unknown} unknown")
    if report.is_refused and report.ops_edgetpu:
        counts.insert(0, f"once that is mended, {mapped} run on it")
    if not report.is_refused:
        counts.append(wording.count(report.partitions, "Edge TPU partition"))
    if report.all_partitions.asked:
        counts.append("all of them mapped (-a)")
    if report.maps_nothing:
        title, colour = "nothing of this model runs on the Edge TPU as it is", "red"
    elif report.is_refused:
        title, colour = "the Edge TPU compiler would refuse this model", "red"
    else:
        title = f"{mapped} run on the Edge TPU"
        colour = "green" if report.ops_cpu + report.ops_unknown == 0 else "cyan"
    return f"Prediction: {title}", ", ".join(counts), colour


def _status(op: OpFate) -> str:
    """The compiler's words; where they are not known, why not."""
    if op.target != "unknown":
        return op.status
    return "depends on one that is unknown" if op.rule == "more-than-one-subgraph" else f"see {op.rule}"


def _chip_lines(report: CheckReport) -> Iterator[tuple[str, ...]]:
    document = report.document()
    figure = memory_figure(document)
    yield (figure.title, figure.value, BASES[figure.basis], figure.detail)
    for bus, name in wording.DEVICES.items():
        latency = document["latency_ms"][bus]
        if latency is not None:
            band = wording.latency_band(latency["low"], latency["high"])
            yield (
                f"Latency ({name})",
                f"{wording.milliseconds(latency['estimate'])} ms",
                BASES["predicted"],
                band,
            )
