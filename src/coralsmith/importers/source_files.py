"""The source file or folder: its full path and its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coralsmith.errors import InputError

_PIECE: Final = 1 << 20
_MAX_FILES: Final = 10_000


def resolve_source(path: str | Path) -> Path:
    """The absolute path of a source; of a SavedModel always the folder.

    Raises:
        InputError: Nothing is there.
    """
    resolved = Path(path).expanduser().absolute()
    if not resolved.exists():
        raise InputError(f"'{path}' does not exist.", hint="Check the path of the model.")
    return resolved.parent if resolved.name == "saved_model.pb" else resolved


def source_digest(path: Path) -> str:
    """SHA-256 of a file, or of the relative names and contents of a folder's files in order.

    Raises:
        InputError: A file cannot be read, or the folder holds more than 10,000.
    """
    digest = hashlib.sha256()
    try:
        for file in _files(path):
            if file != path:
                digest.update(file.relative_to(path).as_posix().encode() + b"\0")
            with file.open("rb") as content:
                while piece := content.read(_PIECE):
                    digest.update(piece)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if len(files) > _MAX_FILES:
        raise InputError(f"'{path}' holds {len(files)} files, more than any SavedModel.")
    yield from files
