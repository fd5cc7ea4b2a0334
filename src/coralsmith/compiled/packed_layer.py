"""What one layer's parameters look like in a compiled file, before any value is known: shapes, and so sizes.

A layer is an operator with weights: CONV_2D, DEPTHWISE_CONV_2D (depth multiplier 1) or FULLY_CONNECTED.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from coralsmith.edgetpu.blocks import (
    LANES,
    anchor_classes,
    expanded_rows,
    group_rows,
    kept_taps,
    padded_lanes,
    padded_rows,
)
from coralsmith.graph.model import Op, Tensor

ZERO_BIAS_DROPPED_FROM: Final = 12
"""Oldest minimal runtime version whose files leave out a bias that is all zero."""

_COLUMN_BYTES: Final = 4
_FILTER_RANK: Final = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 2}


@dataclass(frozen=True)
class PackedLayer:
    """The form of one layer's parameters in a compiled file.

    Attributes:
        filter_shape: Of the weights in the `.tflite`: [outputs, height, width, inputs], [outputs, inputs], or, if
            depthwise, [1, height, width, channels].
        depthwise: Whether each output has one input channel only, its own.
        per_channel: Whether each output has a multiplier of its own.
        has_bias: Whether a bias is stored.
        kept_rows: Rows of the kernel that are stored.
        kept_columns: Columns of the kernel that are stored.
        classes: Outputs of each anchor that are padded to a multiple of 4; None where none are.
        blocks_together: Blocks of 4 input channels that are stored together before the next tap; the compiler's
            choice. A divisor of `channel_blocks`.
    """

    filter_shape: tuple[int, ...]
    depthwise: bool = False
    per_channel: bool = False
    has_bias: bool = True
    kept_rows: tuple[int, ...] = (0,)
    kept_columns: tuple[int, ...] = (0,)
    classes: int | None = None
    blocks_together: int = 0

    def __post_init__(self) -> None:
        if not self.blocks_together:
            object.__setattr__(self, "blocks_together", self.channel_blocks)
        if self.channel_blocks % self.blocks_together:
            raise ValueError(f"{self.channel_blocks} blocks cannot be stored {self.blocks_together} at a time")

    @property
    def outputs(self) -> int:
        """Output channels of the operator."""
        return self.filter_shape[-1] if self.depthwise else self.filter_shape[0]

    @property
    def inputs(self) -> int:
        """Input channels that each output sees."""
        return 1 if self.depthwise else self.filter_shape[-1]

    @property
    def taps(self) -> int:
        """Positions of the kernel that are stored."""
        return len(self.kept_rows) * len(self.kept_columns)

    @property
    def channel_blocks(self) -> int:
        """Blocks of 4 input channels."""
        return 1 if self.depthwise else padded_lanes(self.inputs) // LANES

    @property
    def real_rows(self) -> int:
        """Outputs, those included that pad each anchor."""
        return self.outputs if self.depthwise else expanded_rows(self.outputs, self.classes)

    @property
    def group(self) -> int:
        """Rows of one group, which has a header of its own."""
        return LANES if self.depthwise else group_rows(self.real_rows)

    @property
    def rows(self) -> int:
        """All rows that are stored."""
        return padded_lanes(self.outputs) if self.depthwise else padded_rows(self.real_rows)

    @property
    def groups(self) -> int:
        """Groups of outputs."""
        return self.rows // self.group

    @property
    def columns(self) -> int:
        """Columns of a header: multipliers, bias, zero points."""
        return (2 if self.per_channel else 0) + (1 if self.has_bias else 0)

    @property
    def header_bytes(self) -> int:
        """Bytes of the header of one group."""
        return self.columns * self.group * _COLUMN_BYTES

    @property
    def group_bytes(self) -> int:
        """Bytes of one group."""
        return self.header_bytes + self.taps * self.channel_blocks * self.group * LANES

    @property
    def size(self) -> int:
        """Bytes of the layer."""
        return self.groups * self.group_bytes

    @property
    def row_of_output(self) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """The row in which each output is stored."""
        outputs = np.arange(self.outputs)
        if self.depthwise or self.classes is None:
            return outputs
        return outputs // self.classes * padded_lanes(self.classes) + outputs % self.classes


def has_known_packing(op: Op) -> bool:
    """Whether it is known how the operator's parameters are packed."""
    rank = _FILTER_RANK.get(op.kind)
    if rank is None or len(op.inputs) < 2 or op.inputs[1] is None or len(op.inputs[1].shape) != rank:
        return False
    if math.prod(op.inputs[1].shape) == 0 or op.attributes.get("depth_multiplier", 1) != 1:
        return False
    return rank == 2 or len(op.required_input("input").shape) == len(op.output.shape) == rank


def packed_layer(op: Op, readers: Mapping[Tensor, list[Op]], min_runtime: int) -> PackedLayer:
    """The form that a quantized operator's parameters have in a compiled file.

    Args:
        op: An operator for which `has_known_packing` holds.
        readers: `Graph.consumers()`.
        min_runtime: Of the compiled file.

    Returns:
        The form, with all blocks of input channels stored together.
    """
    weights, bias = op.required_input("filter"), op.input("bias")
    stored = bias is not None and (
        bias.data is None or bool(bias.data.any()) or min_runtime < ZERO_BIAS_DROPPED_FROM
    )
    per_channel = weights.quant is not None and weights.quant.is_per_channel
    plain = PackedLayer(weights.shape, per_channel=per_channel, has_bias=stored)
    if op.kind == "FULLY_CONNECTED":
        return plain
    if op.kind == "DEPTHWISE_CONV_2D":
        rows, columns = (tuple(range(size)) for size in weights.shape[1:3])
        return replace(plain, depthwise=True, kept_rows=rows, kept_columns=columns, blocks_together=1)
    return replace(
        plain, kept_rows=kept_taps(op, 1), kept_columns=kept_taps(op, 2), classes=anchor_classes(op, readers)
    )
