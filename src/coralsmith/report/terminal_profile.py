"""What `coralsmith profile` says on standard output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coralsmith.report import wording
from coralsmith.report.profile_figures import by_kind, estimate_rows, processor_line, stage_rows
from coralsmith.report.terminal_parts import can_show, findings, headline, pairs_table, safe, standard_output

if TYPE_CHECKING:
    from coralsmith.runtime.profile_report import ProfileReport

_BAR: Final = 24


def print_profile(report: ProfileReport, *, verbose: bool = False, console: Console | None = None) -> None:
    """The stages of a detection, other numbers of threads, the slowest operators, and the estimate beside them."""
    console = console or standard_output()
    total = report.total_ms
    title = f"{wording.milliseconds(total.median)} ms a frame, {1000 / total.median:.0f} frames a second"
    headline(console, title, processor_line(report), name=report.model, colour="cyan")
    console.print(Text("\nStages, measured", "bold"))
    _bars(console, stage_rows(report.stages_ms, report.total_ms), ("", "median", "95 %"))
    if report.sweep:
        console.print(Text("\nThe model itself by CPU threads, measured", "bold"))
        rows = [(str(timing.threads), timing.invoke.median, timing.invoke.p95) for timing in report.sweep]
        _bars(console, rows, ("", "median", "95 %"))
    if report.cpu_ops:
        console.print(Text("\nOperators on the CPU, each measured alone", "bold"))
        pairs_table(console, _operators(report, verbose=verbose))
    if report.edgetpu_ms is not None:
        console.print(Text("\nThe compiled model on an Edge TPU, measured", "bold"))
        _bars(console, stage_rows(report.edgetpu_ms), ("", "median", "95 %"))
    if report.estimate_ms is not None:
        console.print(Text("\nOn an Edge TPU, estimated (not measured)", "bold"))
        pairs_table(console, estimate_rows(report.estimate_ms))
    findings(console, report.findings, verbose=verbose)


def _bars(console: Console, rows: list[tuple[str, float, float]], titles: tuple[str, str, str]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, title in enumerate(titles):
        table.add_column(f"  {title}" if number == 0 else title, justify="right" if number else "left")
    table.add_column("")
    longest = max(median for _, median, _ in rows) or 1.0
    block = "█" if can_show(console, "█") else "#"
    for name, median, p95 in rows:
        length = max(1, round(_BAR * median / longest))
        figures = (f"{wording.milliseconds(value)} ms" for value in (median, p95))
        table.add_row(safe(console, f"  {name}"), *figures, Text(block * length, "cyan"))
    console.print(table)


def _operators(report: ProfileReport, *, verbose: bool) -> Iterator[tuple[str, ...]]:
    if not verbose:
        for kind, count, milliseconds, share in by_kind(report.cpu_ops):
            yield (
                kind,
                f"{wording.milliseconds(milliseconds)} ms",
                f"{100 * share:.0f} %",
                wording.count(count, "operator"),
            )
        return
    total = sum(op.ms or 0.0 for op in report.cpu_ops) or 1.0
    for op in sorted(report.cpu_ops, key=lambda op: -(op.ms or 0.0)):
        time = wording.NOT_KNOWN if op.ms is None else f"{op.ms:.2f} ms"
        yield f"{op.kind} {op.index}", time, f"{100 * (op.ms or 0.0) / total:.0f} %", wording.short_name(op.name)
