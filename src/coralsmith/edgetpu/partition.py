"""How the compiler cuts a model into parts for the Edge TPU and the CPU, exactly.

Source: TFLite's partitioning of a graph into independent node subsets for a delegate, of which the compiler
maps the first supported one only (all of them with `--enable_multiple_subgraphs`). It follows the data, not the
order of the file: an operator is ready when whatever computes its inputs has been placed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coralsmith.graph.model import Graph


@dataclass(frozen=True)
class Subset:
    """Operators that run together.

    Attributes:
        supported: Whether the Edge TPU could take them.
        ops: Indices into `Graph.ops`, ascending.
    """

    supported: bool
    ops: tuple[int, ...]


def partition(graph: Graph, supported: Sequence[bool]) -> list[Subset]:
    """Cut a graph into subsets that run one after another.

    The first ready operator decides what the first subset is made of. Every ready operator of the same sort
    joins, which makes others ready, until none is left; whatever is ready then is of the other sort, so the
    sorts alternate.

    Args:
        graph: Operators in execution order, each value made by one operator.
        supported: For each operator whether the Edge TPU takes it.

    Returns:
        The subsets in execution order; together they hold every operator once.
    """
    waiting, readers = _dependencies(graph)
    ready: dict[bool, deque[int]] = {True: deque(), False: deque()}
    for index, count in enumerate(waiting):
        if count == 0:
            ready[supported[index]].append(index)
    subsets: list[Subset] = []
    first = next((index for index, count in enumerate(waiting) if count == 0), None)
    sort = first is not None and supported[first]
    while ready[sort]:
        members: list[int] = []
        while ready[sort]:
            index = ready[sort].popleft()
            members.append(index)
            for reader in readers[index]:
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    ready[supported[reader]].append(reader)
        subsets.append(Subset(sort, tuple(sorted(members))))
        sort = not sort
    return subsets


def mapped_operators(graph: Graph, supported: Sequence[bool | None]) -> list[bool | None]:
    """Whether each operator is in the first supported subset, where some operators may be of unknown support.

    The first operator of a graph is always ready, so it decides the sort of the first subset. Where its own
    support is unknown, both cases are looked at.

    Args:
        graph: Operators in execution order, each value made by one operator.
        supported: For each operator True, False, or None where it is not known.

    Returns:
        For each operator True or False where that holds whatever the unknown ones turn out to be, else None.
    """
    if not graph.ops:
        return []
    sources = sources_of(graph)
    if supported[0] is not None:
        return _mapped(sources, supported)
    cases = (_mapped(sources, [first, *supported[1:]]) for first in (True, False))
    return [one if one == other else None for one, other in zip(*cases, strict=True)]


def _mapped(sources: Sequence[set[int]], supported: Sequence[bool | None]) -> list[bool | None]:
    """As `mapped_operators`, with the first operator's support known.

    If it is unsupported, the unsupported operators behind nothing but such operators run first, on the CPU, and
    strand nobody. Mapped are the supported operators behind nothing but those and mapped ones.
    """
    leads: list[bool | None] = []  # runs on the CPU before the mapped subset
    in_time: list[bool | None] = []  # runs before or in the mapped subset
    mapped: list[bool | None] = []
    cpu_first = not supported[0]
    for own, before in zip(supported, sources, strict=True):
        behind_leading = _all(leads[source] for source in before) if cpu_first else False
        behind_mapped = _all(in_time[source] for source in before)
        leads.append(_all((_negation(own), behind_leading)))
        mapped.append(_all((own, behind_mapped)))
        undecided = behind_mapped if behind_mapped == behind_leading else None
        in_time.append(undecided if own is None else behind_mapped if own else behind_leading)
    return mapped


def sources_of(graph: Graph) -> list[set[int]]:
    """For each operator those whose outputs it reads."""
    producer = {tensor: index for index, op in enumerate(graph.ops) for tensor in op.outputs}
    return [{producer[tensor] for tensor in op.inputs if tensor in producer} for op in graph.ops]


def _dependencies(graph: Graph) -> tuple[list[int], list[list[int]]]:
    """For each operator how many operators it waits for, and which ones wait for it."""
    sources = sources_of(graph)
    readers: list[list[int]] = [[] for _ in graph.ops]
    for index, before in enumerate(sources):
        for source in before:
            readers[source].append(index)
    return [len(before) for before in sources], readers


def _all(values: Iterable[bool | None]) -> bool | None:
    """Conjunction of truth values of which some are unknown (Kleene's logic)."""
    unknown = False
    for value in values:
        if value is False:
            return False
        unknown = unknown or value is None
    return None if unknown else True


def _negation(value: bool | None) -> bool | None:
    return None if value is None else not value
