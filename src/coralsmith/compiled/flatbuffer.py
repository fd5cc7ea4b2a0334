"""A reader of flatbuffer tables that trusts no offset: every access is checked against the buffer.

Source: the FlatBuffers internals page (https://flatbuffers.dev/internals). Fields are numbered in the order of
their declaration; an absent field has its default value.
"""

from __future__ import annotations

import struct
from typing import Any, Final

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

    def floating(self, field: int, default: float = 0.0) -> float:
        """A 32-bit floating-point field."""
        position = self._field(field)
        value: float = default if position is None else _unpack("<f", self._content, position)
        return value

    def text(self, field: int) -> str:
        """A string; bytes that are no UTF-8 are replaced."""
        return bytes(self.content(field)).decode("utf-8", "replace")

    def table(self, field: int) -> Table | None:
        """A table, or the table of a union; None where absent."""
        position = self._field(field)
        return None if position is None else Table(self._content, self._follow(position))

    def integers(self, field: int, layout: str) -> tuple[int, ...]:
        """A vector of scalars of the `struct` layout."""
        position = self._field(field)
        if position is None:
            return ()
        size = struct.calcsize(layout)
        start, length = self._vector(position, size)
        return tuple(_unpack(layout, self._content, start + size * i) for i in range(length))

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
        start, length = self._vector(position, 4)
        return [self._follow(start + 4 * i) for i in range(length)]

    def _vector(self, position: int, element_size: int) -> tuple[int, int]:
        """Where the elements of a vector start, and how many there are."""
        start = self._follow(position)
        length = _unpack("<I", self._content, start)
        if length > _MAX_VECTOR or start + 4 + element_size * length > len(self._content):
            raise FlatbufferError(f"a vector of {length} elements does not fit into the buffer")
        return start + 4, length

    def _follow(self, position: int) -> int:
        offset: int = _unpack("<I", self._content, position)
        return position + offset

    def _bytes(self, start: int) -> memoryview:
        length = _unpack("<I", self._content, start)
        if start + 4 + length > len(self._content):
            raise FlatbufferError(f"{length} bytes do not fit into the buffer")
        return self._content[start + 4 : start + 4 + length]


def _unpack(layout: str, content: memoryview, position: int) -> Any:
    if position < 0 or position + struct.calcsize(layout) > len(content):
        raise FlatbufferError(f"offset {position} lies outside the buffer")
    return struct.unpack_from(layout, content, position)[0]
