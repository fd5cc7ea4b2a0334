"""The output shapes of operators that take parts of a tensor: split, slice, gather."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from coralsmith.graph.operands import DecidedAtRunTimeError, Operands, Shape, checked_axis


def _unpack(op: Operands) -> list[Shape]:
    data, parts = op.shape(0), len(op.op.outputs)
    axis = checked_axis(op.integer("axis"), len(data))
    if parts != data[axis] or op.integer("num", parts) != parts:
        raise ValueError(f"{parts} outputs for {data[axis]} parts")
    return [(*data[:axis], *data[axis + 1 :])] * parts


def _parts(op: Operands) -> int:
    parts = op.integer("num_splits")
    if len(op.op.outputs) != parts:
        raise ValueError(f"{len(op.op.outputs)} outputs for {parts} parts")
    return parts


def _split(op: Operands) -> list[Shape]:
    parts = _parts(op)
    data = op.shape(1)
    axis = checked_axis(op.value(0), len(data))
    if data[axis] % parts:
        raise ValueError(f"{data[axis]} into {parts} parts")
    return [(*data[:axis], data[axis] // parts, *data[axis + 1 :])] * parts


def _split_v(op: Operands) -> list[Shape]:
    parts = _parts(op)
    data, sizes = op.shape(0), op.values(1)
    axis = checked_axis(op.value(2), len(data))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = data[axis] - sum(size for size in sizes if size != -1)
    if min(sizes, default=-1) < 0 or sum(sizes) != data[axis] or len(sizes) != parts:
        raise ValueError(f"{data[axis]} into parts of {sizes}")
    return [(*data[:axis], size, *data[axis + 1 :]) for size in sizes]


def _slice(op: Operands) -> list[Shape]:
    data, begins, sizes = op.shape(0), op.values(1), op.values(2)
    if len(begins) != len(data) or len(sizes) != len(data):
        raise ValueError(f"a slice from {begins} of {sizes} for {len(data)} dimensions")
    cut = [full - begin if size == -1 else size for full, begin, size in zip(data, begins, sizes, strict=True)]
    if any(b < 0 or s < 0 or b + s > full for full, b, s in zip(data, begins, cut, strict=True)):
        raise ValueError(f"a slice from {begins} of {sizes} does not lie in {list(data)}")
    return [tuple(cut)]


def _strided_slice(op: Operands) -> list[Shape]:
    rest, (begins, ends, strides) = list(op.shape(0)), (op.values(position) for position in (1, 2, 3))
    if not len(begins) == len(ends) == len(strides) or 0 in strides:
        raise ValueError(f"bounds {begins}, {ends} and strides {strides}")
    if op.op.attributes.get("offset"):
        raise DecidedAtRunTimeError  # the interpreter's kernel does not get it right
    added, ellipsis = op.integer("new_axis_mask", 0), op.integer("ellipsis_mask", 0)
    if added & ellipsis or (added | ellipsis) >> len(strides):
        raise ValueError(f"masks {added} and {ellipsis} for {len(strides)} bounds")
    spread = [number for number in range(len(strides)) if ellipsis >> number & 1]
    taken = sum(1 for number in range(len(strides)) if not (added | ellipsis) >> number & 1)
    skipped = len(rest) - taken
    if len(spread) > 1 or skipped < len(spread):
        raise ValueError(f"{taken} bounds and {len(spread)} ellipses for {len(rest)} dimensions")
    shape: list[int] = []
    for number, bounds in enumerate(zip(begins, ends, strides, strict=True)):
        if number in spread:
            shape, rest = shape + rest[:skipped], rest[skipped:]
        elif added >> number & 1:
            shape.append(1)
        else:
            shape += _cut(op, rest.pop(0), number, bounds)
    return [tuple(shape + rest)]


def _cut(op: Operands, size: int, number: int, bounds: tuple[int, int, int]) -> list[int]:
    """What bounds `number` of a STRIDED_SLICE leave of a dimension: nothing where it is shrunk to one index."""
    begin, end, stride = bounds
    if op.integer("shrink_axis_mask", 0) >> number & 1:
        if not -size <= begin < size:
            raise ValueError(f"there is no index {begin} in {size}")
        return []
    first = None if op.integer("begin_mask", 0) >> number & 1 else begin
    last = None if op.integer("end_mask", 0) >> number & 1 else end
    return [len(range(size)[first:last:stride])]


def _gather(op: Operands) -> list[Shape]:
    data, indices = op.shape(0), op.shape(1)
    axis = checked_axis(op.integer("axis", 0), len(data))
    batch = op.integer("batch_dims", 0)
    if not 0 <= batch <= min(axis, len(indices)) or data[:batch] != indices[:batch]:
        raise ValueError(f"{batch} batch dimensions of {list(data)} and {list(indices)}")
    constant = op.op.inputs[1]
    chosen = None if constant is None else constant.data
    if chosen is not None and chosen.size and not 0 <= int(chosen.min()) <= int(chosen.max()) < data[axis]:
        raise ValueError(f"indices beyond {data[axis]}")
    return [(*data[:axis], *indices[batch:], *data[axis + 1 :])]


def _gather_nd(op: Operands) -> list[Shape]:
    data, indices = op.shape(0), op.shape(1)
    if not indices or not 1 <= indices[-1] <= len(data):
        raise ValueError(f"indices {list(indices)} of {list(data)}")
    return [(*indices[:-1], *data[indices[-1] :])]


SELECTION_RULES: Final[dict[str, Callable[[Operands], list[Shape]]]] = {
    "UNPACK": _unpack,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
}
