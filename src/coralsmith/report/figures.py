"""The key figures of a conversion: a handful of numbers, each with what it rests on.

Terminal and HTML show the same figures; a prediction is never mixed up with a measurement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from coralsmith.edgetpu.memory import ON_CHIP_BYTES
from coralsmith.report import wording

if TYPE_CHECKING:
    from coralsmith.report.document import ConversionReport

Basis = Literal["measured", "predicted", "compiler"]

BASES: Final[dict[Basis, str]] = {
    "measured": "measured",
    "predicted": "prediction",
    "compiler": "compiler",
}


# Uncertain bytes are told where they are more than this share of the others; a softmax's are not.
_NOTABLE_SHARE: Final = 0.1

# With large inputs the least room is less than this share of the usual one.
_LARGE_INPUTS: Final = 0.9


@dataclass(frozen=True)
class Figure:
    """One number of the summary.

    Attributes:
        title: What it is.
        value: The number with its unit.
        detail: What it refers to; may be empty.
        basis: What it rests on.
    """

    title: str
    value: str
    detail: str
    basis: Basis


def key_figures(report: ConversionReport) -> tuple[Figure, ...]:
    """The figures that the records of a report can fill, most important first."""
    makers = (_operators, _memory, _latency, _accuracy, _fidelity, _agreement, _model_file, _time)
    return tuple(figure for maker in makers for figure in maker(report))


def memory_figure(check: dict[str, Any]) -> Figure:
    """Parameter memory as `coralsmith check` predicts it."""
    parameters = check["parameters"]
    cached, streamed = parameters["on_chip_bytes"], parameters["streamed_bytes"]
    left_out = "; unknown operators not counted" if check["ops_unknown"] else ""
    if cached is None:
        band = wording.size_band(parameters["low"], parameters["high"])
        most = wording.size(parameters["streamed_high"])
        detail = f"all on the chip, or up to {most} streamed: not known{left_out}"
        return Figure("Parameters", band, detail, "predicted")
    low, high = parameters["streamed_low"], parameters["streamed_high"]
    between = f" ({wording.size_band(low, high)})" if low < high else ""
    uncertain = parameters["high"] - parameters["low"]
    told = uncertain if uncertain > _NOTABLE_SHARE * cached else 0
    detail = _memory_detail(streamed, parameters["room"]) + between + left_out
    return Figure("Parameters on chip", wording.size_band(cached, cached + told), detail, "predicted")


def _memory_detail(streamed: int | None, room: int = ON_CHIP_BYTES) -> str:
    """What is streamed, and how much there is room for; with large inputs there may be clearly less than usual."""
    least, usual = room / (1 << 20), ON_CHIP_BYTES / (1 << 20)
    known = f"~{usual:.1f}" if least > _LARGE_INPUTS * usual else f"{least:.1f} to {usual:.1f}"
    return f"of {known} MiB, {wording.size(streamed) if streamed else 'none'} streamed"


def _operators(report: ConversionReport) -> Iterator[Figure]:
    compiler, check = report.compiler, report.check
    if compiler.mapped is not None and compiler.unmapped is not None and compiler.mapped + compiler.unmapped:
        total = compiler.mapped + compiler.unmapped
        detail = f"{compiler.unmapped} on the CPU" if compiler.unmapped else "none on the CPU"
        yield Figure("Operators on Edge TPU", f"{compiler.mapped} of {total}", detail, "compiler")
    else:
        parts = [f"{check['ops_cpu']} on the CPU" if check["ops_cpu"] else "none on the CPU"]
        parts += [f"{check['ops_unknown']} unknown"] if check["ops_unknown"] else []
        value = f"{check['ops_edgetpu']} of {check['ops_total']}"
        yield Figure("Operators on Edge TPU", value, ", ".join(parts), "predicted")


def _memory(report: ConversionReport) -> Iterator[Figure]:
    compiler = report.compiler
    if compiler.on_chip_bytes is not None:
        detail = _memory_detail(compiler.streamed_bytes)
        yield Figure("Parameters on chip", wording.size(compiler.on_chip_bytes), detail, "compiler")
    else:
        yield memory_figure(report.check)


def _latency(report: ConversionReport) -> Iterator[Figure]:
    usb = report.check["latency_ms"]["usb"]
    if usb:
        detail = f"{wording.latency_band(usb['low'], usb['high'])} over USB 3"
        yield Figure("Latency", f"{wording.milliseconds(usb['estimate'])} ms", detail, "predicted")


def _accuracy(report: ConversionReport) -> Iterator[Figure]:
    if report.accuracy is None:
        return
    last, images = report.accuracy.ledger[-1], wording.count(report.accuracy.images, "image")
    if last.drop is None:
        yield Figure("AP", wording.precision(last.ap), f"on {images}", "measured")
        return
    detail = f"{wording.drop_interval(last.drop_interval)}; AP {wording.precision(last.ap)} on {images}"
    yield Figure("AP lost in int8", wording.drop(last.drop), detail, "measured")


def _fidelity(report: ConversionReport) -> Iterator[Figure]:
    outputs = report.quantization.outputs
    if outputs:
        worst = min(outputs, key=lambda output: output.sqnr_db)
        detail = "SQNR of the output" if len(outputs) == 1 else f"lowest SQNR of {len(outputs)} outputs"
        yield Figure("int8 against float", wording.decibels(worst.sqnr_db), detail, "measured")


def _agreement(report: ConversionReport) -> Iterator[Figure]:
    agreement = report.agreement
    if agreement is not None:
        found = f"{agreement.matched} of {agreement.float_detections}"
        detail = f"on {wording.count(agreement.images, 'image')}, IoU at least {agreement.iou:g}"
        yield Figure("Detections found again", found, detail, "measured")


def _model_file(report: ConversionReport) -> Iterator[Figure]:
    ending = "_int8_edgetpu.tflite" if report.verdict.status == "compiled" else "_int8.tflite"
    for file in report.files:
        if file.name.endswith(ending):
            yield Figure("Model file", wording.size(file.bytes), file.name, "measured")
            return


def _time(report: ConversionReport) -> Iterator[Figure]:
    if report.stages:
        peaks = [stage.peak_megabytes for stage in report.stages if stage.peak_megabytes is not None]
        detail = f"at most {wording.size(max(peaks) * (1 << 20))} of memory" if peaks else ""
        yield Figure("Time", wording.duration(sum(stage.seconds for stage in report.stages)), detail, "measured")
