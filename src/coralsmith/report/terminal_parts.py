"""The pieces that all terminal output is made of; text of models and logs only ever gets there through `safe`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from coralsmith.findings import Finding, Severity
from coralsmith.report import wording
from coralsmith.report.grouping import FindingGroup, group_findings, places

_COLOURS: Final[dict[Severity, str]] = {"error": "red", "warning": "yellow", "info": "cyan"}
_TARGET_COLOURS: Final = {"edgetpu": "green", "cpu": "yellow", "unknown": "magenta"}
_TARGET_ORDER: Final = ("cpu", "unknown", "edgetpu")
_PLACES_SHOWN: Final = 3
_LONGEST_TEXT: Final = 2000  # a name in a hostile file may be as long as the file; wrapping it would take seconds


def standard_output() -> Console:
    """Where the commands speak to people; colours come from our own styles only."""
    return Console(highlight=False, emoji=False)


def safe(console: Console, text: object, style: str = "") -> Text:
    """Text that cannot act on the terminal, in characters that it has, and not without end."""
    encoding = console.encoding or "utf-8"
    whole = str(text)
    if len(whole) > _LONGEST_TEXT:
        text = f"{whole[:_LONGEST_TEXT]}... ({len(whole):,} characters)"
    return Text(wording.printable(text).encode(encoding, "backslashreplace").decode(encoding), style)


def can_show(console: Console, characters: str) -> bool:
    """Whether the terminal's encoding has these characters."""
    try:
        characters.encode(console.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def headline(console: Console, title: str, text: str, *, name: str, colour: str) -> None:
    """The result of a command, framed in its colour."""
    body = Text.assemble(safe(console, title, f"bold {colour}"))
    if text:
        body.append("\n").append_text(safe(console, text))
    shape = box.ROUNDED if can_show(console, "╭─") else box.ASCII
    console.print(Panel(body, title=safe(console, name), title_align="left", border_style=colour, box=shape))


def labelled(console: Console, label: str, text: object) -> Text:
    """A line that begins with a bold word."""
    return Text.assemble((label, "bold"), safe(console, text))


def pairs_table(console: Console, rows: Iterable[Sequence[str]]) -> None:
    """Names in front, values behind, remarks dimmed."""
    table = _grid(4)
    for name, value, *remarks in rows:
        cells = (safe(console, remark, "dim") for remark in remarks)
        table.add_row(safe(console, f"  {name}"), safe(console, value, "bold"), *cells)
    console.print(table)


def operator_table(console: Console, rows: Iterable[tuple[str, int, str, str]]) -> None:
    """Kind, count, target and status, like the compiler's own table."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("  Operator", overflow="fold")
    table.add_column("Count", justify="right", overflow="fold")
    table.add_column("Runs on", overflow="fold")
    table.add_column("Status", overflow="fold")
    for kind, amount, target, status in rows:
        colour = _TARGET_COLOURS[target]
        table.add_row(
            safe(console, f"  {kind}"),
            str(amount),
            Text(wording.TARGETS[target], colour),
            safe(console, status, "dim" if target == "edgetpu" else ""),
        )
    console.print(table)


def grouped(operators: Iterable[tuple[str, str, str]]) -> list[tuple[str, int, str, str]]:
    """Operators of the same kind, target and status as one row; what is not on the Edge TPU first."""
    counts = Counter(operators)
    rows = [(kind, amount, target, status) for (kind, target, status), amount in counts.items()]
    return sorted(rows, key=lambda row: (_TARGET_ORDER.index(row[2]), row[0]))


def findings(console: Console, found: Iterable[Finding], *, verbose: bool) -> None:
    """Errors and warnings in full; the rest only counted unless asked for."""
    groups = group_findings(found)
    for severity, members in groups.items():
        if not members:
            continue
        if severity == "info" and not verbose:
            amount = wording.count(sum(len(group.members) for group in members), "further finding")
            console.print(Text(f"\n{amount} worth knowing; --verbose tells.", "dim"))
            continue
        console.print(Text(f"\n{wording.SEVERITIES[severity]}", f"bold {_COLOURS[severity]}"))
        for group in members:
            console.print(_finding(console, group, verbose=verbose))


def _grid(columns: int) -> Table:
    """A table without lines that breaks long words instead of cutting them short."""
    grid = Table.grid(padding=(0, 2))
    for _ in range(columns):
        grid.add_column(overflow="fold")
    return grid


def _finding(console: Console, group: FindingGroup, *, verbose: bool) -> RenderableType:
    """The rule, the reason under it, then where, what to do and how that is known."""
    first = group.first
    times = f" ({len(group.members)} times)" if len(group.members) > 1 else ""
    found = places(group)
    shown = found if verbose else found[:_PLACES_SHOWN]
    more = [f"and {len(found) - len(shown)} more"] if len(found) > len(shown) else []
    remarks = _grid(2)
    for label, text in zip(("at", *("" for _ in found)), [*shown, *more], strict=False):
        remarks.add_row(Text(label, "dim"), safe(console, text, "dim"))
    if first.fix:
        remarks.add_row(Text("fix", "bold"), safe(console, first.fix))
    if verbose and first.evidence:
        remarks.add_row(Text("evidence", "dim"), safe(console, first.evidence, "dim"))
    return Group(
        safe(console, f"  {first.rule}{times}", _COLOURS[first.severity]),
        Padding(safe(console, first.reason), (0, 0, 0, 4), expand=False),
        Padding(remarks, (0, 0, 0, 4), expand=False),
    )
