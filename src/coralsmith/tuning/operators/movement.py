"""Operators that move values: join, reshape, pad, repeat, cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.operands import Operands


def _reshape(op: Operands, values: Sequence[Any]) -> Any:
    target = op.op.output.shape
    batched = target[:1] == (1,) and op.shape(0)[:1] == (1,)
    return values[0].reshape((values[0].shape[0], *target[1:]) if batched else target)


def _concatenation(op: Operands, values: Sequence[Any]) -> Any:
    return torch.cat(list(values), dim=op.integer("axis"))


def _pack(op: Operands, values: Sequence[Any]) -> Any:
    return torch.stack(list(values), dim=op.integer("axis", 0))


def _unpack(op: Operands, values: Sequence[Any]) -> Any:
    return list(torch.unbind(values[0], dim=op.integer("axis", 0)))


def _transpose(op: Operands, values: Sequence[Any]) -> Any:
    return values[0].permute(op.values(1))


def _pairs(op: Operands) -> list[tuple[int, int]]:
    numbers = op.values(1)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _pad(op: Operands, values: Sequence[Any]) -> Any:
    reverse = [side for pair in reversed(_pairs(op)) for side in pair]  # torch counts dimensions from the last
    value = float(values[2]) if len(values) > 2 and values[2] is not None else 0.0
    return functional.pad(values[0], reverse, value=value)


def _mirror_pad(op: Operands, values: Sequence[Any]) -> Any:
    mode = str(op.op.attributes.get("mode", "REFLECT")).lower()
    result = values[0]
    for axis, (pair, size) in enumerate(zip(_pairs(op), op.shape(0), strict=True)):
        if any(pair):
            order = np.pad(np.arange(size), pair, mode="reflect" if mode == "reflect" else "symmetric")
            result = result.index_select(axis, torch.from_numpy(order).to(result.device))
    return result


def _taken(data: Any, axis: int, chosen: range) -> Any:
    """The chosen places along a dimension."""
    if chosen.step < 0:
        data = data.flip(axis)
        last = data.shape[axis] - 1
        chosen = range(last - chosen.start, last - chosen.stop, -chosen.step)
    part = [slice(None)] * data.ndim
    part[axis] = slice(chosen.start, chosen.stop, chosen.step)
    return data[tuple(part)]


def _slice(op: Operands, values: Sequence[Any]) -> Any:
    result = values[0]
    for axis, (begin, size, full) in enumerate(zip(op.values(1), op.values(2), op.shape(0), strict=True)):
        if full > 1:  # the one place of a batch stands for all images
            result = _taken(result, axis, range(begin, full if size == -1 else begin + size))
    return result


def _strided_slice(op: Operands, values: Sequence[Any]) -> Any:
    begins, ends, strides = (op.values(position) for position in (1, 2, 3))
    masks = {
        name: op.integer(f"{name}_mask", 0) for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }

    def marked(name: str, number: int) -> bool:
        return bool(masks[name] >> number & 1)

    taken = sum(not marked("ellipsis", i) and not marked("new_axis", i) for i in range(len(strides)))
    result, axis = values[0], 0
    for number, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        if marked("ellipsis", number):
            axis += len(op.shape(0)) - taken
        elif marked("new_axis", number):
            result, axis = result.unsqueeze(axis), axis + 1
        elif marked("shrink_axis", number):
            result = result.select(axis, begin)
        else:
            size = result.shape[axis]
            first = None if marked("begin", number) else begin
            last = None if marked("end", number) else end
            if axis > 0 or op.shape(0)[0] > 1:
                result = _taken(result, axis, range(size)[first:last:stride])
            axis += 1
    return result


def _split(op: Operands, values: Sequence[Any]) -> Any:
    return list(values[1].chunk(op.integer("num_splits"), dim=op.value(0)))


def _split_v(op: Operands, values: Sequence[Any]) -> Any:
    axis = op.value(2)
    return list(values[0].split([tensor.shape[axis] for tensor in op.op.outputs], dim=axis))


def _gather(op: Operands, values: Sequence[Any]) -> Any:
    if op.integer("batch_dims", 0):
        raise UnsupportedModelError(f"GATHER '{op.op.name}' with batch dimensions cannot be trained.")
    axis = op.integer("axis", 0) % values[0].ndim
    indices = torch.tensor(op.values(1), device=values[0].device).reshape(op.shape(1))
    return values[0][(*[slice(None)] * axis, indices)]


MOVEMENT: Final[dict[str, Callable[[Operands, Sequence[Any]], Any]]] = {
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "UNPACK": _unpack,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "PADV2": _pad,
    "MIRROR_PAD": _mirror_pad,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "GATHER": _gather,
    "TILE": lambda op, values: values[0].tile(op.values(1)),
}
