"""How long steps tell that they are alive: one reporter interface, silent unless the caller gives another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Progress(Protocol):
    """Receives the course of a job; a terminal, a log and a test each show it in their own way."""

    def step(self, title: str, total: int | None = None) -> None:
        """A new step begins; `total` is its number of units where that is known."""

    def advance(self, units: int = 1) -> None:
        """Some units of the current step are done."""

    def note(self, text: str) -> None:
        """One line worth telling while the step goes on."""


class SilentProgress:
    """The reporter of a library: says nothing."""

    def step(self, title: str, total: int | None = None) -> None:
        """Do nothing."""

    def advance(self, units: int = 1) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


SILENT: Progress = SilentProgress()


def track(items: Iterable[Item], progress: Progress) -> Iterator[Item]:
    """Yield the items and advance the reporter by one after each."""
    for item in items:
        yield item
        progress.advance()
