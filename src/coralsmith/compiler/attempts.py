"""The attempts to compile a model: a typed record of each, and which of them is the best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from coralsmith.compiler.outcome import Outcome

Step = Literal["plain", "min-runtime", "search", "cut", "subgraphs"]

_STEPS: Final[dict[Step, str]] = {
    "plain": "as asked",
    "min-runtime": "for runtime 13 and later",
    "search": "compiler's search",
    "cut": "cut",
    "subgraphs": "several partitions",
}


@dataclass(frozen=True)
class Attempt:
    """One attempt to compile, as it is shown to people and kept in the report.

    Attributes:
        step: What was tried.
        repetition: How often the same was tried before, since it may fail at random.
        arguments: The compiler's arguments.
        succeeded: Whether it gave compiled models.
        failure: The rule of the first error where not.
        operators: How many operators stood in front of the cut; None without a cut.
        mapped: Operators on the Edge TPU.
        unmapped: Operators left on the CPU.
        partitions: Edge TPU custom operators in the output; None where the compiler did not say.
        on_chip_bytes: Parameters cached on the chip.
        streamed_bytes: Parameters sent with every inference.
        seconds: Wall time; that of the first time for a remembered result.
        remembered: Whether the result came from the cache.
        chosen: Whether this is the result that was taken.
    """

    step: Step
    repetition: int
    arguments: tuple[str, ...]
    succeeded: bool
    failure: str
    operators: int | None
    mapped: int
    unmapped: int
    partitions: int | None
    on_chip_bytes: int | None
    streamed_bytes: int | None
    seconds: float
    remembered: bool
    chosen: bool = False

    @property
    def title(self) -> str:
        """What was tried, in a few words."""
        cut = "" if self.operators is None else f" after {self.operators}"
        return f"{_STEPS[self.step]}{cut}{', again' if self.repetition else ''}"


@dataclass(frozen=True)
class Trial:
    """An attempt with its results."""

    attempt: Attempt
    outcome: Outcome


def record(
    step: Step,
    repetition: int,
    arguments: tuple[str, ...],
    outcome: Outcome,
    *,
    operators: int | None,
    remembered: bool,
) -> Trial:
    """The record of an outcome."""
    result = outcome.result
    attempt = Attempt(
        step=step,
        repetition=repetition,
        arguments=arguments,
        succeeded=outcome.succeeded,
        failure=outcome.failure,
        operators=operators,
        mapped=result.mapped if outcome.succeeded else 0,
        unmapped=result.unmapped if outcome.succeeded else 0,
        partitions=result.subgraphs,
        on_chip_bytes=result.on_chip_used_bytes,
        streamed_bytes=result.streamed_bytes,
        seconds=round(outcome.seconds, 3),
        remembered=remembered,
    )
    return Trial(attempt, outcome)


def best(trials: Iterable[Trial], *, many_partitions: bool) -> Trial | None:
    """The best of the attempts that succeeded.

    One partition comes before several, unless the user asked for several; then most operators on the Edge TPU,
    then fewest parameters streamed, then most on the chip; of equals the first.
    """
    good = [trial for trial in trials if trial.attempt.succeeded]
    return max(good, key=lambda trial: _rank(trial.attempt, many_partitions), default=None)


def with_choice(trials: Iterable[Trial], chosen: Trial | None) -> tuple[Attempt, ...]:
    """The records, the chosen one marked."""
    return tuple(replace(trial.attempt, chosen=trial is chosen) for trial in trials)


def _rank(attempt: Attempt, many_partitions: bool) -> tuple[bool, int, int, int]:
    in_one = many_partitions or attempt.partitions in (None, 1)
    return (in_one, attempt.mapped, -(attempt.streamed_bytes or 0), attempt.on_chip_bytes or 0)
