"""Parameters that the compiler adds on its own, which belong to no layer, as far as they are known."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np

ALIGNMENT: Final = "zeros up to the next 64 bytes"
MATRIX: Final = "matrices of zeros and ones that move values (RESHAPE, CONCATENATION)"
SOFTMAX: Final = "tables of SOFTMAX"

_ALIGNED_TO: Final = 64
_MOVERS: Final = frozenset({"RESHAPE", "CONCATENATION"})

SOFTMAX_BYTES: Final = (576, 48_256)
"""Behind the last layer: 576 bytes in three models of compiler 16; 48,256 in three re-compiled MobileNet V1."""


def addition(content: bytes, start: int, end: int, kinds: Collection[str]) -> str:
    """What the bytes from `start` to `end` are; empty where that is not known.

    Args:
        content: All parameters of the program.
        start: The first byte.
        end: The first byte behind.
        kinds: Kinds of the operators on the Edge TPU.
    """
    values = np.frombuffer(content, np.uint8, end - start, start)
    if not values.any():
        return ALIGNMENT if len(values) < _ALIGNED_TO and end % _ALIGNED_TO == 0 else ""
    if "SOFTMAX" in kinds and end == len(content) and end - start in SOFTMAX_BYTES:
        return SOFTMAX
    if int(values.max()) <= 1 and end % _ALIGNED_TO == 0 and _MOVERS & set(kinds):
        return MATRIX
    return ""
