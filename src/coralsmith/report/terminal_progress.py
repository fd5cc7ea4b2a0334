"""The course of a job on standard error: a live bar in a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as LiveDisplay
from rich.text import Text

from coralsmith.progress import Progress
from coralsmith.report.terminal_parts import can_show, safe
from coralsmith.report.wording import duration, printable

# A step that is over sooner and counted nothing only announced the next one.
_WORTH_A_LINE_S: Final = 0.05
_TITLE_WIDTH: Final = 34
_LOG_EVERY_S: Final = 10.0


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show progress on standard error as long as the block runs."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield LogProgress(sys.stderr)
        return
    with TerminalProgress(console) as progress:
        yield progress


class TerminalProgress:
    """A live line for the current step, and a line that stays for each one that is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        fancy = can_show(console, "⠋")
        self._live = LiveDisplay(
            SpinnerColumn("dots" if fancy else "line", style="cyan"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            _Count(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._done = ("✓", "×") if can_show(console, "✓×") else ("ok", "x ")
        self._task: TaskID | None = None
        self._title = ""
        self._start = 0.0
        self._counted = 0

    def __enter__(self) -> TerminalProgress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(failed=error is not None)
        self._live.stop()

    def step(self, title: str, total: int | None = None) -> None:
        """The previous step is done; show the next."""
        self._close(failed=False)
        self._title, self._start, self._counted = title, time.perf_counter(), 0
        self._task = self._live.add_task(safe(self._console, title).plain, total=total)

    def advance(self, units: int = 1) -> None:
        """Move the bar."""
        self._counted += units
        if self._task is not None:
            self._live.advance(self._task, units)

    def note(self, text: str) -> None:
        """Keep a line above the bar."""
        self._console.print(safe(self._console, f"  {text}", "dim"))

    def _close(self, *, failed: bool) -> None:
        """Replace the bar by a line that stays."""
        if self._task is None:
            return
        self._live.remove_task(self._task)
        self._task = None
        seconds = time.perf_counter() - self._start
        if failed or self._counted or seconds >= _WORTH_A_LINE_S:
            sign = (self._done[failed], "red" if failed else "green")
            title = safe(self._console, f" {self._title:<{_TITLE_WIDTH}} ")
            self._console.print(Text.assemble(sign, title, (f"{duration(seconds):>10}", "dim")))


class _Count(ProgressColumn):
    """How many units are done, where it is known how many there are."""

    def render(self, task: Task) -> Text:
        """The text of the column."""
        return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}", "cyan")


class LogProgress:
    """One line a step, with the seconds since the start; now and then one on how far a long step is."""

    def __init__(self, stream: TextIO, interval_s: float = _LOG_EVERY_S) -> None:
        self._stream = stream
        self._interval = interval_s
        self._start = time.perf_counter()
        self._title = ""
        self._total: int | None = None
        self._counted = 0
        self._said = self._start

    def step(self, title: str, total: int | None = None) -> None:
        """Say what begins."""
        self._title, self._total, self._counted = title, total, 0
        self._say(title)

    def advance(self, units: int = 1) -> None:
        """Count, and say how far it is if nothing was said for a while."""
        self._counted += units
        if time.perf_counter() - self._said >= self._interval:
            whole = "" if self._total is None else f" of {self._total}"
            self._say(f"{self._title}: {self._counted}{whole}")

    def note(self, text: str) -> None:
        """Say it."""
        self._say(f"  {text}")

    def _say(self, text: str) -> None:
        self._said = time.perf_counter()
        line = f"[{self._said - self._start:7.1f} s] {printable(text)}\n"
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()
