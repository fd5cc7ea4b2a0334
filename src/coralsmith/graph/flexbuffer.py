"""Reads FlexBuffers, the maps in which custom operators hold their options, whatever state they are in."""

from __future__ import annotations

import struct
from typing import Any, Final

FLEXBUFFER_DAMAGE: Final = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    OverflowError,
    KeyError,
    AttributeError,
    AssertionError,
)
"""What the reader of the `flatbuffers` package raises on damaged bytes; it checks nothing by itself."""


def flexbuffer_map(content: bytes) -> Any:
    """The map at the root of a FlexBuffer; each value is read when it is asked for.

    Raises:
        One of `FLEXBUFFER_DAMAGE`, here and wherever a value is read.
    """
    from flatbuffers import flexbuffers

    return flexbuffers.GetRoot(content).AsMap
