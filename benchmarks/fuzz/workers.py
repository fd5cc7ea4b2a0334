"""Worker processes that may crash: one that dies tells by its signal what its file did, and another takes over."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext
from multiprocessing.process import BaseProcess
from typing import Literal

HANG_SECONDS = 2.0  # of CPU time, for one file
DEADLOCK_SECONDS = 120.0  # without any report: a worker waits for something that never comes


@dataclass(frozen=True)
class Verdict:
    """What became of file `index`; everything but "fine" is a defect."""

    index: int
    kind: Literal["fine", "escaped", "crash", "hang"]
    outcome: str


@dataclass(frozen=True)
class Report:
    """What a worker says after each file."""

    verdict: Verdict
    seconds: float
    peak_bytes: int


class Pool:
    """Spreads files over workers and keeps what went wrong.

    Args:
        examine: Gives the outcome of a file by its number; runs in the workers.
        context: Starts processes that inherit `examine`.
    """

    def __init__(self, examine: Callable[[int], str], context: ForkContext) -> None:
        self._examine, self._context = examine, context
        self._running: dict[Connection, tuple[BaseProcess, range]] = {}
        self.defects: list[Verdict] = []
        self.slowest = 0.0
        self.peak_bytes = 0

    def run(self, count: int, workers: int) -> Counter[str]:
        """Examine the files 0 to `count`; how often each outcome occurred."""
        outcomes: Counter[str] = Counter()
        for first in range(workers):
            self._start(range(first, count, workers))
        while self._running:
            for receiver in wait(list(self._running), DEADLOCK_SECONDS) or self._kill_all():
                verdict = self._next_verdict(receiver)
                if verdict is not None and verdict.kind == "fine":
                    outcomes[verdict.outcome] += 1
                elif verdict is not None:
                    self.defects.append(verdict)
        return outcomes

    def _start(self, indices: range) -> None:
        if not indices:
            return
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(self._examine, indices, sender))
        process.start()
        sender.close()
        self._running[receiver] = process, indices

    def _kill_all(self) -> list[Connection]:
        for process, _ in self._running.values():
            process.kill()
        return list(self._running)

    def _next_verdict(self, receiver: Connection) -> Verdict | None:
        """The verdict on a worker's next file; None where it had none left."""
        process, indices = self._running.pop(receiver)
        try:
            report = receiver.recv()
        except EOFError:
            process.join()
            self._start(indices[1:])
            return _verdict_of_death(indices[0], process.exitcode or 0) if indices else None
        self.slowest = max(self.slowest, report.seconds)
        self.peak_bytes = max(self.peak_bytes, report.peak_bytes)
        self._running[receiver] = process, indices[1:]
        return report.verdict


def _verdict_of_death(index: int, code: int) -> Verdict:
    if -code in (signal.SIGPROF, signal.SIGKILL):
        return Verdict(index, "hang", f"more than {HANG_SECONDS:.0f} s of CPU time")
    return Verdict(index, "crash", signal.Signals(-code).name if code < 0 else f"exit code {code}")


def _work(examine: Callable[[int], str], indices: range, pipe: Connection) -> None:
    """Report on each file. The profiling timer, left to its default, ends a process that hangs, native or not."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # native code complains there
    for index in indices:
        signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
        started = time.process_time()
        try:
            verdict = Verdict(index, "fine", examine(index))
        except Exception as error:
            verdict = Verdict(index, "escaped", f"{type(error).__name__}: {error}")
        seconds = time.process_time() - started
        signal.setitimer(signal.ITIMER_PROF, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send(Report(verdict, seconds, peak))
