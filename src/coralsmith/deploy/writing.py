"""Writes a bundle as a folder or as one zip file, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from coralsmith.deploy.model_file import ARCHIVE_DATE
from coralsmith.deploy.record import BundledFile
from coralsmith.errors import OutputError, UsageError
from coralsmith.graph.writer import write_atomically

MARK: Final = "bundle.json"
"""File of every bundle, by which its folder is known; holds the checks."""

_LARGEST_MARK: Final = 1 << 20
_READABLE: Final = 0o644 << 16


def write_bundle(files: Mapping[str, bytes], target: Path, *, force: bool) -> tuple[BundledFile, ...]:
    """Write the files of a bundle.

    Args:
        files: Contents by path in the bundle.
        target: A folder, or a file whose name ends in ``.zip``.
        force: Write over what is no bundle.

    Raises:
        UsageError: The target holds something else.
        OutputError: It cannot be written.
    """
    if target.suffix.lower() == ".zip":
        _require_own_zip(target, force)
        _make_folder(target.parent)
        write_atomically(target, _zip(files))
    else:
        _write_folder(files, target, force)
    return listed(files)


def listed(files: Mapping[str, bytes]) -> tuple[BundledFile, ...]:
    """The files of a bundle with their sizes and hashes."""
    return tuple(BundledFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items())


def _zip(files: Mapping[str, bytes]) -> bytes:
    """The same files make the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, ARCHIVE_DATE)
            entry.external_attr = _READABLE
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 6)
    return stream.getvalue()


def _write_folder(files: Mapping[str, bytes], folder: Path, force: bool) -> None:
    _make_folder(folder)
    present = {entry.name for entry in folder.iterdir()}
    if present and MARK not in present and not force:
        raise UsageError(
            f"'{folder}' holds files that are not from coralsmith.",
            hint="Choose another folder with --out, or write into this one with --force.",
        )
    if MARK in present:
        _remove_earlier(folder, files)
    for name in sorted(files, key=lambda name: name != MARK):  # the mark first: what is killed can be written over
        _make_folder((folder / name).parent)
        write_atomically(folder / name, files[name])


def _remove_earlier(folder: Path, files: Mapping[str, bytes]) -> None:
    """Remove what the earlier bundle says it holds and the new one does not: the model of another name, say."""
    try:
        with (folder / MARK).open("rb") as stream:
            listed = json.loads(stream.read(_LARGEST_MARK))["files"]
        earlier = [PurePosixPath(file["name"]) for file in listed]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for path in earlier:
        if str(path) not in files and not path.is_absolute() and ".." not in path.parts:
            (folder / path).unlink(missing_ok=True)
            with suppress(OSError):  # it holds something else
                (folder / path).parent.rmdir()


def _require_own_zip(target: Path, force: bool) -> None:
    if target.is_dir():
        raise UsageError(f"'{target}' is a folder.", hint="Name a file, or a folder without .zip.")
    if not target.exists() or force:
        return
    try:
        with zipfile.ZipFile(target) as archive:
            own = MARK in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        own = False
    if not own:
        raise UsageError(f"'{target}' is no bundle of coralsmith.", hint="Choose another name, or give --force.")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{folder}' cannot be made: {error.strerror}.") from error
