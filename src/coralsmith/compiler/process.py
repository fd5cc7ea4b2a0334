"""A foreign program under control: no shell, bounded output, bounded time, and nothing of it left running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from coralsmith.errors import CompilerError

_KEPT_BYTES: Final = 2 * 1024 * 1024
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


def run_bounded(command: Sequence[str], *, folder: Path, timeout_s: float) -> ProcessResult:
    """Run a program in a process group of its own and wait for it.

    The whole group is killed when the time is up, when the caller is interrupted, and when the program ends
    but leaves children behind.

    Args:
        command: Program and arguments; no shell sees them.
        folder: Working directory.
        timeout_s: Seconds of wall time.

    Returns:
        Exit code and output.

    Raises:
        CompilerError: The program cannot be started.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise CompilerError(
            f"{command[0]} cannot be started: {error}.", hint="Check the path and that it may be executed."
        ) from error
    assert process.stdout is not None and process.stderr is not None
    outputs = [_Drain(process.stdout), _Drain(process.stderr)]
    try:
        exit_code: int | None = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        exit_code = None
    finally:
        _kill_group(process)
    stdout, stderr = (output.text() for output in outputs)
    return ProcessResult(exit_code, stdout, stderr, time.monotonic() - started)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the program and its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Drain(threading.Thread):
    """Reads a pipe to its end and keeps the first and the last part of what came."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0
        self.start()

    def run(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), _CHUNK):
                room = _KEPT_BYTES - len(self._head)
                self._head += chunk[:room]
                self._tail += chunk[room:]
                surplus = max(0, len(self._tail) - _KEPT_BYTES)
                del self._tail[:surplus]
                self._left_out += surplus

    def text(self) -> str:
        """What was read, once the pipe is closed or a short wait is over."""
        self.join(_DRAIN_SECONDS)
        middle = f"\n... {self._left_out} bytes left out ...\n".encode() if self._left_out else b""
        return (bytes(self._head) + middle + bytes(self._tail)).decode("utf-8", errors="replace")
