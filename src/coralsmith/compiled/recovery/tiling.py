"""Finds each layer's bytes among the parameters of compiled files: the layers must tile them without a gap.

The parameters are in the order in which the compiler scheduled the layers, which for branches is not that of the
`.tflite`. A layer comes after those it depends on; its form (a bias or none, one multiplier or one for each
output) shows in its padding and its header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.packed_layer import PackedLayer, packed_layer
from coralsmith.compiled.packing import LayerParameters, PackingError, pack
from coralsmith.compiled.recovery.segment import Segment
from coralsmith.compiled.recovery.skeleton import MOVERS, WEIGHTED, layers, softmax_classes
from coralsmith.compiled.recovery.tap_order import tap_orders
from coralsmith.compiled.softmax_table import scale_of_softmax_table
from coralsmith.edgetpu.blocks import LANES
from coralsmith.errors import NotProvedError
from coralsmith.graph.model import Graph, Op

_MOST_LOOKS: Final = 50_000  # the published SSD takes 3,396, classifiers a few hundred

_NO_MATRIX: Final = re.compile(rb"[^\x00\x01]")
_MATRIX_STEP: Final = 64  # the header of a matrix is 64 bytes of zeros
_MOST_ENDS: Final = 16
_GREATEST_BIAS: Final = 1 << 27
_GREATEST_MULTIPLIER: Final = 1_000.0

_NOTHING, _PADDING, _WEIGHT = 0, 1, 255  # what is where in a layer, see `_template`


@dataclass(frozen=True, eq=False)
class PlacedLayer:
    """Where a layer's parameters are.

    Attributes:
        op: The operator, of the skeleton.
        form: How they are packed; the order of taps and channels is not decided yet.
        segment: Index of the compiled file.
        start: First byte among its parameters.
        zero_point: Of the weights, uint8 domain, where padding or the header shows it.
    """

    op: Op
    form: PackedLayer
    segment: int
    start: int
    zero_point: int | None

    def content(self, segments: Sequence[Segment]) -> bytes:
        """Its bytes."""
        return segments[self.segment].parameters[self.start : self.start + self.form.size]


def tilings(graph: Graph, segments: Sequence[Segment]) -> Iterator[list[PlacedLayer]]:
    """Every way in which the layers of a graph tile the parameters, each in the order of the parameters.

    Raises:
        NotProvedError: The search was given up.
    """
    search = _Search(graph, segments)
    return search.from_here([], 0, 0)


class _Search:
    """Depth first, the layers of a graph in every order that the flow of data allows."""

    def __init__(self, graph: Graph, segments: Sequence[Segment]) -> None:
        readers, self._segments = graph.consumers(), segments
        self._layers = layers(graph)
        self._forms = {op: packed_layer(op, readers, segments[0].min_runtime) for op in self._layers}
        self._needs = _layers_before(graph)
        self._failed: set[tuple[frozenset[Op], int, int]] = set()
        self._moves_values = any(op.kind in MOVERS for op in graph.ops)
        self._softmax_classes = softmax_classes(graph)
        self._looks = 0

    def from_here(self, placed: list[PlacedLayer], segment: int, start: int) -> Iterator[list[PlacedLayer]]:
        """The ways to go on from a byte of a segment, with some layers placed."""
        while segment < len(self._segments) and start == len(self._segments[segment].parameters):
            segment, start = segment + 1, 0
        done = frozenset(layer.op for layer in placed)
        if segment == len(self._segments):
            if len(placed) == len(self._layers):
                yield placed
            return
        if (done, segment, start) in self._failed:
            return
        found = False
        for layer in self._next(done, segment, start):
            for tiling in self.from_here([*placed, layer], segment, start + layer.form.size):
                found = True
                yield tiling
        for end in (*self._ends_of_matrix(segment, start), *self._end_of_table(segment, start)):
            for tiling in self.from_here(placed, segment, end):
                found = True
                yield tiling
        if not found:
            self._failed.add((done, segment, start))

    def _ends_of_matrix(self, segment: int, start: int) -> Iterator[int]:
        """Where a matrix of zeros and ones may end that the compiler added to move values about."""
        if not self._moves_values:
            return
        content = self._segments[segment].parameters[start:]
        beyond = _NO_MATRIX.search(content)
        whole = (len(content) if beyond is None else beyond.start()) // _MATRIX_STEP * _MATRIX_STEP
        last_one = content.rfind(1, 0, whole)
        if any(content[:_MATRIX_STEP]) or last_one < 0:
            return
        first = (last_one // _MATRIX_STEP + 1) * _MATRIX_STEP
        yield from range(start + first, start + min(whole, first + _MOST_ENDS * _MATRIX_STEP) + 1, _MATRIX_STEP)

    def _end_of_table(self, segment: int, start: int) -> Iterator[int]:
        """The end of the parameters, where a table for a SOFTMAX stands in front of it."""
        content = self._segments[segment].parameters
        if self._softmax_classes and scale_of_softmax_table(content[start:], self._softmax_classes) is not None:
            yield len(content)

    def _next(self, done: frozenset[Op], segment: int, start: int) -> Iterator[PlacedLayer]:
        content = memoryview(self._segments[segment].parameters)[start:]
        for op in self._layers:
            if op in done or not self._needs[op] <= done:
                continue
            for form in _forms(self._forms[op]):
                self._looks += 1
                if self._looks > _MOST_LOOKS:
                    raise NotProvedError("The order of the layers was not found in reasonable time.")
                try:
                    yield PlacedLayer(op, form, segment, start, shown_zero_point(form, content[: form.size]))
                except PackingError:
                    continue


def shown_zero_point(form: PackedLayer, content: memoryview) -> int | None:
    """The zero point of the weights, uint8 domain, as padding and the header show it; None if nothing does.

    Raises:
        PackingError: The bytes are no layer of that form: too few, padding that is none, or an impossible header.
    """
    if len(content) != form.size:
        raise PackingError("too few bytes")
    groups = np.frombuffer(content, np.uint8).reshape(form.groups, form.group_bytes)
    columns = groups[:, : form.header_bytes].copy().view("<i4").reshape(form.groups, form.columns, form.group)
    rows = columns.transpose(1, 0, 2).reshape(form.columns, form.rows)[:, form.row_of_output]
    if columns.size and not form.per_channel and np.abs(rows[0].astype(np.int64)).max() > _GREATEST_BIAS:
        raise PackingError("a bias that no layer has")
    shown = set(rows[-1].tolist()) if form.per_channel else set()
    if form.per_channel and not _are_multipliers(rows[0].view("<f4")):
        raise PackingError("multipliers that no layer has")
    body, template = groups[:, form.header_bytes :], _template(form)
    if np.any(body[template == _NOTHING]):
        raise PackingError("rows that do not exist are not empty")
    shown |= set(np.unique(body[template == _PADDING]).tolist())
    if len(shown) > 1 or any(not 0 <= value <= 255 for value in shown):
        raise PackingError("padding has several values")
    return shown.pop() if shown else None


def _are_multipliers(values: NDArray[np.float32]) -> bool:
    with np.errstate(invalid="ignore"):
        return bool(np.all((values > 0) & (values < _GREATEST_MULTIPLIER)))


@lru_cache(maxsize=512)
def _template(form: PackedLayer) -> NDArray[np.uint8]:
    """What is where in the groups of a layer behind their headers: nothing, padding or weights."""
    zeros = np.zeros(form.outputs, np.int32)
    weights = np.full(form.filter_shape, _WEIGHT, np.uint8)
    values = LayerParameters(
        weights,
        _PADDING,
        zeros if form.has_bias else None,
        zeros.astype(np.float32) if form.per_channel else None,
    )
    groups = np.frombuffer(pack(form, values), np.uint8).reshape(form.groups, form.group_bytes)
    return groups[:, form.header_bytes :]


def _forms(form: PackedLayer) -> Iterator[PackedLayer]:
    """What is not known of a layer's form before its bytes are seen; the likeliest first.

    The order of taps and channels shows already where channels are padded.
    """
    shows_order = form.inputs % LANES and form.taps > 1 and not form.depthwise
    orders = tap_orders(form) if shows_order else [form]
    for per_channel, has_bias in product((form.per_channel, not form.per_channel), (True, False)):
        for order in orders:
            yield replace(order, per_channel=per_channel, has_bias=has_bias)


def _layers_before(graph: Graph) -> dict[Op, frozenset[Op]]:
    """The layers that each layer waits for, all the way back."""
    before: dict[Op, frozenset[Op]] = {}
    makers = graph.producers()
    for op in graph.ops:
        makes = [makers[tensor] for tensor in op.activations() if tensor in makers]
        own = [frozenset([maker]) for maker in makes if maker.kind in WEIGHTED]
        before[op] = frozenset().union(*(before[maker] for maker in makes), *own)
    return {op: needs for op, needs in before.items() if op.kind in WEIGHTED}
