"""What `coralsmith compile` and `coralsmith doctor` say on standard output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coralsmith.report import wording
from coralsmith.report.terminal_parts import (
    can_show,
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
    from coralsmith.compiler.attempts import Attempt
    from coralsmith.compiler.run import Compilation
    from coralsmith.findings import Examination

_ORIGINS: Final = {
    "match": "made from this model",
    "mismatch": "made from another model",
    "unverified": "the others are not proved",
}
_STATES: Final = {"ok": ("✓", "ok", "green"), "fail": ("×", "x", "red"), "unknown": ("?", "?", "yellow")}


def print_compile(result: Compilation, *, verbose: bool = False, console: Console | None = None) -> None:
    """What the real compiler did, explained."""
    console = console or standard_output()
    log = result.result
    remembered = any(attempt.remembered and attempt.chosen for attempt in result.attempts)
    time = f"remembered from an earlier run of {wording.duration(result.seconds)}"
    time = time if remembered else wording.duration(result.seconds)
    version = f"edgetpu_compiler {log.version or 'of unknown version'}, {time}"
    where = f"{version}\nat {result.compiler}" if ":" in result.compiler else version
    if result.model is None:
        headline(console, "Not compiled", where, name="compile", colour="red")
    else:
        title = f"Compiled: {log.mapped} of {log.mapped + log.unmapped} operators run on the Edge TPU"
        headline(console, title, where, name=result.model.name, colour="green")
    if log.operations:
        operator_table(
            console,
            grouped(
                (row.kind, "edgetpu" if row.is_mapped else "cpu", row.status)
                for row in log.operations
                for _ in range(row.count)
            ),
        )
    _figures_of(console, result)
    attempts_table(console, result.attempts)
    findings(console, result.findings, verbose=verbose)
    if result.model is None:
        console.print(labelled(console, "\nCommand: ", " ".join(result.command)), soft_wrap=True)
    for model in result.models or filter(None, (result.model,)):
        console.print(labelled(console, "\nWritten: ", model), soft_wrap=True)


def attempts_table(console: Console, attempts: Sequence[Attempt]) -> None:
    """Every attempt to compile, where there was more than one."""
    if len(attempts) < 2:
        return
    console.print(Text("\nAttempts", "bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title, side in (("  #", "right"), ("Tried", "left"), ("Edge TPU", "right"), ("Parts", "right")):
        table.add_column(title, justify="right" if side == "right" else "left", overflow="fold")
    table.add_column("On chip", justify="right", overflow="fold")
    table.add_column("Time", justify="right", overflow="fold")
    table.add_column("Result", overflow="fold")
    for number, attempt in enumerate(attempts, 1):
        table.add_row(str(number), safe(console, attempt.title), *_figures(attempt), _end(console, attempt))
    console.print(table)


def print_examination(found: Examination, *, verbose: bool = False, console: Console | None = None) -> None:
    """One line for everything that was looked at, and under it what to do."""
    console = console or standard_output()
    well = "Everything that was looked at works" if found.is_well else "Something is missing or does not work"
    headline(console, well, "", name="doctor", colour="green" if found.is_well else "red")
    table = Table.grid(padding=(0, 1))
    for fact in found.facts:
        fancy, plain, colour = _STATES[fact.state]
        sign = Text(f"  {fancy if can_show(console, fancy) else plain}", colour)
        line = Text(f"{fact.part} {fact.name}: ", "bold").append_text(safe(console, fact.value))
        if fact.fix and (fact.state != "ok" or verbose):
            line.append("\n").append_text(safe(console, fact.fix, "dim"))
        table.add_row(sign, line)
    console.print(table)


def _figures_of(console: Console, result: Compilation) -> None:
    """Memory, and how far it is proved what the compiled file was made from."""
    log, rows = result.result, []
    if log.on_chip_used_bytes is not None:
        streamed = "" if log.streamed_bytes is None else f"{wording.size(log.streamed_bytes)} streamed"
        rows.append(("Parameters on chip", wording.size(log.on_chip_used_bytes), streamed))
    for origin in result.origins:
        exact = f"{origin.layers_exact} of {origin.layers_total}"
        rows.append(("Layers found in it to the bit", exact, _ORIGINS[origin.verdict]))
    if rows:
        console.print()
        pairs_table(console, rows)


def _figures(attempt: Attempt) -> tuple[str, str, str, str]:
    time = "from cache" if attempt.remembered else wording.duration(attempt.seconds)
    if not attempt.succeeded:
        return "", "", "", time
    parts = "" if attempt.partitions is None else str(attempt.partitions)
    memory = "" if attempt.on_chip_bytes is None else wording.size(attempt.on_chip_bytes)
    return f"{attempt.mapped} of {attempt.mapped + attempt.unmapped}", parts, memory, time


def _end(console: Console, attempt: Attempt) -> Text:
    if not attempt.succeeded:
        return safe(console, attempt.failure, "red")
    return Text("taken", "bold green") if attempt.chosen else Text("compiles", "green")
