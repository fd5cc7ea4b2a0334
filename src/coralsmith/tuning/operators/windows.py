"""Operators over image rows and columns without weights: pooling, resizing, blocks of pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional

from coralsmith.graph.operands import Operands
from coralsmith.tuning.operators.layers import TO_NCHW, TO_NHWC, padded, paddings


def _pool_geometry(op: Operands) -> tuple[tuple[int, int], tuple[int, int], list[tuple[int, int]]]:
    """Window, strides, paddings."""
    window = op.integer("filter_height"), op.integer("filter_width")
    return window, (op.integer("stride_h"), op.integer("stride_w")), paddings(op, op.shape(0)[1:3], window)


def _max_pool(op: Operands, values: Sequence[Any]) -> Any:
    window, strides, pads = _pool_geometry(op)
    data = padded(values[0].permute(TO_NCHW), pads, value=-torch.inf)
    return functional.max_pool2d(data, window, strides).permute(TO_NHWC)


def _average_pool(op: Operands, values: Sequence[Any]) -> Any:
    """The mean over the part of each window that lies in the image."""
    window, strides, pads = _pool_geometry(op)
    data = values[0].permute(TO_NCHW)
    means = functional.avg_pool2d(padded(data, pads), window, strides)
    if any(side for pair in pads for side in pair):
        inside = torch.ones((1, 1, *data.shape[2:]), dtype=data.dtype, device=data.device)
        means = means / functional.avg_pool2d(padded(inside, pads), window, strides)
    return means.permute(TO_NHWC)


def _source_places(op: Operands, axis: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Where each output row (axis 0) or column (1) of a resize lies in the input, before clamping."""
    size, target = op.shape(0)[1 + axis], op.values(1)[axis]
    places = np.arange(target, dtype=np.float64)
    if op.op.attributes.get("align_corners") and target > 1:
        return places * (size - 1) / (target - 1)
    if op.op.attributes.get("half_pixel_centers"):
        return (places + 0.5) * size / target - 0.5
    return places * size / target


def _resize_bilinear(op: Operands, values: Sequence[Any]) -> Any:
    result = values[0]
    for axis in (0, 1):
        size = result.shape[1 + axis]
        places = _source_places(op, axis)
        lower = np.maximum(np.floor(places), 0).astype(np.int64).clip(0, size - 1)
        upper = np.minimum(np.ceil(places), size - 1).astype(np.int64).clip(0, size - 1)
        share = torch.from_numpy((places - lower).astype(np.float32)).to(result.device)
        share = share.reshape([-1, 1, 1] if axis == 0 else [-1, 1])
        first, second = (
            result.index_select(1 + axis, torch.from_numpy(i).to(result.device)) for i in (lower, upper)
        )
        result = first + (second - first) * share
    return result


def _resize_nearest(op: Operands, values: Sequence[Any]) -> Any:
    result = values[0]
    for axis in (0, 1):
        places = _source_places(op, axis)
        aligned, half = op.op.attributes.get("align_corners"), op.op.attributes.get("half_pixel_centers")
        whole = np.floor(places + 0.5 if aligned or half else places)
        indices = torch.from_numpy(whole.astype(np.int64).clip(0, result.shape[1 + axis] - 1))
        result = result.index_select(1 + axis, indices.to(result.device))
    return result


def _space_to_depth(op: Operands, values: Sequence[Any]) -> Any:
    block = op.integer("block_size")
    count, height, width, depth = values[0].shape
    parts = values[0].reshape(count, height // block, block, width // block, block, depth)
    return parts.permute(0, 1, 3, 2, 4, 5).reshape(count, height // block, width // block, block * block * depth)


def _depth_to_space(op: Operands, values: Sequence[Any]) -> Any:
    block = op.integer("block_size")
    count, height, width, depth = values[0].shape
    parts = values[0].reshape(count, height, width, block, block, depth // (block * block))
    return parts.permute(0, 1, 3, 2, 4, 5).reshape(count, height * block, width * block, -1)


def _space_to_batch(op: Operands, values: Sequence[Any]) -> Any:
    (rows, columns), pads = op.values(1), op.values(2)
    data = functional.pad(values[0], (0, 0, *pads[2:], *pads[:2]))
    count, height, width, depth = data.shape
    parts = data.reshape(count, height // rows, rows, width // columns, columns, depth)
    return parts.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // rows, width // columns, depth)


def _batch_to_space(op: Operands, values: Sequence[Any]) -> Any:
    (rows, columns), (top, bottom, left, right) = op.values(1), op.values(2)
    _, height, width, depth = values[0].shape
    parts = values[0].reshape(rows, columns, -1, height, width, depth).permute(2, 3, 0, 4, 1, 5)
    whole = parts.reshape(-1, height * rows, width * columns, depth)
    return whole[:, top : height * rows - bottom, left : width * columns - right]


WINDOWS: Final[dict[str, Callable[[Operands, Sequence[Any]], Any]]] = {
    "MAX_POOL_2D": _max_pool,
    "AVERAGE_POOL_2D": _average_pool,
    "RESIZE_BILINEAR": _resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": _resize_nearest,
    "SPACE_TO_DEPTH": _space_to_depth,
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "BATCH_TO_SPACE_ND": _batch_to_space,
}
