"""Gives a graph that drops the background column of its scores that column back.

The slice costs an operator and hides the one certain fact about the background; the detection operator and every
decoder here skip the column anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.importers.canonical import canonicalise
from coralsmith.importers.naming import free_name
from coralsmith.importers.samples import Samples

BACKGROUND: Final = 0
_COLUMNS: Final = 2  # the axis of the columns in [1, N, C]


@dataclass(frozen=True, eq=False)
class Unsliced:
    """A graph whose scores have their first column again.

    Attributes:
        graph: A new graph.
        samples: What the source computes for its outputs; the column that it drops comes from the graph.
        scores: Name of the output, which is the source's own name of the sliced scores.
    """

    graph: Graph
    samples: Samples
    scores: str


def unslice_scores(graph: Graph, samples: Samples) -> Unsliced | None:
    """The graph in front of a slice that drops the first column of an output; None where there is none."""
    producers = graph.producers()
    for output in graph.outputs:
        op = producers.get(output)
        if op is not None and _drops_first_column(op):
            return _without_slice(graph, samples, output, op.required_input("input"))
    return None


def _drops_first_column(op: Op) -> bool:
    source, begin = op.inputs[0], op.inputs[1] if len(op.inputs) > 1 else None
    if source is None or source.is_constant or len(source.shape) != 3 or begin is None or begin.data is None:
        return False
    rows, columns = source.shape[1:]
    starts = begin.data.reshape(-1).tolist()
    if op.kind == "STRIDED_SLICE":
        strides = op.inputs[3].data if op.inputs[3] is not None else None
        masked = bool(int(str(op.attributes.get("begin_mask", 0))) >> _COLUMNS & 1)
        if masked or strides is None or (strides != 1).any():
            return False
        starts[:_COLUMNS] = [0, 0]  # masked or not, the shape of the output tells that no row is dropped
    return (
        op.kind in ("SLICE", "STRIDED_SLICE") and starts == [0, 0, 1] and op.output.shape == (1, rows, columns - 1)
    )


def _without_slice(graph: Graph, samples: Samples, sliced: Tensor, whole: Tensor) -> Unsliced:
    own = graph.outputs
    try:
        graph.outputs = [whole if tensor is sliced else tensor for tensor in own]
        longer = graph.copy()
    finally:
        graph.outputs = own
    longer.prune()
    position = own.index(sliced)
    target = longer.outputs[position]
    target.name = free_name(sliced.name, {tensor.name for tensor in longer.outputs if tensor is not target})
    canonicalise(longer, {tensor.name: tensor.name for tensor in longer.outputs})
    longer.verify("giving the scores their background column back")
    executor = Executor(longer)
    first = np.stack([executor.run(image)[position][..., :1] for image in samples.inputs])
    scores = np.concatenate([first, samples.outputs[sliced.name]], axis=-1)
    others = {name: values for name, values in samples.outputs.items() if name != sliced.name}
    return Unsliced(longer, replace(samples, outputs=others | {target.name: scores}), target.name)
