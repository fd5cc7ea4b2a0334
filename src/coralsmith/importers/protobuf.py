"""Reads protobuf's wire format as far as telling files apart and finding names in them needs."""

from __future__ import annotations

from collections.abc import Iterator


def fields(content: bytes | memoryview) -> Iterator[tuple[int, int | bytes | memoryview]]:
    """Fields of a message by number, as far as they can be read; the last one may be cut off.

    Args:
        content: The message; parts of a memoryview are views themselves.

    Yields:
        Field number, and its number or its bytes; fixed-width fields are left out.
    """
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(content, position)
            yield number, value
        elif wire_type == 2:
            length, position = _varint(content, position)
            yield number, content[position : position + length]
            position += length
        elif wire_type in (1, 5):
            position += 8 if wire_type == 1 else 4
        else:
            return


def _varint(content: bytes | memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(content):
            return 0, position
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return 0, len(content)
