"""The part of the page that shows every attempt of the real compiler, where there was more than one."""

from __future__ import annotations

from coralsmith.compiler.attempts import Attempt
from coralsmith.report import wording
from coralsmith.report.document import ConversionReport
from coralsmith.report.html_elements import Markup, basis_chip, element, joined, row, section, table

_HEAD = ("Tried", "On Edge TPU", "Partitions", "On chip", "Time", "Result")


def attempts_section(report: ConversionReport) -> Markup | None:
    """The attempts as a table; None where the first one succeeded or there was none."""
    attempts = report.compiler.attempts
    if len(attempts) < 2:
        return None
    title = element("h3", "Attempts ", basis_chip("compiler"))
    rows = (_attempt(attempt) for attempt in attempts)
    shown = table(_HEAD, rows, caption="Every attempt to compile, in order")
    return section("attempts", "Compiling", joined(title, shown))


def _attempt(attempt: Attempt) -> Markup:
    memory = "" if attempt.on_chip_bytes is None else wording.size(attempt.on_chip_bytes)
    figures = ("", "", "")
    if attempt.succeeded:
        total = attempt.mapped + attempt.unmapped
        figures = (f"{attempt.mapped} of {total}", str(attempt.partitions or ""), memory)
    time = "from the cache" if attempt.remembered else wording.duration(attempt.seconds)
    end = ("taken" if attempt.chosen else "compiles") if attempt.succeeded else attempt.failure
    return row(
        element("th", attempt.title, scope="row"),
        *(element("td", figure, class_="figure") for figure in (*figures, time)),
        element("td", end),
    )
