"""Whole processes: wall time, CPU time and peak memory, as the operating system counts them.

The peak is the largest resident set of the process or of any child it waited for. Linux counts the memory of the
forking process into it until the new program starts, so the one that measures must be small: import nothing large
before measuring.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """One run of a program.

    Attributes:
        seconds: Wall time from before it was started until it had ended.
        cpu_seconds: User and system time of all its threads and children.
        peak_megabytes: Peak resident memory in MiB.
        output: What it wrote to stdout.
    """

    seconds: float
    cpu_seconds: float
    peak_megabytes: float
    output: str


def coralsmith(*arguments: str | Path) -> list[str]:
    """The command line of coralsmith, installed beside the Python that runs this."""
    return [str(Path(sys.executable).with_name("coralsmith")), *map(str, arguments)]


def python_module(module: str, *arguments: str | Path) -> list[str]:
    """The command line of one of the programs beside this file."""
    return [sys.executable, "-m", f"benchmarks.quantize.{module}", *map(str, arguments)]


def run(command: Sequence[str]) -> Run:
    """Run a program to its end.

    Raises:
        RuntimeError: It failed; the message holds the end of what it wrote to stderr.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors, cwd=REPOSITORY)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            tail = errors.read().decode("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{tail}")
        return Run(
            seconds,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024,
            output.read().decode("utf-8", "replace"),
        )


def run_in_turn(commands: dict[str, list[str]], times: int) -> dict[str, list[Run]]:
    """Run several programs, each as often, one after the other in turn, so that none has the quieter machine."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            runs[name].append(run(command))
    return runs


def summary(runs: Sequence[Run]) -> dict[str, float | list[float]]:
    """Medians, and every wall time, for the results file."""
    return {
        "seconds": statistics.median(r.seconds for r in runs),
        "cpu_seconds": statistics.median(r.cpu_seconds for r in runs),
        "peak_megabytes": statistics.median(r.peak_megabytes for r in runs),
        "all_seconds": [round(r.seconds, 3) for r in runs],
    }
