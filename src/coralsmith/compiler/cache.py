"""Remembers what the compiler made of which model, across runs, so that nothing is compiled twice.

An entry is a folder named by the hash of models, compiler and options. It is made under another name and renamed
when it is whole, so that two processes never see half of one; its files are held against their hashes before they
are used again. Failures that would come again are remembered too, so that an interrupted search goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from coralsmith.compiler.explain import is_steady
from coralsmith.compiler.outcome import Outcome
from coralsmith.compiler.place import Identity, work_folder
from coralsmith.compiler.single import Request
from coralsmith.graph.writer import PARTIAL_PREFIX

_FORMAT: Final = 1  # to be raised when results are judged differently or kept in another form
_MANIFEST: Final = "manifest.json"
_MAX_MANIFEST: Final = 32 << 20
_MAX_ENTRIES: Final = 512
_MAX_BYTES: Final = 2 << 30
_ABANDONED_SECONDS: Final = 24 * 3600.0


class CompilationCache:
    """Results of one compiler.

    Args:
        folder: Where they are kept; None to remember nothing.
        identity: The compiler.
        parent: Private folder that files taken from the cache are copied to.
    """

    def __init__(self, folder: Path | None, identity: Identity, parent: Path) -> None:
        self.problem = ""
        """Why a result could not be kept; empty where all could."""
        self._folder = folder
        self._identity = identity
        self._parent = parent
        self._hashes: dict[Path, str] = {}

    def load(self, request: Request) -> Outcome | None:
        """The outcome of an earlier run, its files copied; None where there is none, or it is not as it was."""
        if self._folder is None:
            return None
        key = self._key(request)
        entry = self._folder / key
        if not entry.is_dir():
            return None
        try:
            outcome = self._read(entry, key)
            os.utime(entry)  # entries that are used stay longest
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged, in whatever way
            shutil.rmtree(entry, ignore_errors=True)
            return None
        return outcome

    def store(self, request: Request, outcome: Outcome) -> None:
        """Keep an outcome, unless another run of the same could end in another way."""
        if self._folder is None or not (outcome.succeeded or is_steady(outcome.failure)):
            return
        key = self._key(request)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=self._folder))
            try:
                _write(partial, key, outcome)
                with contextlib.suppress(FileExistsError, OSError):  # another process was faster
                    partial.rename(self._folder / key)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            _prune(self._folder)
        except OSError as error:
            self.problem = f"'{self._folder}': {error.strerror or error}"

    def _key(self, request: Request) -> str:
        parts = [
            _FORMAT,
            self._identity.version,
            self._identity.fingerprint,
            [self._hash(path) for path in request.models],
            dataclasses.asdict(request.options),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            with path.open("rb") as stream:
                self._hashes[path] = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._hashes[path]

    def _read(self, entry: Path, key: str) -> Outcome:
        """Read an entry whose every file is as it was written.

        Raises:
            OSError: It is not there, or not whole.
            ValueError: It is damaged.
        """
        manifest = entry / _MANIFEST
        if manifest.stat().st_size > _MAX_MANIFEST:
            raise ValueError("the manifest is too large")
        document: dict[str, Any] = json.loads(manifest.read_bytes())
        if document["key"] != key:
            raise ValueError("the entry is another one")
        folder = work_folder(self._parent)
        for name, sha256 in document["files"].items():
            content = (entry / Path(name).name).read_bytes()
            if hashlib.sha256(content).hexdigest() != sha256:
                raise ValueError(f"{name} was changed")
            (folder / Path(name).name).write_bytes(content)
        outcome: Outcome = _adapter().validate_python(document["outcome"])
        outputs = tuple(
            dataclasses.replace(
                output,
                path=folder / output.path.name,
                log=None if output.log is None else folder / output.log.name,
            )
            for output in outcome.outputs
        )
        for output in outputs:
            if output.path.name not in document["files"]:
                raise ValueError(f"{output.path.name} is missing")
        return dataclasses.replace(outcome, outputs=outputs)


def default_cache_folder() -> Path | None:
    """The user's own cache folder (XDG base directory specification); None where there is no home."""
    named = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    try:
        base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "coralsmith" / "compiler"


@functools.cache
def _adapter() -> Any:
    """Outcomes as JSON values and back; made when it is first needed, since that takes a while."""
    from pydantic import TypeAdapter

    return TypeAdapter(Outcome)


def _write(folder: Path, key: str, outcome: Outcome) -> None:
    files = {}
    for output in outcome.outputs:
        for path in filter(None, (output.path, output.log)):
            content = path.read_bytes()
            (folder / path.name).write_bytes(content)
            files[path.name] = hashlib.sha256(content).hexdigest()
    document = {"key": key, "files": files, "outcome": _adapter().dump_python(outcome, mode="json")}
    (folder / _MANIFEST).write_text(json.dumps(document), "utf-8")


def _prune(folder: Path) -> None:
    """Drop the entries that were not used for longest where there are too many, and what killed runs left."""
    entries = []
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):  # another process drops it too
            used = entry.stat().st_mtime
            if entry.name.startswith(PARTIAL_PREFIX):
                if time.time() - used > _ABANDONED_SECONDS:
                    shutil.rmtree(entry, ignore_errors=True)
                continue
            entries.append((used, sum(path.stat().st_size for path in entry.iterdir()), entry))
    entries.sort(key=lambda one: one[0], reverse=True)
    total = 0
    for position, (_, size, entry) in enumerate(entries):
        total += size
        if position >= _MAX_ENTRIES or total > _MAX_BYTES:
            shutil.rmtree(entry, ignore_errors=True)
