"""Each operator's fate: its own verdict, and what the partitioning makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coralsmith.compat.report import OpFate
from coralsmith.edgetpu.partition import Subset, mapped_operators, partition
from coralsmith.edgetpu.rules import rule
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.edgetpu.support import UNKNOWN, Verdict
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

    An operator of unknown support makes those unknown whose fate depends on it.

    Args:
        graph: A verified graph.
        verdicts: For each operator what the Edge TPU makes of it for itself.
    """
    mapped = mapped_operators(graph, [verdict.supported for verdict in verdicts])
    fates = [_fate(graph, index, verdict, mapped[index]) for index, verdict in enumerate(verdicts)]
    stranded = [f.index for f in fates if f.target == "cpu" and verdicts[f.index].supported is not False]
    subsets = partition(graph, [verdict.supported is not False for verdict in verdicts])
    return Prediction(
        fates,
        partitions=sum(subset.supported for subset in subsets),
        stranded=stranded,
        blocker=_blocker(subsets) if stranded else None,
    )


def _fate(graph: Graph, index: int, verdict: Verdict, is_mapped: bool | None) -> OpFate:
    op = graph.ops[index]
    own_rule = verdict.rule.id if verdict.rule else None
    if is_mapped:
        return OpFate(index, op.kind, op.name, "edgetpu", MAPPED, None)
    if verdict.supported is False:
        return OpFate(index, op.kind, op.name, "cpu", verdict.status, own_rule)
    stranded = rule("more-than-one-subgraph")
    if is_mapped is None:
        return OpFate(index, op.kind, op.name, "unknown", UNKNOWN, own_rule or stranded.id)
    return OpFate(index, op.kind, op.name, "cpu", stranded.status, stranded.id)


def _blocker(subsets: Sequence[Subset]) -> int | None:
    """The first operator of the unsupported subset that follows the mapped one."""
    mapped = next((position for position, subset in enumerate(subsets) if subset.supported), len(subsets))
    following = subsets[mapped + 1 : mapped + 2]
    return following[0].ops[0] if following else None
