"""How the constants of ADD and of rescaling tie the scales of tensors, followed for many scales at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Columns = dict[int, Floats]
"""Scales of nodes, float32; row i of all columns belongs together."""

_LARGEST_TERM: Final = 32_767
_NEAR: Final = 2  # float32 steps around a computed scale; the roundings of a formula are no farther off


class Tie(Protocol):
    """What the instructions say of the scales of a few nodes; a node is a set of tensors with one scale."""

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes that are tied, in the order of the flow of data."""

    def extended(self, columns: Columns) -> Columns:
        """The rows that agree with the tie, with columns for all its nodes; at least one is there already."""


@dataclass(frozen=True)
class AddTie:
    """The scales of an ADD: of its operands in a ratio, of its output by a multiplier.

    Attributes:
        first: Node of the first operand.
        second: Node of the second operand.
        target: Node of the output.
        terms: What the operands are multiplied by.
        multiplier: What their sum is multiplied by.
    """

    first: int
    second: int
    target: int
    terms: tuple[int, int]
    multiplier: np.float32

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes that are tied."""
        return self.first, self.second, self.target

    def extended(self, columns: Columns) -> Columns:
        """See `Tie`."""
        first, second = self.terms
        if self.first not in columns and self.second not in columns:
            guess = columns[self.target].astype(np.float64) * self.multiplier * second
            columns = _with_near(columns, self.second, guess)
        if self.first not in columns:
            columns = _with_near(columns, self.first, columns[self.second].astype(np.float64) * first / second)
        elif self.second not in columns:
            columns = _with_near(columns, self.second, columns[self.first].astype(np.float64) * second / first)
        low, high = ratio_bounds(self.terms)
        quotient = columns[self.first].astype(np.float64) / columns[self.second]
        columns = _where(columns, (low < quotient) & (quotient < high))
        unit = columns[self.second] / np.float32(second)
        if self.target not in columns:
            columns = _with_near(columns, self.target, unit.astype(np.float64) / self.multiplier)
        unit = columns[self.second] / np.float32(second)
        return _where(columns, unit * (np.float32(1) / columns[self.target]) == self.multiplier)


@dataclass(frozen=True)
class RescalingTie:
    """The scales of an input of CONCATENATION and of its output, tied by a multiplier."""

    source: int
    target: int
    multiplier: np.float32

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes that are tied."""
        return self.source, self.target

    def extended(self, columns: Columns) -> Columns:
        """See `Tie`."""
        if self.source not in columns:
            guess = columns[self.target].astype(np.float64) * self.multiplier
            columns = _with_near(columns, self.source, guess)
        elif self.target not in columns:
            guess = columns[self.source].astype(np.float64) / self.multiplier
            columns = _with_near(columns, self.target, guess)
        product = columns[self.source] * (np.float32(1) / columns[self.target])
        return _where(columns, product == self.multiplier)


@dataclass(frozen=True)
class TiedGroup:
    """Nodes that hang together by ties.

    Attributes:
        nodes: In the order of the flow of data.
        ties: In that order too.
    """

    nodes: tuple[int, ...]
    ties: tuple[Tie, ...]

    def ties_from(self, base: int) -> Iterator[Tie]:
        """The ties in an order in which each has a node that an earlier one had, or the base."""
        reached, waiting = {base}, list(self.ties)
        while waiting:
            tie = next(tie for tie in waiting if reached & set(tie.nodes))
            waiting.remove(tie)
            reached.update(tie.nodes)
            yield tie


def tied_groups(ties: Sequence[Tie]) -> list[TiedGroup]:
    """The groups that ties make of nodes, in the order of the flow of data."""
    groups: list[tuple[set[int], list[Tie]]] = []
    for tie in ties:
        joined = [group for group in groups if group[0] & set(tie.nodes)]
        nodes = set(tie.nodes).union(*(group[0] for group in joined))
        groups = [group for group in groups if group not in joined]
        groups.append((nodes, [*chain.from_iterable(group[1] for group in joined), tie]))
    found = [TiedGroup(tuple(sorted(nodes)), tuple(members)) for nodes, members in groups]
    return sorted(found, key=lambda group: group.nodes)


def ratio_bounds(terms: tuple[int, int]) -> tuple[float, float]:
    """Between which numbers a fraction in lowest terms is the best one with terms up to 32,767.

    They lie halfway to the neighbours of the fraction in the Farey sequence.
    """
    smaller, larger = sorted(terms)
    value = Fraction(smaller, larger)
    inverse = pow(smaller, -1, larger) if larger > 1 else 0
    below, above = (_greatest(rest % larger, larger) for rest in (inverse, -inverse))
    low = (value + Fraction(smaller * below - 1, larger * below)) / 2
    higher = Fraction(smaller * above + 1, larger * above)
    if higher > 1:  # the term above the line is the greater one now
        higher = Fraction(_LARGEST_TERM, _LARGEST_TERM - 1)
    high = (value + higher) / 2
    if terms[0] <= terms[1]:
        return float(low), float(high)
    left, right = (1 / (2 * middle - value) for middle in (high, low))
    return float((1 / value + left) / 2), float((1 / value + right) / 2)


def _greatest(rest: int, step: int) -> int:
    """The greatest term that leaves `rest` when divided by `step`."""
    return _LARGEST_TERM - (_LARGEST_TERM - rest) % step


def stepped(values: Floats, steps: int | NDArray[np.int64]) -> Floats:
    """Positive float32 numbers, moved by a number of float32 steps."""
    moved: Floats = (
        (values.astype(np.float32).view(np.int32).astype(np.int64) + steps).astype(np.int32).view(np.float32)
    )
    return moved


def steps_outwards(farthest: int) -> Iterator[int]:
    """0, 1, -1, 2, -2 and so on."""
    yield 0
    for step in range(1, farthest + 1):
        yield from (step, -step)


def _with_near(columns: Columns, node: int, guess: NDArray[np.float64]) -> Columns:
    """Every row once for each of the float32 numbers around a guess at another node's scale."""
    nearest = guess.astype(np.float32)
    steps = list(steps_outwards(_NEAR))
    wider = {other: np.tile(values, len(steps)) for other, values in columns.items()}
    return {**wider, node: np.concatenate([stepped(nearest, step) for step in steps])}


def _where(columns: Columns, kept: NDArray[np.bool_]) -> Columns:
    return {node: values[kept] for node, values in columns.items()}
