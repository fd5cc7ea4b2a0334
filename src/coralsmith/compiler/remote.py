"""The Edge TPU compiler on another machine, through the user's own ssh.

The remote login shell is handed one constant line; the rest is `remote.sh`, sent over standard input together
with an archive of the models under fixed names. File names and arguments are data all the way, no shell interprets
them.
The remote folder is private and goes when the run ends, also when the connection is cut.
"""

from __future__ import annotations

import errno
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import IO, Final

from coralsmith.compiler.place import (
    PROGRAM,
    VERSION_ARGUMENTS,
    VERSION_SECONDS,
    Execution,
    Identity,
    private_folder,
    version_in,
    work_folder,
)
from coralsmith.compiler.process import ProcessResult, run_bounded
from coralsmith.compiler.remote_archive import IncompleteArchiveError, pack, unpack
from coralsmith.compiler.remote_words import Trailer, read_trailer
from coralsmith.errors import CompilerError, OutputError, UsageError

# Nothing that ssh, its configuration or a proxy command could take for an option or hand to a shell.
_DESTINATION: Final = re.compile(
    r"(//)?([A-Za-z0-9._][A-Za-z0-9._+\\@-]{0,100}@)?[A-Za-z0-9._:\[][A-Za-z0-9._:%\[\]-]{0,253}"
)

_WITH_PORT: Final = re.compile(r"[^:]+:\d{1,5}")

_SSH: Final = (
    *("ssh", "-T", "-a", "-x"),
    *("-o", "BatchMode=yes"),
    *("-o", "ConnectTimeout=15"),
    *("-o", "ServerAliveInterval=10"),
    *("-o", "ServerAliveCountMax=3"),
    *("-o", "ClearAllForwardings=yes"),
    *("-o", "RemoteCommand=none"),
    *("-o", "ControlMaster=no"),  # a master that stays behind would hold our pipes open
    "--",
)

# Reads the script, to the byte and no further, so that what follows it can be read by the script.
LOGIN_LINE: Final = "exec sh -c 'eval \"$(dd bs=1 count={count} 2>/dev/null)\"'"

# Ends what is still there of a run and removes its folder, which is known by the run's token.
_CLEANUP: Final = """
for folder in "${TMPDIR:-/tmp}"/coralsmith-"$token"-*; do
    test -d "$folder" || continue
    kill -s TERM "$(cat "$folder/script")" 2>/dev/null && sleep 2
    test -f "$folder/group" && kill -s KILL -- "-$(cat "$folder/group")" 2>/dev/null
    rm -rf -- "$folder"
done
"""

_CLEANUP_SECONDS: Final = 45.0
_CONNECTING_SECONDS: Final = 60.0
_SLOWEST_BYTES_PER_SECOND: Final = 50_000
_MAX_DOWNLOAD: Final = 3 << 30
_CHUNK: Final = 256 * 1024
_CUT: Final = 255  # how ssh ends when it could not connect or lost the connection
_FULL_DISK_KIB: Final = 1024


