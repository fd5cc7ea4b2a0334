"""Operators with weights. A view of NHWC values as NCHW costs nothing, and tells torch the memory format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch.nn import functional

from coralsmith.graph.operands import Operands
from coralsmith.graph.shapes import same_padding

TO_NCHW: Final = (0, 3, 1, 2)
TO_NHWC: Final = (0, 2, 3, 1)


def paddings(op: Operands, size: Sequence[int], window: Sequence[int]) -> list[tuple[int, int]]:
    """Rows before and after, then columns before and after, by which a window operator pads its input."""
    if op.op.attributes.get("padding", "SAME") != "SAME":
        return [(0, 0), (0, 0)]
    strides = op.integer("stride_h"), op.integer("stride_w")
    dilations = op.integer("dilation_h_factor", 1), op.integer("dilation_w_factor", 1)
    return [same_padding(size[i], window[i], strides[i], dilations[i]) for i in (0, 1)]


def padded(data: Any, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Any:
    """NCHW data with rows and columns of a value around it."""
    rows, columns = pads
    return functional.pad(data, (*columns, *rows), value=value) if any((*rows, *columns)) else data


def _as_memory_of(weights: Any, data: Any) -> Any:
    """The weights in the memory format of the data, so that torch converts neither in each step."""
    last = data.is_contiguous(memory_format=torch.channels_last)
    return weights.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def _convolution(op: Operands, data: Any, weights: Any, bias: Any, groups: int) -> Any:
    """2-D convolution with TFLite's padding; NHWC data, weights [out, in / groups, rows, columns]."""
    data = data.permute(TO_NCHW)
    pads = paddings(op, data.shape[2:], weights.shape[2:])
    symmetric = all(before == after for before, after in pads)
    around = tuple(before for before, _ in pads) if symmetric else (0, 0)
    result = functional.conv2d(
        data if symmetric else padded(data, pads),
        _as_memory_of(weights, data),
        bias,
        stride=(op.integer("stride_h"), op.integer("stride_w")),
        padding=around,
        dilation=(op.integer("dilation_h_factor", 1), op.integer("dilation_w_factor", 1)),
        groups=groups,
    )
    return result.permute(TO_NHWC)


def _conv_2d(op: Operands, values: Sequence[Any]) -> Any:
    data, weights, bias = _three(values)
    return _convolution(op, data, weights.permute(TO_NCHW), bias, data.shape[3] // weights.shape[3])


def _depthwise(op: Operands, values: Sequence[Any]) -> Any:
    data, weights, bias = _three(values)
    return _convolution(op, data, weights.permute(3, 0, 1, 2), bias, data.shape[3])


def _fully_connected(op: Operands, values: Sequence[Any]) -> Any:
    data, weights, bias = _three(values)
    rows = functional.linear(data.reshape(-1, weights.shape[1]), weights, bias)
    return rows if rows.ndim == len(op.op.output.shape) else rows.reshape(-1, *op.op.output.shape[1:])


def _transpose_conv(op: Operands, values: Sequence[Any]) -> Any:
    """The gradient of a convolution from the output back to the input (conv2d_transpose), cut to its size."""
    weights, data = values[1], values[2]
    bias = values[3] if len(values) > 3 else None
    size = op.op.output.shape[1:3]
    pads = paddings(op, size, weights.shape[1:3])
    whole = functional.conv_transpose2d(
        data.permute(TO_NCHW),
        weights.permute(3, 0, 1, 2),
        bias,
        stride=(op.integer("stride_h"), op.integer("stride_w")),
    ).permute(TO_NHWC)
    (top, _), (left, _) = pads
    missing = [
        max(0, first + side - have) for first, side, have in zip((top, left), size, whole.shape[1:3], strict=True)
    ]
    if any(missing):
        assert bias is None or not bias.any(), "places that no window reaches hold the bias alone"
        whole = functional.pad(whole, (0, 0, 0, missing[1], 0, missing[0]))
    return whole[:, top : top + size[0], left : left + size[1]]


def _three(values: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Activation, weights and bias, which may be absent."""
    return values[0], values[1], values[2] if len(values) > 2 else None


LAYERS: Final[dict[str, Callable[[Operands, Sequence[Any]], Any]]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transpose_conv,
}
