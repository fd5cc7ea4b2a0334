"""What a repair is: a small pass over a graph that says what it changed and what it left alone, and why."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from coralsmith.graph import Graph, Op


class OpName(NamedTuple):
    """An operator as reports name it."""

    kind: str
    name: str

    @staticmethod
    def of(op: Op) -> OpName:
        """The name of `op`."""
        return OpName(op.custom_code or op.kind, op.name)


@dataclass(frozen=True)
class Change:
    """One place in the graph that a pass rewrote.

    Attributes:
        pass_name: The pass.
        before: The operators that were there; operators without further use go as well and are not listed.
        after: The operators in their place.
        reason: Why the rewriting may be applied.
        exact: Whether both forms compute the same real numbers.
        worst_difference: The largest difference of any graph output on the samples that the pass made, in parts
            of that output's range; None until measured.
        sqnr: The lowest signal-to-noise ratio of any graph output in dB; None where nothing changed it, as
            for every exact pass.
    """

    pass_name: str
    before: tuple[OpName, ...]
    after: tuple[OpName, ...]
    reason: str
    exact: bool = True
    worst_difference: float | None = None
    sqnr: float | None = None


@dataclass(frozen=True)
class Refusal:
    """One place that a pass looked at and left as it was.

    Attributes:
        pass_name: The pass.
        op: The operator it would have changed.
        reason: Why it did not.
    """

    pass_name: str
    op: OpName
    reason: str


@dataclass(frozen=True)
class RepairPass(ABC):
    """A rewriting of one kind; its fields are what it can be told.

    Attributes:
        name: Stable name in kebab-case.
        reason: Why it may be applied, as one sentence for the report.
        exact: Whether it keeps the real numbers that the graph computes.
    """

    name: ClassVar[str]
    reason: ClassVar[str]
    exact: ClassVar[bool] = True

    @abstractmethod
    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """Rewrite `graph` in place wherever the pass applies."""

    def change(self, before: Sequence[Op], after: Sequence[Op], reason: str = "") -> Change:
        """The record of one rewriting; `reason` where the pass's own does not say enough."""
        return Change(
            self.name,
            tuple(OpName.of(op) for op in before),
            tuple(OpName.of(op) for op in after),
            reason or self.reason,
            self.exact,
        )

    def refusal(self, op: Op, reason: str) -> Refusal:
        """The record of a place left alone."""
        return Refusal(self.name, OpName.of(op), reason)
