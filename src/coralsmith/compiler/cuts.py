"""Where a model can be cut, so that the compiler maps only what comes before.

A cut after `count` operators is named by the tensors that those operators make and others, or the caller, read:
what `edgetpu_compiler -i` takes. Its own search (`-d`) takes operators off the end in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from coralsmith.graph.model import Graph

# The compiler takes the names as one list with commas in between.
_SEPARATORS: Final = frozenset(",\n\r\0")


def cut_tensors(graph: Graph, count: int) -> tuple[str, ...] | None:
    """The tensors that cut a graph after its first operators.

    Args:
        graph: Operators in execution order.
        count: How many operators are to stay in front of the cut, at least 1.

    Returns:
        Names in the order of the graph; None where the compiler could not be told them: a name that holds a comma
        or is not the only one of its kind.
    """
    first, later = graph.ops[:count], graph.ops[count:]
    read = {tensor for op in later for tensor in op.inputs if tensor is not None} | set(graph.outputs)
    crossing = [tensor.name for op in first for tensor in op.outputs if tensor in read]
    names = Counter(tensor.name for op in graph.ops for tensor in op.outputs)
    is_sayable = all(name and names[name] == 1 and not _SEPARATORS & set(name) for name in crossing)
    return tuple(crossing) if crossing and is_sayable else None


def count_before(graph: Graph, names: Sequence[str]) -> int | None:
    """How many operators stand before a cut that the compiler chose; None where it is none of this graph's."""
    wanted = set(names)
    for count in range(1, len(graph.ops)):
        crossing = cut_tensors(graph, count)
        if crossing is not None and set(crossing) == wanted:
            return count
    return None


class Bisection:
    """Closes in on the first operator with which a model no longer compiles.

    Args:
        graph: The model.
        low: A number of operators in front that compiles, or is too small to matter.
        high: A number of operators that does not compile.
    """

    def __init__(self, graph: Graph, low: int, high: int) -> None:
        self._graph = graph
        self.low = low
        self.high = high
        self._impossible: set[int] = set()

    def next_cut(self) -> tuple[int, tuple[str, ...]] | None:
        """The next cut to try, with its tensors; None where the bracket cannot get any closer."""
        while True:
            open_counts = [n for n in range(self.low + 1, self.high) if n not in self._impossible]
            if not open_counts:
                return None
            count = open_counts[len(open_counts) // 2]
            names = cut_tensors(self._graph, count)
            if names is not None:
                return count, names
            self._impossible.add(count)

    def note(self, count: int, compiles: bool) -> None:
        """Take in how the last cut ended."""
        if compiles:
            self.low = count
        else:
            self.high = count

    @property
    def suspects(self) -> tuple[str, ...]:
        """Names of the operators of which one breaks the compiler: a single one where every cut could be tried."""
        return tuple(op.name for op in self._graph.ops[self.low : self.high])
