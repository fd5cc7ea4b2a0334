"""How the compiler cuts the parameters of a layer into blocks: the rows and channels it adds, the taps it drops.

Source: the packing rules that reproduce the parameters of published compiled models to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from coralsmith.graph.model import Op, Tensor
from coralsmith.graph.shapes import same_padding

GRID: Final = 4
"""Tiles along the height and along the width of a map."""

LANES: Final = 4
"""Input channels that are multiplied together; channels are padded to a multiple."""

TILE_ROWS: Final = 16
GROUP_ROWS: Final = 64


def padded_rows(outputs: int) -> int:
    """Outputs as they are stored: in groups of 64; fewer than 64 in one group of a multiple of 16."""
    return multiple(outputs, TILE_ROWS if outputs < GROUP_ROWS else GROUP_ROWS)


def group_rows(outputs: int) -> int:
    """Rows of one group of outputs."""
    return min(padded_rows(outputs), GROUP_ROWS)


def padded_lanes(channels: int) -> int:
    """Input channels as they are stored."""
    return multiple(channels, LANES)


def multiple(value: int, step: int) -> int:
    """`value` rounded up to a multiple of `step`."""
    return -(-value // step) * step


def expanded_rows(outputs: int, classes: int | None) -> int:
    """Outputs after each anchor's `classes` were padded to a multiple of 4; None leaves them as they are."""
    return outputs if classes is None else outputs // classes * padded_lanes(classes)


def anchor_classes(op: Op, readers: Mapping[Tensor, list[Op]]) -> int | None:
    """Classes of each anchor, where the compiler pads them to a multiple of 4; else None.

    It does so for a convolution whose only reader is the RESHAPE to [1, anchors, classes] of a detector's head.

    Args:
        op: A convolution.
        readers: `Graph.consumers()`.
    """
    following = readers.get(op.output, [])
    if len(following) != 1 or following[0].kind != "RESHAPE" or len(following[0].output.shape) != 3:
        return None
    classes, outputs = following[0].output.shape[-1], op.required_input("filter").shape[0]
    return classes if classes % LANES and outputs % classes == 0 else None


def kept_taps(op: Op, axis: int) -> tuple[int, ...]:
    """Kernel rows (axis 1) or columns (axis 2) that ever meet the input; the others see padding only.

    Args:
        op: A convolution with four-dimensional input, filter and output.
        axis: The dimension of the map.
    """
    kernel = op.required_input("filter").shape[axis]
    size, outputs = op.required_input("input").shape[axis], op.output.shape[axis]
    stride, dilation, before = sliding(op, axis, kernel)
    first_inside = (-(-(before - tap * dilation) // stride) for tap in range(kernel))
    last_inside = ((size - 1 + before - tap * dilation) // stride for tap in range(kernel))
    reached = zip(range(kernel), first_inside, last_inside, strict=True)
    return tuple(tap for tap, first, last in reached if max(first, 0) <= min(last, outputs - 1))


def sliding(op: Op, axis: int, kernel: int) -> tuple[int, int, int]:
    """Stride, dilation, and padding in front of the map, of a kernel that slides along an axis (1: rows)."""
    suffix = "h" if axis == 1 else "w"
    stride, dilation = (positive_attribute(op, name) for name in (f"stride_{suffix}", f"dilation_{suffix}_factor"))
    size = op.required_input("input").shape[axis]
    same = op.attributes.get("padding") == "SAME"
    return stride, dilation, same_padding(size, kernel, stride, dilation)[0] if same else 0


def positive_attribute(op: Op, name: str) -> int:
    """A stride, dilation or size; 1 where it is missing or no positive number."""
    value = op.attributes.get(name)
    return value if isinstance(value, int) and value > 0 else 1
