"""How the compiler cuts a model into parts for the Edge TPU and the CPU, exactly.

Source: TFLite's partitioning of a graph into independent node subsets for a delegate, of which the compiler
maps the first supported one only (all of them with `--enable_multiple_subgraphs`). It follows the data, not the
order of the file: an operator is ready when whatever computes its inputs has been placed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coralsmith.graph.model import Graph, Tensor


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

    The first operator of a graph is always ready, so it decides the sort of the first subset. If it is
    unsupported, the unsupported operators behind nothing but such operators run first, on the CPU. Mapped are
    the supported operators behind nothing but those and mapped ones.

    Args:
        graph: Operators in execution order, each value made by one operator.
        supported: For each operator True, False, or None where it is not known.

    Returns:
        For each operator True or False where that holds whatever the unknown ones turn out to be, else None.
    """
    producer = _producers(graph)
    leading: list[bool | None] = []
    mapped: list[bool | None] = []
    for index, op in enumerate(graph.ops):
        sources = {producer[tensor] for tensor in op.inputs if tensor is not None and tensor in producer}
        cpu_first, on_cpu = _negation(supported[0]), _negation(supported[index])
        leading.append(_all((cpu_first, on_cpu, *(leading[source] for source in sources))))
        reached = (_either(leading[source], mapped[source]) for source in sources)
        mapped.append(_all((supported[index], *reached)))
    return mapped


def _dependencies(graph: Graph) -> tuple[list[int], list[list[int]]]:
    """For each operator how many operators it waits for, and which ones wait for it."""
    producer = _producers(graph)
    waiting = [0] * len(graph.ops)
    readers: list[list[int]] = [[] for _ in graph.ops]
    for index, op in enumerate(graph.ops):
        sources = {producer[tensor] for tensor in op.inputs if tensor is not None and tensor in producer}
        waiting[index] = len(sources)
        for source in sources:
            readers[source].append(index)
    return waiting, readers


def _producers(graph: Graph) -> dict[Tensor, int]:
    return {tensor: index for index, op in enumerate(graph.ops) for tensor in op.outputs}


def _all(values: Iterable[bool | None]) -> bool | None:
    """Conjunction of truth values of which some are unknown (Kleene's logic)."""
    unknown = False
    for value in values:
        if value is False:
            return False
        unknown = unknown or value is None
    return None if unknown else True


def _either(first: bool | None, second: bool | None) -> bool | None:
    return _negation(_all((_negation(first), _negation(second))))


def _negation(value: bool | None) -> bool | None:
    return None if value is None else not value
