"""Which known topologies have the inputs and outputs of a compiled file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from coralsmith.compiled.recovery.skeleton import Skeleton
from coralsmith.compiled.recovery.topologies import mobilenet, ssd, stacks
from coralsmith.graph.model import Graph, Tensor

_VECTOR_RANK, _TABLE_RANK, _IMAGE_RANK = 2, 3, 4


def known_topologies(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Iterator[Skeleton]:
    """The topologies with this boundary, the likeliest first."""
    for name, graph in _named(inputs, outputs):
        yield Skeleton(name, graph)


def _named(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Iterator[tuple[str, Graph]]:
    if len(inputs) != 1:
        return
    source, shapes = inputs[0].shape, [tensor.shape for tensor in outputs]
    ranks = [len(shape) for shape in shapes]
    if len(source) == _VECTOR_RANK and ranks == [_VECTOR_RANK]:
        yield from stacks.dense(source, shapes[0][1])
    elif len(source) != _IMAGE_RANK:
        return
    elif ranks == [_VECTOR_RANK]:
        yield from mobilenet.classifiers(source, shapes[0][1])
    elif ranks == [_IMAGE_RANK] and shapes[0][1:3] == source[1:3]:
        yield from stacks.convolutions(source, shapes[0][3])
    elif ranks == [_TABLE_RANK] * 2 and shapes[0][2] == ssd.BOX_VALUES:
        yield from ssd.detectors(source, shapes[0][1], shapes[1][2])
