"""Each operator's fate: its own verdict, and what the partitioning makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from coralsmith.compat.consequences import (
    SmallFirstPartition,
    blockers,
    small_first_partition,
    stranded_by,
    undecided_by,
)
from coralsmith.compat.report import OpFate
from coralsmith.edgetpu.partition import Subset, mapped_operators, partition
from coralsmith.edgetpu.rules import rule, rule_book
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.edgetpu.support import UNKNOWN, Verdict
from coralsmith.graph.model import Graph

# Operators that the compiler's logs call so wherever they stand.
_ALWAYS_OF_A_DATA_TYPE: Final = ("CUSTOM", "DEQUANTIZE")


@dataclass(frozen=True)
class Prediction:
    """What the compiler does with the operators of a graph.

    Attributes:
        fates: Every operator, in execution order.
        partition_sizes: Operators of each Edge TPU partition in the order they run, if every operator of unknown
            support were supported.
        stranded: How many operators that the Edge TPU takes stay on the CPU because of others.
        stranded_by: That number by the index of the operator that is the first to keep them there.
        undecided_by: How many operators are of unknown fate because of one of unknown support, by its index.
        small_first: That a later partition is larger than the one the compiler maps; None where it is not.
    """

    fates: list[OpFate]
    partition_sizes: list[int]
    stranded: int
    stranded_by: Mapping[int, int]
    undecided_by: Mapping[int, int]
    small_first: SmallFirstPartition | None


def predict(graph: Graph, verdicts: Sequence[Verdict], *, all_partitions: bool = False) -> Prediction:
    """Partition the graph as the compiler does.

    An operator of unknown support makes those unknown whose fate depends on it.

    Args:
        graph: A verified graph.
        verdicts: For each operator what the Edge TPU makes of it for itself.
        all_partitions: The compiler is told to map every partition, not the first one only.
    """
    support = [verdict.supported for verdict in verdicts]
    hopeful = partition(graph, [answer is not False for answer in support])
    fearful = partition(graph, [answer is True for answer in support]) if None in support else hopeful
    behind = blockers(graph, hopeful)
    mapped = support if all_partitions else mapped_operators(graph, support)
    fates = [
        _fate(graph, index, verdict, mapped[index], is_behind=behind.get(index, index) != index)
        for index, verdict in enumerate(verdicts)
    ]
    stranded = [fate.index for fate in fates if fate.target == "cpu" and support[fate.index] is not False]
    unknown = {index for index, answer in enumerate(support) if answer is None}
    undecided = [fate.index for fate in fates if fate.target == "unknown" and fate.index not in unknown]
    return Prediction(
        fates,
        partition_sizes=_sizes(hopeful),
        stranded=len(stranded),
        stranded_by=stranded_by(behind, stranded),
        undecided_by=undecided_by(graph, unknown, undecided) if undecided else Counter(),
        small_first=None if all_partitions else small_first_partition(graph, hopeful, fearful),
    )


def _sizes(subsets: Sequence[Subset]) -> list[int]:
    return [len(subset.ops) for subset in subsets if subset.supported]


def _fate(graph: Graph, index: int, verdict: Verdict, is_mapped: bool | None, *, is_behind: bool) -> OpFate:
    op = graph.ops[index]
    own_rule = verdict.rule.id if verdict.rule else None
    stranded = rule("more-than-one-subgraph")
    if is_mapped:
        others = _other_statuses("later-partition") if is_behind else []
        return OpFate(index, op.kind, op.name, "edgetpu", MAPPED, None, others)
    if verdict.supported is False:
        is_float = own_rule == "unsupported-data-type" and op.kind not in _ALWAYS_OF_A_DATA_TYPE
        others = _other_statuses("float-behind-cpu") if is_float and is_behind else []
        return OpFate(index, op.kind, op.name, "cpu", verdict.status, own_rule, others)
    if is_mapped is None:
        return OpFate(index, op.kind, op.name, "unknown", UNKNOWN, own_rule or stranded.id, [])
    others = _other_statuses("stranded-quantize") if op.kind == "QUANTIZE" else []
    return OpFate(index, op.kind, op.name, "cpu", stranded.status, stranded.id, others)


def _other_statuses(case: str) -> list[str]:
    return list(rule_book().other_statuses[case].statuses)
