"""How long each operator takes on the CPU, run alone with the values that it has inside the model.

The interpreter's own profiler has no door to Python. So every operator becomes a model of one operator, given the
inputs that it had, and its time is the fastest of several runs. What the whole model saves by running operators
together, and what it loses in caches that the others filled, is not in it: the sum is told beside the whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.progress import SILENT, Progress

_RUNS: Final = 10
_WARM_UP: Final = 2


@dataclass(frozen=True)
class CpuOperatorTime:
    """The time of one operator on the CPU.

    Attributes:
        index: Position in execution order.
        kind: Operator kind, "CONV_2D"; of a custom operator, its name.
        name: Name of its first output.
        ms: Milliseconds, the fastest of several runs; None where the interpreter does not run it alone.
    """

    index: int
    kind: str
    name: str
    ms: float | None


def operator_times(
    graph: Graph,
    inputs: list[Array],
    *,
    threads: int = 1,
    runs: int = _RUNS,
    clock: Callable[[], float] = time.perf_counter,
    progress: Progress = SILENT,
) -> list[CpuOperatorTime]:
    """Time every operator of a graph by itself.

    Args:
        graph: A graph that runs on the CPU.
        inputs: One array per graph input, of its shape and type.
        threads: CPU threads of the kernels.
        runs: Runs of which the fastest counts.
        clock: Seconds; for tests.
        progress: Advanced by one after each operator.

    Raises:
        UnsupportedModelError: The interpreter does not run the whole graph.
    """
    whole = Executor(graph, threads=threads, keep_all=True)
    whole.invoke(*inputs)
    times = []
    for index, op in enumerate(graph.ops):
        values = [whole.value(tensor) for tensor in _read(op)]
        fastest = _fastest(op, values, threads, runs, clock)
        times.append(CpuOperatorTime(index, op.custom_code or op.kind, op.name, fastest))
        progress.advance()
    return times


def _fastest(op: Op, values: list[Array], threads: int, runs: int, clock: Callable[[], float]) -> float | None:
    try:
        alone = Executor(Graph([op], _read(op), list(op.outputs)), threads=threads)
        for _ in range(_WARM_UP):
            alone.invoke(*values)
    except UnsupportedModelError:
        return None
    seconds = []
    for _ in range(runs):
        start = clock()
        alone.invoke_again()
        seconds.append(clock() - start)
    return 1000 * min(seconds)


def _read(op: Op) -> list[Tensor]:
    """The values that an operator reads, each once."""
    return list(dict.fromkeys(op.activations()))
