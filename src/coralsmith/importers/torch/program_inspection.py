"""Looks through a `.pt2` file before torch loads it: loading one can run any code that its author chose.

`torch.export.load` calls the functions that the file names, evaluates its symbolic shapes and guards as Python,
and unpickles what it finds. A network that was exported with fixed shapes needs none of that.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from coralsmith.errors import MalformedModelError, UnsupportedModelError

MAX_BYTES: Final = 1 << 30
_MAX_DOCUMENT_BYTES: Final = 64 << 20
_MAX_MEMBERS: Final = 20_000
_MAX_DEPTH: Final = 200
_OPERATORS: Final = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.(getitem|add|sub|mul|floordiv|neg)")
_NUMBER: Final = re.compile(r"-?\d{1,18}")
_TRUST: Final = "If you trust where the file comes from, allow it with --trust."


def inspect_program(path: Path, *, trust: bool) -> None:
    """Refuse a program that would run more than the operators of a network while it is loaded.

    Args:
        path: A `.pt2` file.
        trust: Whether code of the file may run; its size is bounded all the same.

    Raises:
        MalformedModelError: It is a damaged archive.
        UnsupportedModelError: It is too large, or holds something that runs while it is loaded.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _require_bounded(members)
            if not trust:
                _require_plain(archive, members)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RecursionError) as error:
        raise MalformedModelError(
            f"The PyTorch program is damaged: {error}.", hint="Save it again with torch.export.save."
        ) from error


def _require_bounded(members: list[zipfile.ZipInfo]) -> None:
    size = sum(member.file_size for member in members)
    if size > MAX_BYTES or len(members) > _MAX_MEMBERS:
        raise UnsupportedModelError(
            f"The PyTorch program unpacks to {size / 2**20:.0f} MB in {len(members)} files; coralsmith reads up "
            f"to {MAX_BYTES >> 20} MB in {_MAX_MEMBERS}.",
            hint="An Edge TPU holds 8 MB of weights in 8 bits: choose a smaller network.",
        )


def _require_plain(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        if member.filename.endswith(".so") or "aotinductor" in member.filename or "custom_obj" in member.filename:
            raise UnsupportedModelError(f"The PyTorch program holds code: '{member.filename}'.", hint=_TRUST)
        if "/models/" in member.filename and member.filename.endswith(".json"):
            if member.file_size > _MAX_DOCUMENT_BYTES:
                raise UnsupportedModelError("The graph of the PyTorch program is larger than any detector's.")
            _require_network(json.loads(archive.read(member)))


def _require_network(document: Any) -> None:
    """Only operators of a network, and only fixed shapes."""
    if isinstance(document, dict) and (document.get("guards_code") or document.get("range_constraints")):
        raise _open_shapes("its shapes have conditions")
    for entry in _objects(document, 0):
        called = [entry["target"]] if "inputs" in entry and "target" in entry else []
        called += [entry["as_operator"]] if "as_operator" in entry else []
        for name in called:
            if not _OPERATORS.fullmatch(str(name)):
                raise UnsupportedModelError(
                    f"The PyTorch program calls '{str(name)[:80]}', no operator of a network.", hint=_TRUST
                )
        if "expr_str" in entry and not _NUMBER.fullmatch(str(entry["expr_str"])):
            raise _open_shapes(f"a size is '{str(entry['expr_str'])[:40]}'")


def _open_shapes(found: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The PyTorch program leaves sizes open: {found}.",
        hint="Export it with batch 1 and a fixed image size, without dynamic_shapes; the Edge TPU needs static "
        f"shapes. {_TRUST}",
    )


def _objects(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if depth > _MAX_DEPTH:
        raise ValueError("its document is nested too deeply")
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner, depth + 1)
