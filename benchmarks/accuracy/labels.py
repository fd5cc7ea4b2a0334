"""What training with labels does to the blood cell detector, which was trained on the same labels before.

python -m benchmarks.accuracy.labels

The int8 model trained with the multibox loss, held by the float model more and less firmly; and the float model
trained so, before and after quantization. All of the training split, measured on the test split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from benchmarks.accuracy.measure import keep, measure, parser_for, sources_in
from benchmarks.accuracy.sources import Case, bccd
from benchmarks.quantize.sources import INPUT
from coralsmith.detection.images import ImageFolder
from coralsmith.graph import Graph
from coralsmith.model_input import NormalisedImages
from coralsmith.progress import Progress
from coralsmith.recipe import Recipe
from coralsmith.report.terminal_progress import shown_progress
from coralsmith.rungs import CORRECTED, PLAIN, Task, fine_tune, tune
from coralsmith.training_set import TrainingSet

HOLDS = (0.01, 0.05, 0.2)
"""Weights of the distance from the float model, where labels count 1."""


def main() -> None:
    parser = parser_for("benchmarks.accuracy.labels", __doc__.splitlines()[0])
    arguments = parser.parse_args()
    sources = sources_in(arguments)
    case = bccd(sources)
    with shown_progress() as progress:
        keep("labels.json", ["bccd"], lambda _: measure(case, contenders(case, sources.bccd, progress)))


def contenders(case: Case, labelled: Path, progress: Progress) -> Iterator[tuple[str, Graph, float | None]]:
    """Name, graph, and the seconds of its training; starts are not counted."""
    inputs = NormalisedImages(ImageFolder(case.calibration, INPUT.size), INPUT)
    task = Task(case.graph, case.head, inputs, Recipe(), progress, training=TrainingSet.find(labelled))
    starts = [rung.quantize(task, ()) for rung in (PLAIN, CORRECTED)]
    yield "int8, auto", starts[1].graph, None
    for hold in HOLDS:
        begin = perf_counter()
        tuned = tune(replace(task, recipe=Recipe(tuning_imitation=hold, tuning_minutes=0)), starts)
        yield f"int8, labels, held by {hold:g}", tuned.graph, perf_counter() - begin
    for hold in HOLDS:
        begin = perf_counter()
        graph, _ = fine_tune(replace(task, recipe=Recipe(tuning_imitation=hold, tuning_minutes=0)))
        yield f"float, labels, held by {hold:g}", graph, perf_counter() - begin
        yield "  int8 of it, auto", CORRECTED.quantize(replace(task, graph=graph), ()).graph, None


if __name__ == "__main__":
    main()
