"""Where the time of an inference goes, as `check --verbose` tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from coralsmith.report import wording
from coralsmith.report.terminal_parts import pairs_table, safe

if TYPE_CHECKING:
    from coralsmith.edgetpu.latency import Latency, LatencyParts

_PARTS: Final = {
    "overhead": ("Overhead", "of every inference"),
    "compute": ("Computation", ""),
    "transfers": ("Input and output", ""),
    "instructions": ("Instructions", "sent with every inference"),
    "streamed_parameters": ("Streamed parameters", "sent with every inference"),
    "cpu": ("CPU", ""),
}
_SHOWN: Final = 5


def print_latency(console: Console, latency: Latency) -> None:
    """The parts of the estimate over USB 3, the slowest operators, and what that rests on."""
    if latency.usb is not None:
        console.print(Text("\nWhere the time goes over USB 3", "bold"))
        pairs_table(console, _parts(latency.usb.parts))
        console.print(Text("\nSlowest operators", "bold"))
        pairs_table(
            console,
            (
                (f"{time.kind} {time.index}", f"{100 * time.share:.0f} %", wording.short_name(time.name))
                for time in latency.slowest[:_SHOWN]
            ),
        )
    console.print(safe(console, f"\n  Latency: {latency.evidence}.", "dim"))


def _parts(parts: LatencyParts) -> Iterator[tuple[str, ...]]:
    for name, (title, remark) in _PARTS.items():
        milliseconds = getattr(parts, name)
        if milliseconds:
            yield (
                title,
                f"{wording.milliseconds(milliseconds)} ms",
                f"{100 * milliseconds / parts.total:.0f} %",
                remark,
            )
