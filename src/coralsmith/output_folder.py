"""The folder that a conversion writes: everything appears whole under its final name, or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Final

from coralsmith.errors import OutputError, UsageError
from coralsmith.graph.writer import PARTIAL_PREFIX, write_atomically
from coralsmith.report.document import FileRecord
from coralsmith.stages import StageCache, file_digest

CACHE_FOLDER: Final = ".coralsmith"
REPORT_FILE: Final = "report.json"


class OutputFolder:
    """One output folder and what has been written into it.

    Args:
        path: The folder; made if need be.
        force: Write into a folder that holds other files, and reuse no earlier results.
        resume: Reuse the results of an earlier run.

    Raises:
        UsageError: The folder holds files of somebody else, or another run is writing into it.
        OutputError: It cannot be made or written.
    """

    def __init__(self, path: Path, *, force: bool = False, resume: bool = True) -> None:
        self.path = path
        self.files: list[FileRecord] = []
        self._was_there = path.is_dir()
        try:
            path.mkdir(parents=True, exist_ok=True)
            _lock(path, self)
            for leftover in path.glob(f"{PARTIAL_PREFIX}*"):  # of a run that was killed while writing
                leftover.unlink()
            present = {entry.name for entry in path.iterdir()}
        except OSError as error:
            raise OutputError(f"'{path}' cannot be used as output folder: {error.strerror}.") from error
        if present and not present & {CACHE_FOLDER, REPORT_FILE} and not force:
            raise UsageError(
                f"'{path}' holds files that are not from coralsmith.",
                hint="Choose another folder with --out, or write into this one with --force.",
            )
        if force:
            shutil.rmtree(path / CACHE_FOLDER, ignore_errors=True)
        self.cache = StageCache(path / CACHE_FOLDER, enabled=resume and not force)

    def write(self, name: str, content: bytes) -> Path:
        """Write one file atomically and keep it in the list; `name` may name a subfolder.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            (self.path / name).parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"'{(self.path / name).parent}' cannot be made: {error.strerror}.") from error
        write_atomically(self.path / name, content)
        self.files.append(FileRecord(name, len(content), hashlib.sha256(content).hexdigest()))
        return self.path / name

    def adopt(self, path: Path) -> None:
        """List a file that another program wrote into the folder."""
        self.files.append(FileRecord(path.name, path.stat().st_size, file_digest(path)))

    def discard(self, *names: str) -> None:
        """Remove results of an earlier run that this run does not bear out.

        Raises:
            OutputError: One of them cannot be removed.
        """
        for name in names:
            try:
                (self.path / CACHE_FOLDER).mkdir(exist_ok=True)  # marks the folder while it has no report
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"'{self.path / name}' cannot be removed: {error.strerror}.") from error

    def remove_if_unused(self) -> None:
        """Leave no empty folder behind, as after a source that turned out to be no model."""
        if not self._was_there:
            with suppress(OSError):  # it holds something, which is to stay
                self.path.rmdir()


def _lock(path: Path, owner: OutputFolder) -> None:
    """Keep other runs out of a folder for as long as `owner` lives, where the system can lock folders.

    Raises:
        UsageError: Another run has locked it.
    """
    if sys.platform == "win32":
        return
    import fcntl

    handle = os.open(path, os.O_RDONLY)
    weakref.finalize(owner, os.close, handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            f"Another run is writing into '{path}'.", hint="Wait for it, or choose another folder with --out."
        ) from error
