"""The source file or folder: its full path and its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coralsmith.errors import InputError
from coralsmith.importers.onnx.weight_files import weight_files as onnx_weight_files
from coralsmith.importers.tfjs import model_files as tfjs

_PIECE: Final = 1 << 20
_MAX_FILES: Final = 10_000
SAVED_MODEL_FILE: Final = "saved_model.pb"
SAVED_MODEL_FOLDER: Final = "saved_model"
"""What the TF Object Detection API calls the SavedModel inside of an export folder."""


def resolve_source(path: str | Path) -> Path:
    """The absolute path of a source: of a SavedModel its folder, also in an export folder; of TFJS the graph.

    Raises:
        InputError: Nothing is there.
    """
    resolved = Path(path).expanduser().absolute()
    if not resolved.exists():
        raise InputError(f"'{path}' does not exist.", hint="Check the path of the model.")
    if resolved.name == SAVED_MODEL_FILE:
        return resolved.parent
    if resolved.is_dir() and not (resolved / SAVED_MODEL_FILE).is_file():
        inner = resolved / SAVED_MODEL_FOLDER
        return inner if (inner / SAVED_MODEL_FILE).is_file() else tfjs.model_in(resolved) or resolved
    return resolved


def source_digest(path: Path) -> str:
    """SHA-256 of a file and of the weight files that it names, or of a folder's files with their names in order.

    Raises:
        InputError: A file cannot be read, or the folder holds more than 10,000.
    """
    digest = hashlib.sha256()
    try:
        for file in _files(path):
            if file != path:
                base = path if path.is_dir() else path.parent.resolve()
                digest.update(file.relative_to(base).as_posix().encode() + b"\0")
            with file.open("rb") as content:
                while piece := content.read(_PIECE):
                    digest.update(piece)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        yield from onnx_weight_files(path)
        yield from tfjs.weight_files(path)
        return
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if len(files) > _MAX_FILES:
        raise InputError(f"'{path}' holds {len(files)} files, more than any SavedModel.")
    yield from files
