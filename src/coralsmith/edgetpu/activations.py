"""How much of each tile's memory the activations take.

The chip has 16 tiles in a 4x4 grid, each with 192 KiB for activations. Every tile holds its part of a map, and
with it the rows and columns around that part which the operators reading the map need; channels are padded to a
multiple of 4. A buffer lives from the operator that fills it to the last that reads it. Buffers are laid out
operator by operator, the one with the most live bytes first, the largest buffer first, each in the smallest gap
that takes it.

Measured on pairs: this reproduces the recorded size to the byte for 10 of 13 convolutional models that fit.
Where it exceeds the memory, the compiler cuts operators into pieces by a rule that is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from coralsmith.edgetpu.blocks import GRID, padded_lanes, positive_attribute, sliding
from coralsmith.graph.model import Graph, Op, Tensor

TILE_BYTES: Final = 196_608

_MOST_LIVES: Final = 200_000  # lengths of all lives together, in operators; published models have a few thousand

# What only says a value anew takes no buffer of its own.
_VIEWS: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})

EVIDENCE: Final = (
    "measured on pairs: exact for 10 of 13 convolutional models that fit; others take 2 to 9 % more, models of "
    "vectors up to 14 KB more; how operators are cut where they do not fit is unknown"
)


@dataclass(frozen=True)
class ActivationMemory:
    """Memory that the activations take on the fullest tile.

    Attributes:
        tile_bytes: Bytes on one tile if no operator is cut into pieces.
        limit: Bytes that a tile has.
        index: Position of the operator with the most live bytes; None where nothing is mapped.
        op: Name of that operator.
        live_bytes: Bytes that are live on one tile while it runs.
        tensors: The maps that are live then, the largest first.
        cut: Positions of the operators whose live bytes exceed the limit.
        evidence: How that is known.
    """

    tile_bytes: int
    limit: int = TILE_BYTES
    index: int | None = None
    op: str | None = None
    live_bytes: int = 0
    tensors: tuple[str, ...] = ()
    cut: tuple[int, ...] = ()
    evidence: str = EVIDENCE


@dataclass(eq=False)
class _Buffer:
    """Memory of one value on one tile, from operator `first` to operator `last`."""

    tensor: Tensor
    size: int
    first: int
    last: int
    offset: int | None = None

    def lives_at(self, index: int) -> bool:
        return self.first <= index <= self.last


def activation_memory(graph: Graph, mapped: Iterable[int]) -> ActivationMemory:
    """Predict the memory for activations.

    Args:
        graph: The model.
        mapped: Indices of the operators on the Edge TPU.
    """
    indices = sorted(mapped)
    if not indices:
        return ActivationMemory(0)
    ops = [graph.ops[index] for index in indices]
    buffers = _buffers(ops, graph.consumers())
    live = _live(buffers, len(ops))
    fullest = max(range(len(ops)), key=lambda position: live[position])
    largest = sorted((b for b in buffers if b.lives_at(fullest)), key=lambda buffer: -buffer.size)
    return ActivationMemory(
        tile_bytes=_lay_out(buffers, live),
        index=indices[fullest],
        op=ops[fullest].name,
        live_bytes=live[fullest],
        tensors=tuple(f"{buffer.tensor.name} {'x'.join(map(str, buffer.tensor.shape))}" for buffer in largest),
        cut=tuple(index for index, size in zip(indices, live, strict=True) if size > TILE_BYTES),
    )


def _buffers(ops: Sequence[Op], readers: Mapping[Tensor, list[Op]]) -> list[_Buffer]:
    owner: dict[Tensor, Tensor] = {}
    sizes: dict[Tensor, int] = {}
    buffers: dict[Tensor, _Buffer] = {}
    for position, op in enumerate(ops):
        if op.kind in _VIEWS and op.inputs[0] is not None:
            owner[op.output] = owner.get(op.inputs[0], op.inputs[0])
        for tensor in (*op.inputs, *op.outputs):
            if tensor is None or tensor.is_constant:
                continue
            if tensor not in sizes:
                sizes[tensor] = _tile_bytes(tensor, readers)
            held = owner.get(tensor, tensor)
            buffer = buffers.setdefault(held, _Buffer(held, 0, position, position))
            buffer.size, buffer.last = max(buffer.size, sizes[tensor]), position
    return list(buffers.values())


def _live(buffers: Sequence[_Buffer], count: int) -> list[int]:
    """Live bytes while each operator runs."""
    change = [0] * (count + 1)
    for buffer in buffers:
        change[buffer.first] += buffer.size
        change[buffer.last + 1] -= buffer.size
    live: list[int] = []
    for step in change[:-1]:
        live.append((live[-1] if live else 0) + step)
    return live


def _lay_out(buffers: Sequence[_Buffer], live: Sequence[int]) -> int:
    """Give every buffer its place; returns the end of the last one.

    Where very many buffers are alive for long, only the most live bytes are told: they can take no less.
    """
    if sum(buffer.last + 1 - buffer.first for buffer in buffers) > _MOST_LIVES:
        return max(live)
    alive: list[list[_Buffer]] = [[] for _ in live]
    for buffer in buffers:
        for position in range(buffer.first, buffer.last + 1):
            alive[position].append(buffer)
    for position in sorted(range(len(live)), key=lambda position: -live[position]):
        for buffer in sorted(alive[position], key=lambda buffer: -buffer.size):
            if buffer.offset is None:
                meeting = {other for place in range(buffer.first, buffer.last + 1) for other in alive[place]}
                buffer.offset = _gap(buffer, [other for other in meeting if other.offset is not None])
    return max(buffer.size + (buffer.offset or 0) for buffer in buffers)


def _gap(buffer: _Buffer, others: Sequence[_Buffer]) -> int:
    """Where a buffer fits best between those that live at the same time, or behind them."""
    end, best, spare = 0, None, 0
    for other in sorted(others, key=lambda other: other.offset or 0):
        start = other.offset or 0
        room = start - end
        if room >= buffer.size and (best is None or room < spare):
            best, spare = end, room
        end = max(end, start + other.size)
    return end if best is None else best


def _tile_bytes(tensor: Tensor, readers: Mapping[Tensor, list[Op]]) -> int:
    """Bytes of the fullest tile: the last three dimensions are height, width and channels."""
    height, width, channels = (1, 1, 1, *tensor.shape)[-3:]
    wide = [_windows(reader, tensor) for reader in readers.get(tensor, [])]
    rows = _extent(height, [windows[0] for windows in wide if windows])
    columns = _extent(width, [windows[1] for windows in wide if windows])
    return rows * columns * padded_lanes(channels)


@dataclass(frozen=True)
class _Window:
    """How an operator reads a dimension: output `i` needs `extent` inputs from `i * stride - before` on."""

    outputs: int
    extent: int
    stride: int
    before: int


def _extent(size: int, windows: Sequence[_Window]) -> int:
    """Rows or columns that the fullest tile holds: its own part, and what is read around it."""
    most = 0
    for number in range(GRID):
        first, end = _part(size, number)
        for window in windows:
            first_output, end_output = _part(window.outputs, number)
            if end_output > first_output:
                start = max(first_output * window.stride - window.before, 0)
                stop = min((end_output - 1) * window.stride - window.before + window.extent, size)
                first, end = (min(first, start), max(end, stop)) if end > first else (start, stop)
        most = max(most, end - first)
    return most


def _part(size: int, number: int) -> tuple[int, int]:
    """The part of a dimension that lies on a tile, as the output layouts of compiled models have it."""
    return -(-number * size // GRID), -(-(number + 1) * size // GRID)


def _windows(op: Op, tensor: Tensor) -> tuple[_Window, _Window] | None:
    """Windows over height and width of a convolution or pooling; None for what reads positions one by one."""
    if len(tensor.shape) != 4 or len(op.output.shape) != 4 or op.inputs[0] is not tensor:
        return None
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        kernel = op.required_input("filter").shape
        return (_window(op, 1, kernel[1]), _window(op, 2, kernel[2])) if len(kernel) == 4 else None
    if op.kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        height, width = (positive_attribute(op, name) for name in ("filter_height", "filter_width"))
        return _window(op, 1, height), _window(op, 2, width)
    return None


def _window(op: Op, axis: int, kernel: int) -> _Window:
    stride, dilation, before = sliding(op, axis, kernel)
    return _Window(op.output.shape[axis], (kernel - 1) * dilation + 1, stride, before)
