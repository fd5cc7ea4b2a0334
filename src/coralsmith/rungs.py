"""Ways to quantize a float graph, from the cheapest to the dearest, and to train one before that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from coralsmith.detection.head import DetectionHead
from coralsmith.findings import Finding
from coralsmith.graph import Graph
from coralsmith.model_input import NormalisedImages, quantization_options, tuning_options
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.automatic import auto_quantize
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.quantizer import Quantized, quantize_graph
from coralsmith.recipe import Recipe
from coralsmith.training_set import TrainingSet


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be quantized.

    Attributes:
        graph: The float graph, up to its raw heads.
        head: Its detection head, where it has one.
        inputs: The calibration images.
        recipe: The user's choices.
        progress: Told of the work.
        state: File in which a long piece of work may keep its state; None where nothing is to be kept.
        training: Labelled images to train with; None where training needs no labels.
    """

    graph: Graph
    head: DetectionHead | None
    inputs: NormalisedImages
    recipe: Recipe
    progress: Progress = SILENT
    state: Path | None = None
    training: TrainingSet | None = None

    @property
    def options(self) -> QuantizationOptions:
        """What the recipe asks of the quantizer; the input stays int8 until the model is finished."""
        return replace(quantization_options(self.recipe, self.inputs.spec, self.head), input_type="int8")


@dataclass(frozen=True)
class Rung:
    """One way to quantize.

    Attributes:
        name: In kebab-case.
        title: What it does, for people.
        quantize: Does it, from the results of `starts`.
        packages: What must be importable.
        extra: The dependency group that installs that.
        starts: Cheaper ways whose results this one begins with.
    """

    name: str
    title: str
    quantize: Callable[[Task, Sequence[Quantized]], Quantized]
    packages: tuple[str, ...] = ()
    extra: str = ""
    starts: tuple[Rung, ...] = ()


def quantize_by_recipe(task: Task, _: Sequence[Quantized] = ()) -> Quantized:
    """Post-training quantization exactly as the recipe says."""
    quantize = auto_quantize if task.recipe.quantization == "auto" else quantize_graph
    return _with_image_findings(task, quantize(task.graph, task.inputs, task.options, task.progress))


def quantize_with_all_corrections(task: Task, _: Sequence[Quantized] = ()) -> Quantized:
    """Post-training quantization with the corrections that help, as measured on held-back calibration images."""
    return _with_image_findings(task, auto_quantize(task.graph, task.inputs, task.options, task.progress))


def tune(task: Task, starts: Sequence[Quantized]) -> Quantized:
    """Training, without labels or with them, from the best of some post-training quantizations."""
    from coralsmith.tuning.tune import tune_graph  # torch takes seconds to import

    labelled, findings = None, list[Finding]()
    if task.training is not None:
        labelled, findings = task.training.read(task.head, task.recipe.tuning_samples, task.recipe.seed)
    tuned = tune_graph(
        task.graph,
        task.head,
        task.inputs,
        task.options,
        tuning_options(task.recipe),
        task.progress,
        starts=starts,
        labelled=labelled,
        checkpoint=task.state,
    )
    _forget(task.state)
    return replace(tuned, findings=[*findings, *tuned.findings])


def fine_tune(task: Task) -> tuple[Graph, list[Finding]]:
    """The float graph trained with labels, before it is quantized, and what is to be said of that."""
    from coralsmith.tuning.fine_tune import fine_tune_graph

    assert task.training is not None, "only asked for with labels"
    labelled, findings = task.training.read(task.head, task.recipe.tuning_samples, task.recipe.seed)
    trained = fine_tune_graph(
        task.graph,
        task.head,
        task.inputs,
        labelled,
        task.options,
        tuning_options(task.recipe),
        task.progress,
        checkpoint=task.state,
    )
    _forget(task.state)
    return trained.graph, [*findings, *trained.findings]


def _forget(state: Path | None) -> None:
    if state is not None:
        state.unlink(missing_ok=True)


def _with_image_findings(task: Task, quantized: Quantized) -> Quantized:
    return replace(quantized, findings=[*task.inputs.images.findings, *quantized.findings])


PLAIN: Final = Rung("plain", "post-training quantization as the recipe says", quantize_by_recipe)

CORRECTED: Final = Rung(
    "corrected",
    "channels balanced, weights rounded together, ranges made for detections",
    quantize_with_all_corrections,
)

TUNED: Final = Rung(
    "tuned", "trained to follow the float model", tune, ("torch",), "torch", starts=(PLAIN, CORRECTED)
)

LADDER: Final[tuple[Rung, ...]] = (PLAIN, CORRECTED, TUNED)
"""Each is tried only where those before it lose too much."""


def distinct(rungs: Sequence[Rung], recipe: Recipe) -> list[Rung]:
    """The rungs without the second of those that do the same where the recipe says so."""
    return [rung for rung in rungs if rung is not CORRECTED or recipe.quantization != "auto"]
