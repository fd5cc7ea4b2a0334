"""Measures the import of one trained PyTorch detector, through ONNX and by litert-torch; see benchmarks/README.md.

python -m benchmarks.importers --times 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.quantize.__main__ import RESULTS, machine
from benchmarks.quantize.process import Run, run
from benchmarks.quantize.table import print_table

ROUTES = {
    "coralsmith, from .onnx": ("onnx", "cells.onnx"),
    "coralsmith, from .pt2": ("onnx", "cells.pt2"),
    "litert-torch, from the module": ("litert", ""),
}


def main() -> None:
    arguments = _arguments()
    work: Path = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    facts = machine()
    print(f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}; load {facts['load']}")
    export = run(_route("export", work))
    runs: dict[str, list[Run]] = {name: [] for name in ROUTES}
    for _ in range(arguments.times):
        for name, (route, source) in ROUTES.items():
            runs[name].append(run(_route(route, work, source)))
    rows = {name: _row(each) for name, each in runs.items()}
    peer = rows["litert-torch, from the module"]["seconds"]
    print_table(
        f"BCCD SSDLite MobileNetV2 300 to a float model, median of {arguments.times} whole processes "
        f"(torch.onnx.export itself: {export.seconds:.1f} s)",
        ("route", "wall s", "CPU s", "peak MiB", "of litert-torch", "operators", "worst difference"),
        [
            (
                name,
                f"{row['seconds']:.1f}",
                f"{row['cpu_seconds']:.1f}",
                f"{row['peak_megabytes']:.0f}",
                f"{row['seconds'] / peer:.2f}",
                str(row["operators"]),
                f"{row['worst_difference']:.1e}",
            )
            for name, row in rows.items()
        ],
    )
    RESULTS.mkdir(exist_ok=True)
    result = {"machine": facts, "export_seconds": export.seconds, "routes": rows}
    (RESULTS / "importers.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def _route(route: str, work: Path, source: str = "") -> list[str]:
    return [sys.executable, "-m", f"benchmarks.importers.{route}", str(work), *([source] if source else [])]


def _row(runs: list[Run]) -> dict[str, Any]:
    """The median of the runs, and what the last one says of its model."""
    return {
        "seconds": statistics.median(each.seconds for each in runs),
        "cpu_seconds": statistics.median(each.cpu_seconds for each in runs),
        "peak_megabytes": max(each.peak_megabytes for each in runs),
        **json.loads(runs[-1].output.splitlines()[-1]),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importers", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3, help="runs of each route (default 3)")
    parser.add_argument("--work", type=Path, default=RESULTS / "importers", help="scratch folder, kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
