"""Which files beside an ONNX model hold its weights, told without onnx: they belong to the source's hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coralsmith.importers.protobuf import fields

# Field numbers of onnx.proto.
_GRAPH: Final = 7
_INITIALIZER: Final = 5
_EXTERNAL_DATA: Final = 13
_KEY, _VALUE = 1, 2
_FIRST_FIELD: Final = b"\x08"  # ir_version
_MAX_FILES: Final = 1000


def weight_files(path: Path) -> list[Path]:
    """The files inside the model's own folder that its weights lie in, in order of their names; most have none.

    Args:
        path: Any file; one that is no ONNX model has none.
    """
    with path.open("rb") as file:
        if file.read(1) != _FIRST_FIELD:
            return []
        content = memoryview(_FIRST_FIELD + file.read())
    found = {(path.parent / location).resolve() for location in _locations(content)}
    folder = path.parent.resolve()
    return sorted(file for file in found if file.is_relative_to(folder) and file.is_file())[:_MAX_FILES]


def _locations(content: memoryview) -> Iterator[str]:
    for tensor in _parts(_parts(iter([content]), _GRAPH), _INITIALIZER):
        for entry in _parts(iter([tensor]), _EXTERNAL_DATA):
            values = {number: bytes(value) for number, value in fields(entry) if isinstance(value, memoryview)}
            if values.get(_KEY) == b"location":
                yield values.get(_VALUE, b"").decode("utf-8", errors="replace").replace("\0", "")


def _parts(messages: Iterator[memoryview], wanted: int) -> Iterator[memoryview]:
    for message in messages:
        yield from (
            value for number, value in fields(message) if number == wanted and isinstance(value, memoryview)
        )
