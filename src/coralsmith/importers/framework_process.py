"""Runs a framework in a child process: its noise in a file, its time and memory bounded, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coralsmith.errors import MachineError
from coralsmith.importers.imported import Limits, Usage

_POLL_SECONDS: Final = 0.1
_SOURCE_ROOT: Final = Path(__file__).resolve().parents[2]
# CPU only and always the same kernels, so that references repeat; Keras keeps out of the user's home.
_ENVIRONMENT: Final = {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "1"}


def run_module(
    module: str, argument: Path, *, library: str, log: Path, limits: Limits, on_poll: Callable[[], None]
) -> tuple[int, Usage]:
    """Run a Python module of this package in a process group of its own.

    The whole group is killed at a limit, at Ctrl-C, and when the module leaves children behind. Standard input
    stays open as long as this process lives, so that the module notices when it dies.

    Args:
        module: Its dotted name.
        argument: Its only argument; the module works in that file's folder.
        library: Name of the framework, for the errors.
        log: Receives everything that it writes.
        limits: Bounds of time and memory.
        on_poll: Called several times a second.

    Returns:
        The exit code, negative for a signal, and what the process took.

    Raises:
        MachineError: A limit was reached.
    """
    started = time.monotonic()
    peak: float | None = None
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(argument)],
            cwd=argument.parent,
            env=_environment(argument.parent),
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not _has_ended(process):
            on_poll()
            peak = _higher(peak, _resident_megabytes(process.pid))
            _check(library, time.monotonic() - started, peak, limits)
    finally:
        _kill_group(process)
    return process.returncode, Usage(time.monotonic() - started, peak)


def _environment(folder: Path) -> dict[str, str]:
    search_path = os.pathsep.join(filter(None, [str(_SOURCE_ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **_ENVIRONMENT, "KERAS_HOME": str(folder), "PYTHONPATH": search_path}


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _resident_megabytes(pid: int) -> float | None:
    """Resident memory of a process, where the system has a /proc to tell it."""
    try:
        resident_pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return resident_pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _higher(old: float | None, new: float | None) -> float | None:
    return new if old is None else max(old, new or 0.0)


def _check(library: str, seconds: float, megabytes: float | None, limits: Limits) -> None:
    if seconds > limits.seconds:
        raise MachineError(
            f"Reading the model with {library} took longer than {limits.seconds:.0f} s and was ended.",
            hint="A busy machine, or a model far larger than an Edge TPU can hold.",
        )
    if megabytes is not None and megabytes > limits.megabytes:
        raise MachineError(
            f"Reading the model with {library} took more than {limits.megabytes} MB of memory and was ended.",
            hint="The model is far larger than an Edge TPU can hold, or its image size is.",
        )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the process and its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    if process.stdin is not None:
        process.stdin.close()
    process.wait()
