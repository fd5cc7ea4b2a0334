"""The table that newer compilers add to the parameters for a SOFTMAX behind a dense layer.

Three columns over the classes, four of which stand at the start of every 64 bytes: two offsets, 0, and a scale.
Where there is no class the offset is -0, the scale the greatest float32 times as large. The scale is that of what
the SOFTMAX reads, but computed anew from the range of its integers, which may move it by one float32 step.

Source: the three published pairs that have it, all with 10 classes; it reproduces their 576 bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.edgetpu.blocks import LANES, padded_lanes

_BLOCK: Final = 16  # float32 numbers from four classes to the next four
_COLUMNS: Final = 3
_STEPS: Final = 255


def softmax_table_bytes(classes: int) -> int:
    """How long the table is."""
    return _COLUMNS * padded_lanes(classes) // LANES * _BLOCK * 4


def softmax_table(scale: np.float32, classes: int) -> bytes:
    """The table for a scale."""
    rows = padded_lanes(classes)
    table = np.zeros((_COLUMNS, rows), "<f4")
    table[:2, classes:] = -0.0
    table[2] = scale
    table[2, classes:] = np.float32(scale) * np.finfo(np.float32).max
    blocks = np.zeros((_COLUMNS, rows // LANES, _BLOCK), "<f4")
    blocks[:, :, :LANES] = table.reshape(_COLUMNS, -1, LANES)
    return blocks.tobytes()


def scale_of_softmax_table(content: bytes, classes: int) -> np.float32 | None:
    """The scale that a table was made for; None if the bytes are no such table."""
    if len(content) != softmax_table_bytes(classes):
        return None
    scale = np.float32(np.frombuffer(content, "<f4")[2 * len(content) // _COLUMNS // 4])
    is_scale = bool(0 < scale < np.inf)
    with np.errstate(over="ignore"):
        return scale if is_scale and softmax_table(scale, classes) == content else None


def scale_of_range(scale: NDArray[np.float32], zero_point: int) -> NDArray[np.float32]:
    """The scales of tensors, computed anew from the real numbers at both ends of their integers.

    Args:
        scale: float32.
        zero_point: In the uint8 domain.
    """
    low, high = (np.float32(end - zero_point) * scale for end in (0, _STEPS))
    return ((high - low) / np.float32(_STEPS)).astype(np.float32)
