"""The stages of a run: their time and memory, and a cache of their results, so that a killed run resumes.

A cached result is a folder of files and a manifest with their hashes, made under another name and renamed when
it is whole; a damaged one counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from coralsmith.errors import OutputError
from coralsmith.graph.writer import PARTIAL_PREFIX
from coralsmith.progress import Progress
from coralsmith.report.document import StageRecord

_MANIFEST: Final = "manifest.json"


def digest(*parts: Any) -> str:
    """SHA-256 over values (as canonical JSON) and byte strings."""
    hasher = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        hasher.update(len(content).to_bytes(8, "little"))
        hasher.update(content)
    return hasher.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class StageCache:
    """Results of stages in one folder, each under the hash of all that it depends on."""

    def __init__(self, folder: Path, *, enabled: bool = True) -> None:
        self.folder = folder
        self.enabled = enabled

    def load(self, stage: str, key: str) -> dict[str, bytes] | None:
        """The files of an earlier result, or None where there is none or a file is not as it was written."""
        entry = self.folder / f"{stage}-{key[:24]}"
        if not self.enabled or not (entry / _MANIFEST).is_file():
            return None
        try:
            manifest = json.loads((entry / _MANIFEST).read_text("utf-8"))
            files = {name: (entry / name).read_bytes() for name in manifest["files"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        intact = all(hashlib.sha256(files[name]).hexdigest() == manifest["files"][name] for name in files)
        return files if intact and manifest.get("key") == key else None

    def file(self, name: str) -> Path | None:
        """Where an unfinished stage may keep its state; None where nothing is to be kept."""
        return self.folder / name if self.enabled else None

    def store(self, stage: str, key: str, files: dict[str, bytes]) -> None:
        """Keep a result; earlier results of the same stage are dropped.

        Raises:
            OutputError: The folder cannot be written.
        """
        if not self.enabled:
            return
        entry = self.folder / f"{stage}-{key[:24]}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(f"{PARTIAL_PREFIX}*"):  # of a run that was killed while writing
                shutil.rmtree(leftover, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=self.folder))
            try:
                self._fill(partial, key, files)
                for old in self.folder.glob(f"{stage}-*"):
                    shutil.rmtree(old, ignore_errors=True)
                partial.rename(entry)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        except OSError as error:
            raise OutputError(f"'{self.folder}' cannot be written: {error.strerror}.") from error

    def _fill(self, folder: Path, key: str, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        (folder / _MANIFEST).write_text(json.dumps({"key": key, "files": hashes}), "utf-8")


class Stopwatch:
    """Records each stage's wall time and peak memory."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.records: list[StageRecord] = []
        self._resumed = False

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Time everything inside as one stage, and announce it."""
        self.progress.step(name, total)
        self._resumed = False
        _reset_peak()
        start = time.perf_counter()
        yield
        elapsed = time.perf_counter() - start
        self.records.append(StageRecord(name, round(elapsed, 3), _peak_megabytes(), self._resumed))

    def resumed(self) -> None:
        """The current stage took its result from the cache."""
        self._resumed = True


def _reset_peak() -> None:
    """Let Linux measure this process's peak memory anew."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        try:
            clear.write_text("5")
        except OSError:  # a hardened kernel forbids it: the peak is then that of the run so far
            return


def _peak_megabytes() -> float | None:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
