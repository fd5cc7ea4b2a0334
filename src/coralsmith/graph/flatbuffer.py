"""A reader of flatbuffer tables that trusts no offset: every access is checked against the buffer.

Offsets may point to the same table or vector any number of times, so that a small file could describe an endless
one. Whatever is read is therefore charged to a budget: a buffer gives away no more than twice its own bytes (names
may be shared), and all the buffers of a file together no more than a bounded number of tables.

Source: the FlatBuffers internals page (https://flatbuffers.dev/internals). Fields are numbered in the order of
their declaration; an absent field has its default value.
"""

from __future__ import annotations

import struct
from typing import Any, Final

MAX_TABLES: Final = 1 << 14
"""Of one file; the published compiled models have 40 to 80."""

_VTABLE_HEADER: Final = 4
_SMALLEST_TABLE: Final = 8  # its offset to the vtable, and the offset that points to it
_MAX_VECTOR: Final = 1 << 16


class FlatbufferError(ValueError):
    """An offset or a length that points outside the buffer, or more tables than any real file has."""


class TableBudget:
    """How many tables may still be read; shared by the buffers of one file."""

    def __init__(self, tables: int = MAX_TABLES) -> None:
        self._tables = self._left = tables

    def charge(self, tables: int) -> None:
        """Take tables off the budget.

        Raises:
            FlatbufferError: It is used up.
        """
        self._left -= tables
        if self._left < 0:
            raise FlatbufferError(f"it describes more than {self._tables:,} tables")


class _Buffer:
    """The bytes of one flatbuffer, and what may still be read of them."""

    def __init__(self, content: memoryview, tables: TableBudget) -> None:
        self.content = content
        self.tables = tables
        self._bytes_left = 2 * len(content)

    def charge(self, size: int) -> None:
        """Take bytes off the budget."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise FlatbufferError("its tables and vectors have more bytes together than the buffer")


class Table:
    """One table inside a buffer.

    Args:
        buffer: The flatbuffer and its budget.
        position: Where the table starts.

    Raises:
        FlatbufferError: Here and in every method: the table, its vtable or a field lies outside the buffer.
    """

    def __init__(self, buffer: _Buffer, position: int) -> None:
        self._buffer = buffer
        self._content = buffer.content
        self._position = position
        self._vtable = position - _unpack("<i", self._content, position)
        self._vtable_size = _unpack("<H", self._content, self._vtable)

    @staticmethod
    def root(content: memoryview, identifier: bytes = b"", tables: TableBudget | None = None) -> Table:
        """The root table of a flatbuffer.

        Args:
            content: The whole flatbuffer.
            identifier: The four bytes that it must bear; empty for none.
            tables: The budget of the file that the buffer is part of; None for one of its own.
        """
        if identifier and bytes(content[4:8]) != identifier:
            raise FlatbufferError(f"the file identifier {identifier.decode()} is missing")
        budget = tables or TableBudget()
        budget.charge(1)
        return Table(_Buffer(content, budget), _unpack("<I", content, 0))

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
        return None if position is None else self._table(self._follow(position))

    def integers(self, field: int, layout: str) -> tuple[int, ...]:
        """A vector of scalars of the `struct` layout."""
        position = self._field(field)
        if position is None:
            return ()
        start, length = self._vector(position, struct.calcsize(layout))
        return struct.unpack_from(f"<{length}{layout[1:]}", self._content, start)

    def floats(self, field: int) -> tuple[float, ...]:
        """A vector of 32-bit floating-point numbers."""
        return self.integers(field, "<f")

    def contents(self, field: int) -> list[memoryview]:
        """A vector of strings."""
        return [self._bytes(target) for target in self._targets(field)]

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        return [self._table(target) for target in self._targets(field)]

    def _table(self, position: int) -> Table:
        self._buffer.tables.charge(1)
        self._buffer.charge(_SMALLEST_TABLE)
        return Table(self._buffer, position)

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
        self._buffer.charge(element_size * length)
        return start + 4, length

    def _follow(self, position: int) -> int:
        offset: int = _unpack("<I", self._content, position)
        return position + offset

    def _bytes(self, start: int) -> memoryview:
        length = _unpack("<I", self._content, start)
        if start + 4 + length > len(self._content):
            raise FlatbufferError(f"{length} bytes do not fit into the buffer")
        self._buffer.charge(length)
        return self._content[start + 4 : start + 4 + length]


def _unpack(layout: str, content: memoryview, position: int) -> Any:
    if position < 0 or position + struct.calcsize(layout) > len(content):
        raise FlatbufferError(f"offset {position} lies outside the buffer")
    return struct.unpack_from(layout, content, position)[0]
