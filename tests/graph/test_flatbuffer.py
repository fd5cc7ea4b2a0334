"""The table reader agrees with the official library on good buffers and raises its own error on bad ones."""

from __future__ import annotations

import contextlib

import flatbuffers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.graph.flatbuffer import MAX_TABLES, FlatbufferError, Table, TableBudget


def build(number: int, blob: bytes, strings: list[bytes]) -> bytes:
    """A table with an int32 (field 0), a byte vector (field 2) and a vector of strings (field 3)."""
    builder = flatbuffers.Builder()
    blob_offset = builder.CreateByteVector(blob)
    string_offsets = [builder.CreateString(string) for string in strings]
    builder.StartVector(4, len(strings), 4)
    for offset in reversed(string_offsets):
        builder.PrependUOffsetTRelative(offset)
    strings_offset = builder.EndVector()
    builder.StartObject(5)
    builder.PrependInt32Slot(0, number, 0)
    builder.PrependUOffsetTRelativeSlot(2, blob_offset, 0)
    builder.PrependUOffsetTRelativeSlot(3, strings_offset, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TEST")
    return bytes(builder.Output())


@given(st.integers(-(2**31), 2**31 - 1), st.binary(), st.lists(st.binary()))
def test_what_the_official_builder_wrote_is_read_back(number, blob, strings):
    table = Table.root(memoryview(build(number, blob, strings)), b"TEST")
    assert table.integer(0, "<i") == number
    assert bytes(table.content(2)) == blob
    assert [bytes(string) for string in table.contents(3)] == strings


def test_absent_fields_have_their_defaults():
    table = Table.root(memoryview(build(0, b"", [])))
    assert table.integer(0, "<i", default=-1) == -1  # the builder leaves out a zero
    assert table.integer(9, "<q", default=7) == 7
    assert bytes(table.content(4)) == b"" and table.contents(4) == [] and table.tables(4) == []


def test_a_wrong_identifier_is_refused():
    with pytest.raises(FlatbufferError, match="identifier DWN1 is missing"):
        Table.root(memoryview(build(1, b"", [])), b"DWN1")


@given(st.data())
def test_damage_never_escapes_as_another_error(data):
    content = bytearray(build(5, b"bytes", [b"one", b"two"]))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    cut = memoryview(content)[: data.draw(st.integers(0, len(content)))]
    with contextlib.suppress(FlatbufferError):
        table = Table.root(cut)
        table.integer(0, "<i")
        table.content(2)
        table.contents(3)
        table.tables(3)


def aliased(count: int, inner: int = 0) -> memoryview:
    """A root table whose field 0 is a vector of offsets, all to one table that holds `inner` bytes."""
    builder = flatbuffers.Builder()
    content = builder.CreateByteVector(bytes(inner))
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, content, 0)
    target = builder.EndObject()
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(target)
    vector = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, vector, 0)
    builder.Finish(builder.EndObject())
    return memoryview(bytes(builder.Output()))


def test_a_table_that_is_pointed_to_often_cannot_multiply_what_it_holds():
    tables = Table.root(aliased(100, inner=5000)).tables(0)
    with pytest.raises(FlatbufferError, match="more bytes together than the buffer"):
        for table in tables:
            table.content(0)


def test_a_small_buffer_cannot_describe_many_tables():
    with pytest.raises(FlatbufferError, match="more bytes together than the buffer"):
        Table.root(aliased(2000)).tables(0)


def test_the_buffers_of_a_file_share_one_budget_of_tables():
    budget, buffer = TableBudget(), aliased(100, inner=5000)
    with pytest.raises(FlatbufferError, match=f"more than {MAX_TABLES:,} tables"):
        for _ in range(MAX_TABLES):
            Table.root(buffer, tables=budget).tables(0)


def test_what_a_builder_shares_by_right_can_be_read():
    root = Table.root(memoryview(build(5, bytes(1000), [b"one", b"two"])))
    assert len(root.content(2)) == len(root.content(2)) == 1000  # a name stands in a layer and in its transfers
