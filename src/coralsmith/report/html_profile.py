"""A profile as an HTML file: stages, threads, operators and the estimate as bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from coralsmith.report import wording
from coralsmith.report.figures import Figure
from coralsmith.report.html_elements import (
    Markup,
    bar,
    basis_chip,
    details,
    element,
    joined,
    row,
    section,
    table,
    tensor_name,
)
from coralsmith.report.html_page import contents, figure_tiles, page
from coralsmith.report.profile_figures import by_kind, estimate_rows, processor_line, stage_rows

if TYPE_CHECKING:
    from coralsmith.runtime.profile_report import ProfileReport

_TITLES: Final = ("", "Median", "95 %", "Median beside the longest")


def render_profile(report: ProfileReport, version: str) -> str:
    """The profile as a self-contained HTML document.

    Args:
        report: The measurements.
        version: The version of coralsmith that made them.
    """
    sections = {
        "stages": section(
            "stages", "Stages", _measured(), _timings(stage_rows(report.stages_ms, report.total_ms), "Stages")
        ),
        "device": _on_edgetpu(report),
        "threads": _threads(report),
        "operators": _operators(report),
        "notes": _notes(report),
    }
    main = element(
        "main",
        element("h1", report.model),
        element("p", processor_line(report), class_="lead"),
        figure_tiles(_figures(report)),
        *sections.values(),
        id="report",
    )
    links = contents({name: name.capitalize() for name, content in sections.items() if content})
    return page(f"{report.model}: profile", "profile", version, links, main)


def _measured() -> Markup:
    return element("p", basis_chip("measured"))


def _figures(report: ProfileReport) -> Iterator[Figure]:
    total = report.total_ms
    yield Figure("A frame", f"{wording.milliseconds(total.median)} ms", "median, all stages", "measured")
    yield Figure("Frames a second", f"{1000 / total.median:.0f}", "one after the other", "measured")
    model = report.stages_ms.invoke
    yield Figure("The model itself", f"{wording.milliseconds(model.median)} ms", report.device, "measured")
    if report.estimate_ms is not None:
        for device, value, band in estimate_rows(report.estimate_ms):
            yield Figure(f"Edge TPU, {device}", value, band, "predicted")


def _timings(rows: list[tuple[str, float, float]], caption: str) -> Markup:
    longest = max(median for _, median, _ in rows) or 1.0
    lines = (
        row(
            element("th", name, scope="row"),
            element("td", f"{wording.milliseconds(median)} ms", class_="figure"),
            element("td", f"{wording.milliseconds(p95)} ms", class_="figure"),
            element("td", bar(median / longest)),
        )
        for name, median, p95 in rows
    )
    return table(_TITLES, lines, caption=caption)


def _on_edgetpu(report: ProfileReport) -> Markup | None:
    if report.edgetpu_ms is None:
        return None
    rows = _timings(stage_rows(report.edgetpu_ms), "Stages on an Edge TPU")
    return section("device", "The compiled model on an Edge TPU", _measured(), rows)


def _threads(report: ProfileReport) -> Markup | None:
    if not report.sweep:
        return None
    rows = [
        (wording.count(timing.threads, "thread"), timing.invoke.median, timing.invoke.p95)
        for timing in report.sweep
    ]
    return section("threads", "CPU threads", _measured(), _timings(rows, "CPU threads"))


def _operators(report: ProfileReport) -> Markup | None:
    if not report.cpu_ops:
        return None
    lead = "Each operator measured alone, with the values that it has inside the model."
    kinds = (
        row(
            element("th", element("code", kind), scope="row"),
            element("td", str(count), class_="figure"),
            element("td", f"{wording.milliseconds(milliseconds)} ms", class_="figure"),
            element("td", bar(share), f"{100 * share:.0f} %"),
        )
        for kind, count, milliseconds, share in by_kind(report.cpu_ops)
    )
    whole = sum(op.ms or 0.0 for op in report.cpu_ops)
    sentence = f"Together {wording.milliseconds(whole)} ms; the whole model {_whole(report)} ms."
    return section(
        "operators",
        "Operators on the CPU",
        _measured(),
        table(("Kind", "Count", "Time", "Share"), kinds, caption="Operators by kind"),
        element("p", sentence, class_="evidence"),
        details("Every operator", table(("#", "Kind", "Name", "Time"), _each(report), caption="Every operator")),
        lead=lead,
    )


def _whole(report: ProfileReport) -> str:
    return wording.milliseconds(report.stages_ms.invoke.median)


def _each(report: ProfileReport) -> Iterable[Markup]:
    for op in report.cpu_ops:
        time = wording.NOT_KNOWN if op.ms is None else f"{op.ms:.3f} ms"
        yield row(
            str(op.index), element("code", op.kind), tensor_name(op.name), element("td", time, class_="figure")
        )


def _notes(report: ProfileReport) -> Markup | None:
    if not report.findings and report.estimate_ms is None:
        return None
    notes = [element("p", finding.reason, " ", finding.fix) for finding in report.findings]
    if report.estimate_ms is not None:
        notes.append(element("p", f"Edge TPU: {report.estimate_ms.evidence}.", class_="evidence"))
    return section("notes", "Notes", joined(*notes))
