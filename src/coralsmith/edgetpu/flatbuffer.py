"""A reader of flatbuffer tables that trusts no offset: every access is checked against the buffer.

Source: the FlatBuffers internals page (https://flatbuffers.dev/internals). Fields are numbered in the order of
their declaration; an absent field has its default value.
"""

from __future__ import annotations

import struct
from typing import Final

_VTABLE_HEADER: Final = 4
_MAX_VECTOR: Final = 65_536


class FlatbufferError(ValueError):
    """An offset or a length that points outside the buffer."""


class Table:
    """One table inside a buffer.

    Args:
        content: The whole flatbuffer.
        position: Where the table starts.

    Raises:
        FlatbufferError: Here and in every method: the table, its vtable or a field lies outside the buffer.
    """

    def __init__(self, content: memoryview, position: int) -> None:
        self._content = content
        self._position = position
        self._vtable = position - _unpack("<i", content, position)
        self._vtable_size = _unpack("<H", content, self._vtable)

    @staticmethod
    def root(content: memoryview, identifier: bytes = b"") -> Table:
        """The root table of a flatbuffer that bears the four-byte `identifier`, where one is given."""
        if identifier and bytes(content[4:8]) != identifier:
            raise FlatbufferError(f"the file identifier {identifier.decode()} is missing")
        return Table(content, _unpack("<I", content, 0))

    def integer(self, field: int, layout: str, default: int = 0) -> int:
        """A scalar field of the `struct` layout "<i", "<h", "<Q" and the like."""
        position = self._field(field)
        return default if position is None else _unpack(layout, self._content, position)

    def content(self, field: int) -> memoryview:
        """A string or a vector of bytes; empty where absent."""
        position = self._field(field)
        return self._content[:0] if position is None else self._bytes(self._follow(position))

    def contents(self, field: int) -> list[memoryview]:
        """A vector of strings."""
        return [self._bytes(target) for target in self._targets(field)]

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        return [Table(self._content, target) for target in self._targets(field)]

    def _field(self, field: int) -> int | None:
        entry = _VTABLE_HEADER + 2 * field
        if entry + 2 > self._vtable_size:
            return None
        offset = _unpack("<H", self._content, self._vtable + entry)
        return self._position + offset if offset else None

    def _targets(self, field: int) -> list[int]:
        position = self._field(field)
        if position is None:
            return []
        start = self._follow(position)
        length = _unpack("<I", self._content, start)
        if length > _MAX_VECTOR or start + 4 + 4 * length > len(self._content):
            raise FlatbufferError(f"a vector of {length} elements does not fit into the buffer")
        return [self._follow(start + 4 + 4 * i) for i in range(length)]

    def _follow(self, position: int) -> int:
        return position + _unpack("<I", self._content, position)

    def _bytes(self, start: int) -> memoryview:
        length = _unpack("<I", self._content, start)
        if start + 4 + length > len(self._content):
            raise FlatbufferError(f"{length} bytes do not fit into the buffer")
        return self._content[start + 4 : start + 4 + length]


def _unpack(layout: str, content: memoryview, position: int) -> int:
    if position < 0 or position + struct.calcsize(layout) > len(content):
        raise FlatbufferError(f"offset {position} lies outside the buffer")
    value: int = struct.unpack_from(layout, content, position)[0]
    return value
