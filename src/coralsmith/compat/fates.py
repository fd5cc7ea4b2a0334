"""Each operator's fate: its own verdict, and what the partitioning makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coralsmith.compat.report import OpFate
from coralsmith.edgetpu.partition import Subset, first_supported, partition
from coralsmith.edgetpu.rules import rule
from coralsmith.edgetpu.support import MAPPED, UNKNOWN, Verdict
from coralsmith.graph.model import Graph


@dataclass(frozen=True)
class Prediction:
    """What the compiler does with the operators of a graph.

    Attributes:
        fates: Every operator, in execution order.
        partitions: Edge TPU partitions, if every operator of unknown support were supported.
        stranded: Indices of operators that the Edge TPU takes but that stay on the CPU because of others.
        blocker: Index of the first unsupported operator behind the mapped partition, if any is stranded by it.
    """

    fates: list[OpFate]
    partitions: int
    stranded: list[int]
    blocker: int | None


def predict(graph: Graph, verdicts: Sequence[Verdict]) -> Prediction:
    """Partition the graph as the compiler does.

    An operator of unknown support makes others unknown: those that are mapped if it is supported but not if it
    is not, or the other way round.

    Args:
        graph: A verified graph.
        verdicts: For each operator what the Edge TPU makes of it for itself.
    """
    hopeful = partition(graph, [verdict.supported is not False for verdict in verdicts])
    careful = partition(graph, [verdict.supported is True for verdict in verdicts])
    best, worst = _mapped(hopeful), _mapped(careful)
    fates = [_fate(graph, index, verdict, index in best, index in worst) for index, verdict in enumerate(verdicts)]
    stranded = [f.index for f in fates if f.target == "cpu" and verdicts[f.index].supported is not False]
    return Prediction(
        fates,
        partitions=sum(subset.supported for subset in hopeful),
        stranded=stranded,
        blocker=_blocker(hopeful) if stranded else None,
    )


def _mapped(subsets: Sequence[Subset]) -> frozenset[int]:
    first = first_supported(subsets)
    return frozenset(first.ops) if first else frozenset()


def _fate(graph: Graph, index: int, verdict: Verdict, in_best: bool, in_worst: bool) -> OpFate:
    op = graph.ops[index]
    own_rule = verdict.rule.id if verdict.rule else None
    if in_best and in_worst:
        return OpFate(index, op.kind, op.name, "edgetpu", MAPPED, None)
    if verdict.supported is False:
        return OpFate(index, op.kind, op.name, "cpu", verdict.status, own_rule)
    stranded = rule("more-than-one-subgraph")
    if not in_best and not in_worst:
        return OpFate(index, op.kind, op.name, "cpu", stranded.status, stranded.id)
    return OpFate(index, op.kind, op.name, "unknown", UNKNOWN, own_rule or stranded.id)


def _blocker(subsets: Sequence[Subset]) -> int | None:
    """The first operator of the unsupported subset that follows the mapped one."""
    mapped = next((position for position, subset in enumerate(subsets) if subset.supported), len(subsets))
    following = subsets[mapped + 1 : mapped + 2]
    return following[0].ops[0] if following else None
