"""What label-free training wins back: AP and agreement of plain, corrected and tuned int8 models.

python -m benchmarks.accuracy.tune [--case NAME ...]

The rungs of the accuracy gate, run as `convert` runs them: the same calibration images for all, and training on
those alone. None of them is one that is measured on.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.accuracy.measure import keep, measure, parser_for, sources_in
from benchmarks.accuracy.sources import Case, cases
from benchmarks.quantize.sources import INPUT
from coralsmith.detection.images import ImageFolder
from coralsmith.graph import Graph
from coralsmith.model_input import NormalisedImages
from coralsmith.progress import Progress
from coralsmith.quantization.quantizer import Quantized
from coralsmith.recipe import Recipe
from coralsmith.report.terminal_progress import shown_progress
from coralsmith.rungs import LADDER, Rung, Task


def main() -> None:
    arguments = _arguments()
    sources = sources_in(arguments)
    every = cases(sources)

    def measure_case(name: str) -> list[dict[str, Any]]:
        case = every[name]()
        with shown_progress() as progress:
            rows = measure(case, rungs(case, arguments.seed, progress))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"peak memory of this process so far: {peak:.2f} GB\n")
        return rows

    keep("tune.json", arguments.case or every, measure_case)


def rungs(case: Case, seed: int, progress: Progress) -> Iterator[tuple[str, Graph, float | None]]:
    """The int8 form of each rung, and how long it took; a rung's own start is part of its time."""
    inputs = NormalisedImages(ImageFolder(case.calibration, INPUT.size), INPUT)
    recipe = Recipe(weights=case.weights, seed=seed, tuning_minutes=0)
    task = Task(case.graph, case.head, inputs, recipe, progress)
    results: dict[str, tuple[Quantized, float]] = {}

    def run(rung: Rung) -> tuple[Quantized, float]:
        if rung.name not in results:
            starts = [run(start) for start in rung.starts]
            begin = time.perf_counter()
            quantized = rung.quantize(task, [start for start, _ in starts])
            seconds = time.perf_counter() - begin + sum(seconds for _, seconds in starts)
            results[rung.name] = quantized, seconds
        return results[rung.name]

    for rung in LADDER:
        quantized, seconds = run(rung)
        yield rung.name, quantized.graph, seconds


def _arguments() -> argparse.Namespace:
    parser = parser_for("benchmarks.accuracy.tune", __doc__.splitlines()[0])
    parser.add_argument("--case", action="append", help="one of them; may be repeated (default all)")
    parser.add_argument("--seed", type=int, default=0, help="of the training (default 0)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
