"""The two archives of a remote run: models and arguments on the way there, the compiler's files on the way back.

What comes back is untrusted: only files of known names are taken, each with the hash that the other side said.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from coralsmith.compiler.log import CompileResult, LogReader
from coralsmith.compiler.place import OUTPUT_FOLDER
from coralsmith.compiler.process import Excerpt
from coralsmith.errors import UsageError

_ARGUMENTS: Final = "arguments"
_SUMS: Final = "sums"
_CHUNK: Final = 256 * 1024
_OUTPUT: Final = re.compile(rf"{OUTPUT_FOLDER}/model_?\d*(_segment_\d+_of_\d+)?_edgetpu\.(tflite|log)")
_MAX_OUTPUT_BYTES: Final = 1 << 30
_MOST_GREETING: Final = 1 << 20  # of a login shell, before the archive begins


class IncompleteArchiveError(Exception):
    """What came back is not whole."""


def pack(folder: Path, arguments: Sequence[str], target: Path) -> None:
    """Write an archive of the folder's files, the arguments (one a line) and the hashes of both.

    Raises:
        UsageError: An argument holds a line break.
    """
    for argument in arguments:
        if "\n" in argument or "\0" in argument:
            raise UsageError(f"A line break cannot be handed to a compiler on another machine: {argument!r}.")
    lines = "".join(f"{argument}\n" for argument in arguments).encode("utf-8", "surrogateescape")
    models = sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    sums = [f"{hashlib.sha256(lines).hexdigest()}  {_ARGUMENTS}\n"]
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive:
        for path in models:
            with path.open("rb") as stream:
                sums.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {path.name}\n")
                stream.seek(0)
                _add(archive, path.name, path.stat().st_size, stream)
        for name, content in ((_ARGUMENTS, lines), (_SUMS, "".join(sums).encode())):
            _add(archive, name, len(content), io.BytesIO(content))


def unpack(
    source: Path, folder: Path, sums: Mapping[str, str], mark: bytes = b""
) -> tuple[str, str, list[CompileResult]]:
    """Take the compiler's files out of an archive and read its standard output.

    Args:
        source: The archive that came.
        folder: Its subfolder `OUTPUT_FOLDER` receives the compiler's files.
        sums: SHA-256 of each file, by its name in the archive.
        mark: What stands right before the archive.

    Returns:
        Excerpts of standard output and standard error, and all blocks of standard output.

    Raises:
        IncompleteArchiveError: The archive ends early, or a file is not the one that was sent.
        OSError: The files cannot be written.
    """
    stdout, stderr, reader = Excerpt(), Excerpt(), LogReader()
    sinks: dict[str, Sequence[Callable[[bytes], object]]] = {
        "stdout": (stdout.feed, reader.feed),
        "stderr": (stderr.feed,),
    }
    found = set()
    try:
        for name, stream in _members(source, mark):
            if name in sinks:
                digest = _copy(stream, sinks[name])
            elif _OUTPUT.fullmatch(name):
                with (folder / name).open("wb") as target:
                    digest = _copy(stream, (target.write,))
            else:
                continue
            if digest != sums.get(name):
                raise IncompleteArchiveError(f"{name} was changed on its way")
            found.add(name)
    except (tarfile.TarError, EOFError) as error:
        raise IncompleteArchiveError(str(error)) from error
    missing = {name for name in sums if name in sinks or _OUTPUT.fullmatch(name)} - found
    if missing or not set(sinks) <= found:
        raise IncompleteArchiveError("the archive ends early")
    return stdout.text(), stderr.text(), reader.blocks()


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, content)


def _members(source: Path, mark: bytes) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each regular file.

    Raises:
        IncompleteArchiveError: There is no archive, or a file is larger than any model.
    """
    with source.open("rb") as stream:
        start = stream.read(_MOST_GREETING).find(mark)
        if start < 0:
            raise IncompleteArchiveError("the archive did not begin")
        stream.seek(start + len(mark))
        yield from _members_from(stream)


def _members_from(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            if not member.isreg():
                continue
            if member.size > _MAX_OUTPUT_BYTES and member.name.startswith(OUTPUT_FOLDER):
                raise IncompleteArchiveError(f"{member.name} is larger than any model")
            content = archive.extractfile(member)
            assert content is not None, "a regular file has content"
            yield member.name, content


def _copy(source: IO[bytes], sinks: Sequence[Callable[[bytes], object]]) -> str:
    """Hand a stream on, piece by piece, and return its SHA-256."""
    hasher = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        hasher.update(chunk)
        for sink in sinks:
            sink(chunk)
    return hasher.hexdigest()
