"""How long the commands take that people expect an answer from at once."""

from __future__ import annotations

from typing import Any

from benchmarks.quantize.process import coralsmith, run_in_turn, summary
from benchmarks.quantize.sources import Sources
from benchmarks.quantize.table import print_table

TIMES = 7


def measure_startup(sources: Sources) -> dict[str, Any]:
    """Start and finish `--help` and `check`, files in the disk cache."""
    commands = {
        "coralsmith --help": coralsmith("--help"),
        "coralsmith check (MobileNetV2 224)": coralsmith("check", sources.mobilenet_v2),
    }
    run_in_turn(commands, 1)
    results = {name: summary(runs) for name, runs in run_in_turn(commands, TIMES).items()}
    print_table(
        f"Start to finish, median of {TIMES}. Asked: at most 0.5 s each",
        ("", "wall", "CPU time", "peak memory"),
        [
            (name, f"{r['seconds']:.3f} s", f"{r['cpu_seconds']:.3f} s", f"{r['peak_megabytes']:.0f} MiB")
            for name, r in results.items()
        ],
    )
    return results
