"""What an operator that stays on the CPU costs: how many others stay there because of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from coralsmith.edgetpu.partition import Subset, sources_of
from coralsmith.graph.model import Graph


@dataclass(frozen=True)
class SmallFirstPartition:
    """That the compiler maps less than it could: a later partition is larger than the first.

    Attributes:
        mapped: Operators of the first Edge TPU partition.
        larger: Operators of the largest later one.
        blocker: Index of the operator that strands most of it.
        at_worst: Whether this is so only if operators of unknown support stay on the CPU.
    """

    mapped: int
    larger: int
    blocker: int
    at_worst: bool


def blockers(graph: Graph, subsets: Sequence[Subset]) -> dict[int, int]:
    """For each operator behind the mapped partition, the first operator that keeps it there.

    Args:
        graph: A verified graph.
        subsets: Its partition.

    Returns:
        By operator the unsupported operator of lowest index that it depends on and that itself depends on nothing
        but mapped operators and those before them; such an operator is its own blocker. Indices into `Graph.ops`.
    """
    in_time = _in_time(subsets)
    blocked: dict[int, int] = {}
    for index, sources in enumerate(sources_of(graph)):
        if index not in in_time:
            blocked[index] = min((blocked[source] for source in sources if source in blocked), default=index)
    return blocked


def stranded_by(blocked: Mapping[int, int], stranded: Collection[int]) -> Counter[int]:
    """How many of the stranded operators each blocker keeps on the CPU; each counts for its first one."""
    return Counter(blocked[index] for index in stranded if index in blocked)


def undecided_by(graph: Graph, unknown: Collection[int], undecided: Collection[int]) -> Counter[int]:
    """How many of the `undecided` operators hang on each of the `unknown` ones: on the first of several."""
    first: dict[int, int] = {}
    for index, sources in enumerate(sources_of(graph)):
        own = [index] if index in unknown else []
        candidates = [first[source] for source in sources if source in first] or own
        if candidates:
            first[index] = min(candidates)
    return Counter(first[index] for index in undecided if index in first)


def small_first_partition(
    graph: Graph, hopeful: Sequence[Subset], fearful: Sequence[Subset]
) -> SmallFirstPartition | None:
    """Whether a later partition is larger than the one that the compiler maps.

    Args:
        graph: A verified graph.
        hopeful: Its partition if every operator of unknown support is supported.
        fearful: Its partition if none of them is.
    """
    for subsets, at_worst in ((hopeful, False), (fearful, True)):
        on_device = [subset for subset in subsets if subset.supported]
        larger = max(on_device, key=lambda subset: len(subset.ops), default=None)
        if larger is not None and larger is not on_device[0] and len(larger.ops) > len(on_device[0].ops):
            ((blocker, _),) = stranded_by(blockers(graph, subsets), larger.ops).most_common(1)
            return SmallFirstPartition(len(on_device[0].ops), len(larger.ops), blocker, at_worst)
    return None


def _in_time(subsets: Sequence[Subset]) -> set[int]:
    """The operators of the first supported subset and of what runs before it."""
    placed: set[int] = set()
    for subset in subsets:
        placed.update(subset.ops)
        if subset.supported:
            return placed
    return placed
