"""Removes what no result depends on: outputs nobody asked for and the operators behind them."""

from __future__ import annotations

from dataclasses import dataclass

from coralsmith.errors import UsageError
from coralsmith.graph import Array, Graph
from coralsmith.repair.passes import Change, OpName, Refusal, RepairPass


@dataclass(frozen=True)
class RemoveUnused(RepairPass):
    """Removes operators that reach no output, and stores equal constants once."""

    name = "remove-unused"
    reason = "no output of the model depends on it"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        before = list(graph.ops)
        graph.prune()
        kept = set(graph.ops)
        changes: list[Change | Refusal] = [self.change([op], []) for op in before if op not in kept]
        shared = share_constants(graph)
        if shared:
            changes.append(self.change([], [], f"{shared} constants equal another one and are stored once"))
        return changes


def share_constants(graph: Graph) -> int:
    """Let constants of equal content share one array, in place; returns how many arrays became superfluous.

    The tensors stay apart, because quantization may give each a scale of its own.
    """
    arrays: dict[tuple[object, ...], Array] = {}
    superfluous: set[int] = set()
    for tensor in graph.tensors():
        if tensor.data is None:
            continue
        first = arrays.setdefault((tensor.dtype.str, tensor.shape, tensor.data.tobytes()), tensor.data)
        if first is not tensor.data:
            superfluous.add(id(tensor.data))
            tensor.data = first
    return len(superfluous)


def drop_outputs(graph: Graph, used: frozenset[str]) -> list[Change]:
    """Keep only the graph outputs with these names, in place; what made the others goes with `RemoveUnused`.

    Raises:
        UsageError: The graph has no output of such a name.
    """
    missing = used - {tensor.name for tensor in graph.outputs}
    if missing:
        raise UsageError(f"The model has no output called {', '.join(map(repr, sorted(missing)))}.")
    dropped = [tensor for tensor in graph.outputs if tensor.name not in used]
    graph.outputs = [tensor for tensor in graph.outputs if tensor.name in used]
    producers = graph.producers()
    return [
        Change(
            "unused-outputs",
            (OpName(producers[tensor].kind if tensor in producers else "CONSTANT", tensor.name),),
            (),
            "the detection head does not read this output",
            worst_difference=0.0,
        )
        for tensor in dropped
    ]
