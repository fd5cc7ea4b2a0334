"""Measures coralsmith's quantizer beside TensorFlow's; see benchmarks/README.md.

python -m benchmarks.quantize --part speed|accuracy|memory|startup|all
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.quantize.memory import measure_memory
from benchmarks.quantize.process import REPOSITORY
from benchmarks.quantize.sources import Sources
from benchmarks.quantize.speed import measure_speed
from benchmarks.quantize.startup import measure_startup

PARTS = ("startup", "speed", "memory", "accuracy")
RESULTS = REPOSITORY / "benchmarks" / "results"


def main() -> None:
    arguments = _arguments()
    sources = Sources(arguments.shared.resolve(), arguments.work.resolve())
    sources.work.mkdir(parents=True, exist_ok=True)
    facts = machine()
    print(f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}; load {facts['load']}")
    for part in PARTS if arguments.part == "all" else (arguments.part,):
        result = {"part": part, "machine": machine(), "result": _measure(part, sources, arguments.times)}
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"quantize_{part}.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def _measure(part: str, sources: Sources, times: int) -> dict[str, Any]:
    if part == "startup":
        return measure_startup(sources)
    if part == "speed":
        return measure_speed(sources, times)
    if part == "memory":
        return measure_memory(sources)
    from benchmarks.quantize.accuracy import measure_accuracy  # large: kept out while processes are measured

    return measure_accuracy(sources)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantize", description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--times", type=int, default=3, help="runs of each contender of part speed (default 3)")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="models and data")
    parser.add_argument("--work", type=Path, default=RESULTS / "quantize", help="scratch folder, kept")
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """What the numbers depend on; a load near 0 means that nothing else ran."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    main()