@dataclass(frozen=True)
class RemoteCompiler:
    """A compiler on another machine.

    Attributes:
        host: The destination: "[USER@]HOST", "[USER@]HOST:PORT" or "//[USER@]HOST:PORT".
        found_by: How it was found.
    """

    host: str
    found_by: str

    @property
    def name(self) -> str:
        """As the user names it."""
        return f"ssh:{self.host}"

    @cached_property
    def identity(self) -> Identity:
        """Version, and hash of the program file over there."""
        with private_folder() as parent:
            answer, trailer = self._run(work_folder(parent), VERSION_ARGUMENTS, VERSION_SECONDS)
        return Identity(version_in(answer, self.name), trailer.program)

    def execute(self, folder: Path, arguments: Sequence[str], timeout_s: float) -> Execution:
        """Send the folder's models there, run the compiler, fetch what it wrote; see `Compiler.execute`."""
        return self._run(folder, arguments, timeout_s)[0]

    def _run(self, folder: Path, arguments: Sequence[str], timeout_s: float) -> tuple[Execution, Trailer]:
        upload, download = folder.parent / "upload.tar", folder.parent / "download.tar"
        try:
            pack(folder, arguments, upload)
            ended, trailer = self._converse(upload, download, timeout_s)
            upload.unlink()
            stdout, stderr, blocks = unpack(download, folder, trailer.sums, trailer.archive_mark)
            download.unlink()
        except IncompleteArchiveError as error:
            raise _cut(self.host, str(error)) from error
        except OSError as error:
            raise OutputError(f"'{folder.parent}' cannot be written: {error.strerror}.") from error
        if trailer.free_kib is not None and trailer.free_kib < _FULL_DISK_KIB:
            stderr += f"\nNo space left on device: {trailer.free_kib} KiB free on {self.host}\n"
        command = ("ssh", self.host, PROGRAM, *arguments)
        exit_code = trailer.exit_code(timeout_s, ended.seconds)
        return Execution(command, exit_code, stdout, stderr, tuple(blocks), ended.seconds), trailer

    def _converse(self, upload: Path, download: Path, timeout_s: float) -> tuple[ProcessResult, Trailer]:
        """One connection: script and archive there, the results back.

        Raises:
            CompilerError: It did not come to an orderly end; what was left over there is removed.
        """
        token, size = secrets.token_hex(16), upload.stat().st_size
        limit = max(1, round(timeout_s))
        script = f"token={token}\nsize={size}\nlimit={limit}\n{_script()}"
        patience = timeout_s + _CONNECTING_SECONDS + 4 * size / _SLOWEST_BYTES_PER_SECOND
        with download.open("wb") as stream:
            ended = self._ssh(script, patience, upload, _bounded(stream))
        trailer = read_trailer(token, ended.stderr)
        if ended.exit_code == 0 and trailer.is_over:
            return ended, trailer
        if trailer.has_begun:
            self._ssh(f"token={token}\n{_CLEANUP}", _CLEANUP_SECONDS)
        raise _explain(self.host, ended, trailer)

    def _ssh(
        self,
        script: str,
        timeout_s: float,
        upload: Path | None = None,
        take: Callable[[bytes], None] | None = None,
    ) -> ProcessResult:
        content = script.encode()
        command = (*_SSH, _destination(self.host), LOGIN_LINE.format(count=len(content)))
        return run_bounded(
            command, folder=Path.cwd(), timeout_s=timeout_s, stdin=_pieces(content, upload), take=take
        )


def find_remote(host: str, found_by: str) -> RemoteCompiler:
    """The compiler on another machine.

    Raises:
        UsageError: This can be no destination of ssh.
        CompilerError: There is no ssh on this machine.
    """
    if _DESTINATION.fullmatch(host) is None:
        raise UsageError(
            f"{host!r} is not a host that ssh can be given.",
            hint="Write ssh:HOST, ssh:USER@HOST or ssh://USER@HOST:PORT; other settings go to ~/.ssh/config.",
        )
    if shutil.which("ssh") is None:
        raise CompilerError("There is no ssh on the PATH.", hint="Install OpenSSH's client.")
    return RemoteCompiler(host, found_by)


def _destination(host: str) -> str:
    """What ssh is given: an address with a port as a URI, all else as it is."""
    if host.startswith("//"):
        return f"ssh:{host}"
    return f"ssh://{host}" if _WITH_PORT.fullmatch(host) else host


def _script() -> str:
    return files(__package__).joinpath("remote.sh").read_text("utf-8")


def _pieces(script: bytes, upload: Path | None) -> Iterator[bytes]:
    yield script
    if upload is not None:
        with upload.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk


def _bounded(stream: IO[bytes]) -> Callable[[bytes], None]:
    """Write to a stream, and not without end."""

    def take(chunk: bytes) -> None:
        if stream.tell() + len(chunk) > _MAX_DOWNLOAD:
            raise OSError(errno.EFBIG, "the other machine sent more than any compiler writes")
        stream.write(chunk)

    return take


def _explain(host: str, ended: ProcessResult, trailer: Trailer) -> CompilerError:
    """Why a connection did not come to an orderly end."""
    refusal = trailer.refusal(host)
    if refusal is not None:
        message, hint = refusal
        return CompilerError(message, hint=hint)
    if trailer.has_begun:
        return _cut(host, trailer.foreign)
    if ended.exit_code is None:
        return CompilerError(f"{host} does not answer.", hint="Is the machine on, and the network up?")
    said = (trailer.foreign or "ssh said nothing").rstrip(".")
    return CompilerError(
        f"{host} cannot be reached by ssh, or has no POSIX shell.",
        hint=f"{said}. `ssh {_destination(host)}` must work without asking for a password or a host key.",
    )


def _cut(host: str, detail: str) -> CompilerError:
    return CompilerError(
        f"The connection to {host} was cut before the result had arrived.",
        hint=f"{detail.strip() or 'ssh said nothing.'} Nothing is left on {host}; run the same command again.",
    )
