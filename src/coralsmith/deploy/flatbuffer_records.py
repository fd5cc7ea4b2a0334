"""Writes flatbuffer tables from plain records: field numbers and values, no generated code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import flatbuffers
import numpy as np
from flatbuffers import number_types

_BYTES_ALIGNMENT: Final = 16  # force_align of nested flatbuffers


@dataclass(frozen=True)
class Byte:
    """A field of one byte: an enumeration, the type of a union, a truth value."""

    value: int


@dataclass(frozen=True)
class Integer:
    """A field of four bytes."""

    value: int


@dataclass(frozen=True)
class Record:
    """One table: values by field number.

    A `str` is a string, a `float` a 32-bit number, `bytes` a vector of bytes, a tuple a vector of 32-bit numbers,
    floats or integers, and a list a vector of tables.
    """

    fields: Mapping[int, object]


def encode(root: Record, identifier: bytes) -> bytes:
    """The flatbuffer of a record and all that it holds. Same record, same bytes."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, record: Record) -> int:
    references = {number: _reference(builder, value) for number, value in record.fields.items()}
    builder.StartObject(max(record.fields, default=-1) + 1)
    for number, value in record.fields.items():
        reference = references[number]
        if reference is not None:
            builder.PrependUOffsetTRelativeSlot(number, reference, 0)
        elif isinstance(value, Byte):
            builder.PrependUint8Slot(number, value.value, 0)
        elif isinstance(value, Integer):
            builder.PrependInt32Slot(number, value.value, 0)
        else:
            builder.PrependFloat32Slot(number, value, 0.0)
    return int(builder.EndObject())


def _reference(builder: flatbuffers.Builder, value: object) -> int | None:
    """Where a value that stands outside the table begins; None for one inside it."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Record):
        return _table(builder, value)
    if isinstance(value, bytes):
        builder.StartVector(1, len(value), _BYTES_ALIGNMENT)
        builder.head -= len(value)
        builder.Bytes[builder.head : builder.head + len(value)] = value
        return int(builder.EndVector())
    if isinstance(value, tuple):
        kind = np.int32 if all(isinstance(number, int) for number in value) else np.float32
        return int(builder.CreateNumpyVector(np.array(value, kind)))
    if isinstance(value, list):
        tables = [_table(builder, record) for record in value]
        builder.StartVector(number_types.UOffsetTFlags.bytewidth, len(tables), 4)
        for table in reversed(tables):
            builder.PrependUOffsetTRelative(table)
        return int(builder.EndVector())
    return None
