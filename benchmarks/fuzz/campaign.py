"""What every fuzz run shares: options, worker processes, the printed summary, the files that were a defect."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Sized
from pathlib import Path
from typing import Protocol

from benchmarks.fuzz.workers import Pool, Verdict

ROOT = Path(__file__).resolve().parents[2]


class Files(Protocol):
    """The files of a run; the same number gives the same files."""

    number: int
    seeds: Sized

    def origin(self, index: int) -> str:
        """What file `index` was made of."""

    def content(self, index: int) -> bytes:
        """File `index`."""

    def examine(self, index: int) -> str:
        """What coralsmith makes of file `index`, in one phrase."""


def options_of(documentation: str | None) -> argparse.ArgumentParser:
    """The options of every run, described by the first line of its documentation."""
    parser = argparse.ArgumentParser(description=(documentation or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="how many files")
    parser.add_argument("--seed", type=int, default=1, help="number of the run; the same gives the same files")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder of real models")
    parser.add_argument("--save", type=Path, default=ROOT / "benchmarks" / "results" / "fuzz", help="for defects")
    return parser


def run_campaign(files: Files, options: argparse.Namespace) -> int:
    """Examine all files and print what became of them; exit code 1 where one was a defect."""
    started = time.monotonic()
    pool = Pool(files.examine, multiprocessing.get_context("fork"))
    verdicts = pool.run(options.count, options.workers)
    seconds = time.monotonic() - started
    print(f"{options.count} files from {len(files.seeds)} seeds in {seconds:.0f} s, run {options.seed}")
    _print_summary(verdicts, pool, files, options.save)
    return 1 if pool.defects else 0


def _print_summary(verdicts: dict[str, int], pool: Pool, files: Files, folder: Path) -> None:
    for outcome, number in sorted(verdicts.items(), key=lambda item: -item[1]):
        print(f"{number:8}  {outcome}")
    for kind in ("crash", "hang", "escaped"):
        print(f"{sum(verdict.kind == kind for verdict in pool.defects):8}  {kind}")
    print(
        f"slowest file {pool.slowest:.2f} s of CPU time; peak memory of a worker {pool.peak_bytes / 2**20:.0f} MiB"
    )
    for verdict in pool.defects:
        print(f"DEFECT {_save(verdict, files, folder)} ({files.origin(verdict.index)}): {verdict.outcome}")


def _save(verdict: Verdict, files: Files, folder: Path) -> Path:
    """Keep a file that was a defect."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{files.number}-{verdict.index}.tflite"
    path.write_bytes(files.content(verdict.index))
    return path
