"""The numbers of a profile in the rows that terminal and HTML both show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from coralsmith.report import wording

if TYPE_CHECKING:
    from coralsmith.edgetpu.latency import Latency
    from coralsmith.runtime.operator_times import CpuOperatorTime
    from coralsmith.runtime.profile_report import ProfileReport, StageTimes, Timing


def processor_line(report: ProfileReport) -> str:
    """Where and how it was measured."""
    size = report.image_size
    images = "" if size is None else f", images of {size[1]} x {size[0]}"
    if report.device == "cpu":
        return f"on {report.processor}, {wording.count(report.threads, 'thread')}, {report.runs} runs{images}"
    return f"on the Edge TPU {report.device}, {report.runs} runs{images}"


def stage_rows(stages: StageTimes, total: Timing | None = None) -> list[tuple[str, float, float]]:
    """Name, median and 95th percentile of each stage in milliseconds, and of all together where that is given."""
    named = (("prepare the image", stages.pre), ("run the model", stages.invoke), ("read detections", stages.post))
    rows = [(name, timing.median, timing.p95) for name, timing in named if timing is not None]
    if total is not None and len(rows) > 1:
        rows.append(("all", total.median, total.p95))
    return rows


def by_kind(operators: Sequence[CpuOperatorTime]) -> list[tuple[str, int, float, float]]:
    """Kind, number of operators, their milliseconds and their share of all, the slowest kind first."""
    totals: dict[str, tuple[int, float]] = {}
    for op in operators:
        count, milliseconds = totals.get(op.kind, (0, 0.0))
        totals[op.kind] = (count + 1, milliseconds + (op.ms or 0.0))
    whole = sum(milliseconds for _, milliseconds in totals.values()) or 1.0
    rows = [(kind, count, milliseconds, milliseconds / whole) for kind, (count, milliseconds) in totals.items()]
    return sorted(rows, key=lambda row: -row[2])


def estimate_rows(latency: Latency) -> Iterator[tuple[str, str, str]]:
    """Device, estimate and band of each Edge TPU."""
    for bus, device in wording.DEVICES.items():
        estimate = getattr(latency, bus)
        if estimate is None:
            yield device, wording.NOT_KNOWN, ""
        else:
            band = wording.latency_band(estimate.low, estimate.high)
            yield device, f"{wording.milliseconds(estimate.estimate)} ms", band
