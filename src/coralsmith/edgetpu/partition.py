"""How the compiler cuts a model into parts for the Edge TPU and the CPU, exactly.

Source: TFLite's partitioning of a graph into independent node subsets for a delegate, of which the compiler
maps the first supported one only (all of them with `--enable_multiple_subgraphs`). It follows the data, not the
order of the file: an operator is ready when whatever computes its inputs has been placed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
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


def first_supported(subsets: Sequence[Subset]) -> Subset | None:
    """The one subset that the compiler maps, if there is any."""
    return next((subset for subset in subsets if subset.supported), None)


def _dependencies(graph: Graph) -> tuple[list[int], list[list[int]]]:
    """For each operator how many operators it waits for, and which ones wait for it."""
    producer = {tensor: index for index, op in enumerate(graph.ops) for tensor in op.outputs}
    waiting = [0] * len(graph.ops)
    readers: list[list[int]] = [[] for _ in graph.ops]
    for index, op in enumerate(graph.ops):
        sources = {producer[tensor] for tensor in op.inputs if tensor is not None and tensor in producer}
        waiting[index] = len(sources)
        for source in sources:
            readers[source].append(index)
    return waiting, readers
