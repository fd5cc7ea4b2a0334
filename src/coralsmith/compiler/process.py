"""A foreign program under control: no shell, bounded output, bounded time, and nothing of it left running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from coralsmith.errors import CompilerError

KEPT_BYTES: Final = 2 * 1024 * 1024
_CHUNK: Final = 64 * 1024
_DRAIN_SECONDS: Final = 5.0


@dataclass(frozen=True)
class ProcessResult:
    """How a program ended.

    Attributes:
        exit_code: Its exit code; negative is the signal that ended it; None where the time limit did.
        stdout: Standard output, its middle left out where it is longer than 4 MiB.
        stderr: Standard error, likewise.
        seconds: Wall time.
    """

    exit_code: int | None
    stdout: str
    stderr: str
    seconds: float


def run_bounded(
    command: Sequence[str],
    *,
    folder: Path,
    timeout_s: float,
    stdin: Iterable[bytes] | None = None,
    take: Callable[[bytes], None] | None = None,
) -> ProcessResult:
    """Run a program in a process group of its own and wait for it.

    The whole group is killed when the time is up, when the caller is interrupted, and when the program ends
    but leaves children behind.

    Args:
        command: Program and arguments; no shell sees them.
        folder: Working directory.
        timeout_s: Seconds of wall time.
        stdin: What the program reads; its standard input then stays open until it ends. None for nothing.
        take: Given all of standard output, piece by piece, while it comes.

    Returns:
        Exit code and output.

    Raises:
        CompilerError: The program cannot be started.
        OSError: `take` raised it.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise CompilerError(
            f"{command[0]} cannot be started: {error}.", hint="Check the path and that it may be executed."
        ) from error
    assert process.stdout is not None and process.stderr is not None
    outputs = [_Drain(process.stdout, take), _Drain(process.stderr)]
    try:
        if stdin is not None:
            threading.Thread(target=_feed, args=(process, stdin), daemon=True).start()
        exit_code: int | None = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        exit_code = None
    finally:
        _kill_group(process)
    stdout, stderr = (output.text() for output in outputs)
    return ProcessResult(exit_code, stdout, stderr, time.monotonic() - started)


def _feed(process: subprocess.Popen[bytes], pieces: Iterable[bytes]) -> None:
    """Write to standard input; a program that ends before it has read everything says why by other means."""
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):
        for piece in pieces:
            process.stdin.write(piece)
        process.stdin.flush()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the program and its children."""
    if sys.platform == "win32":  # which has no process groups that could be killed
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError, ValueError):
            process.stdin.close()


class Excerpt:
    """The first and the last part of a long text."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes."""
        room = KEPT_BYTES - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        surplus = max(0, len(self._tail) - KEPT_BYTES)
        del self._tail[:surplus]
        self._left_out += surplus

    def text(self) -> str:
        """What was kept, with a remark on what was not."""
        middle = f"\n... {self._left_out} bytes left out ...\n".encode() if self._left_out else b""
        return (bytes(self._head) + middle + bytes(self._tail)).decode("utf-8", errors="replace")


class _Drain(threading.Thread):
    """Reads a pipe to its end, hands on what comes, and keeps an excerpt."""

    def __init__(self, pipe: IO[bytes], take: Callable[[bytes], None] | None = None) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._take = take
        self._error: OSError | None = None
        self._excerpt = Excerpt()
        self.start()

    def run(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), _CHUNK):
                self._excerpt.feed(chunk)
                self._hand_on(chunk)

    def text(self) -> str:
        """What was read, once the pipe is closed or a short wait is over.

        Raises:
            OSError: What was read could not be handed on.
        """
        self.join(_DRAIN_SECONDS)
        if self._error is not None:
            raise self._error
        return self._excerpt.text()

    def _hand_on(self, chunk: bytes) -> None:
        if self._take is None or self._error is not None:
            return
        try:
            self._take(chunk)
        except OSError as error:
            self._error = error
