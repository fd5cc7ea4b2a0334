"""Gives a `.tflite` file metadata, plain output order and no signatures, and leaves all else of it byte by byte.

The Edge TPU's program must not be touched, so the file is not written anew. A flatbuffer's references count
forward from where they stand: a new root table in front of the old file can refer to everything in it. What lies
behind it is the old file, verbatim, but for the few numbers of the output list where their order changes.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Final

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from coralsmith.deploy.metadata_schema import ENTRY
from coralsmith.errors import MalformedModelError, UnsupportedModelError
from coralsmith.graph import Graph
from coralsmith.graph.reader import MAX_TABLES, parse_tflite
from coralsmith.graph.schema import FILE_IDENTIFIER

ARCHIVE_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""Of every file in every archive, so that the same content makes the same bytes."""

_ALIGNMENT: Final = 64  # what stood on such a boundary still does
_ROOM: Final = 4096
_DAMAGE: Final = (struct.error, IndexError, ValueError, TypeError, OverflowError, AssertionError)
_FIELDS: Final = {
    name: 4 + 2 * number
    for number, name in enumerate(
        ("version", "operator_codes", "subgraphs", "description", "buffers", "metadata_buffer", "metadata")
    )
}  # offsets in the vtable of the table Model


def with_metadata(
    content: bytes,
    metadata: bytes,
    files: Mapping[str, bytes],
    output_order: Sequence[int] | None = None,
) -> bytes:
    """A model file with other metadata.

    Args:
        content: A `.tflite` file. Metadata and files behind the model that it has already are replaced.
        metadata: The flatbuffer of the metadata.
        files: The files that it names, for the archive behind the model.
        output_order: Old positions of the model's outputs in their new order; None leaves them.

    Returns:
        The file; it has no signatures, so that its outputs are known by position only.

    Raises:
        UnsupportedModelError: Constants stand behind the flatbuffer, where they are known by absolute position.
        MalformedModelError: The file is damaged.
    """
    graph = parse_tflite(content)
    if graph.facts.external_constants:
        raise UnsupportedModelError(
            "The model keeps its constants behind the flatbuffer, which nothing of 2021 reads.",
            hint="Write it anew with `coralsmith convert`.",
        )
    body = bytearray(_without_archive(content))
    body += bytes(-len(body) % _ALIGNMENT)
    try:
        if output_order is not None:
            _reorder_outputs(body, output_order)
        whole = _with_root(body, metadata)
    except _DAMAGE as error:
        raise MalformedModelError(
            "The model is damaged where nothing has looked so far: its list of buffers."
        ) from error
    _require_same(graph, parse_tflite(whole), output_order)
    return _with_archive(whole, files)


def _without_archive(content: bytes) -> bytes:
    """The model alone, without the zip archive that may stand behind it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            starts = [member.header_offset for member in archive.infolist()]
            return content[: min(starts, default=archive.start_dir)]
    except (zipfile.BadZipFile, ValueError, struct.error):
        return content


def _with_archive(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """The model with files behind it, stored as they are, found at positions that count from the file's start."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, ARCHIVE_DATE), data)
    return stream.getvalue()


def _reorder_outputs(body: bytearray, order: Sequence[int]) -> None:
    table = schema.Model.GetRootAs(body, 0).Subgraphs(0)._tab
    start = table.Vector(table.Offset(8))  # SubGraph.outputs, its third field
    layout = f"<{len(order)}i"
    numbers = struct.unpack_from(layout, body, start)
    struct.pack_into(layout, body, start, *(numbers[position] for position in order))


def _with_root(body: bytearray, metadata: bytes) -> bytes:
    """The body behind a new root table."""
    model = schema.Model.GetRootAs(body, 0)
    builder = flatbuffers.Builder(len(body) + len(metadata) + _ROOM)
    builder.head -= len(body)
    builder.Bytes[builder.head :] = body
    builder.minalign = _ALIGNMENT

    def old(position: int) -> int:
        """A position in the body as the builder counts: from the end."""
        return len(body) - position

    if model.BuffersLength() > MAX_TABLES:
        raise ValueError(f"{model.BuffersLength()} buffers")
    buffers = [old(model.Buffers(number)._tab.Pos) for number in range(model.BuffersLength())]
    entries = [
        old(entry._tab.Pos)
        for entry in (model.Metadata(number) for number in range(model.MetadataLength()))
        if entry.Name() != ENTRY.encode()
    ]
    entries.append(_entry(builder, len(buffers)))
    buffers.append(_buffer(builder, metadata))
    vectors = {"buffers": _offsets(builder, buffers), "metadata": _offsets(builder, entries)}
    kept = ("operator_codes", "subgraphs", "description", "metadata_buffer")
    vectors |= {name: old(place) for name in kept if (place := _place(model, name)) is not None}
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, model.Version())
    for name, place in vectors.items():
        builder.PrependUOffsetTRelativeSlot((_FIELDS[name] - 4) // 2, place, 0)
    builder.Finish(schema.ModelEnd(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def _place(model: Any, field: str) -> int | None:
    """Where a vector or string of the root stands; None where it is absent."""
    table = model._tab
    entry = table.Offset(_FIELDS[field])
    return table.Indirect(table.Pos + entry) if entry else None


def _entry(builder: flatbuffers.Builder, buffer: int) -> int:
    name = builder.CreateString(ENTRY)
    schema.MetadataStart(builder)
    schema.MetadataAddName(builder, name)
    schema.MetadataAddBuffer(builder, buffer)
    return int(schema.MetadataEnd(builder))


def _buffer(builder: flatbuffers.Builder, content: bytes) -> int:
    builder.StartVector(1, len(content), 16)  # force_align of Buffer.data
    builder.head -= len(content)
    builder.Bytes[builder.head : builder.head + len(content)] = content
    data = builder.EndVector()
    schema.BufferStart(builder)
    schema.BufferAddData(builder, data)
    return int(schema.BufferEnd(builder))


def _offsets(builder: flatbuffers.Builder, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())


def _require_same(before: Graph, after: Graph, order: Sequence[int] | None) -> None:
    """Make sure that nothing but the order of the outputs differs: tables of a hostile file may share bytes."""
    outputs = [tensor.name for tensor in before.outputs]
    expected = outputs if order is None else [outputs[position] for position in order]
    same_programs = [op.custom_options for op in before.ops] == [op.custom_options for op in after.ops]
    same_edges = [[t.name for t in op.outputs] for op in before.ops] == [
        [t.name for t in op.outputs] for op in after.ops
    ]
    if not (same_programs and same_edges and [tensor.name for tensor in after.outputs] == expected):
        raise UnsupportedModelError("The model cannot be given metadata: its tables share bytes.")
