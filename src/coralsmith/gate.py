"""The accuracy gate: ways to quantize from the cheapest to the dearest, tried until one loses little enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from coralsmith.detection.head import DetectionHead
from coralsmith.errors import CoralsmithError, MissingExtraError, UsageError
from coralsmith.evaluation.evaluate import Comparison
from coralsmith.evaluation.ledger import Entry
from coralsmith.findings import Finding
from coralsmith.graph import Graph
from coralsmith.model_input import NormalisedImages, quantization_options, tuning_options
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.automatic import auto_quantize
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.quantizer import Quantized, quantize_graph
from coralsmith.recipe import Recipe
from coralsmith.report.accuracy import GateRecord, RungRecord
from coralsmith.training_set import TrainingSet

EXCEEDED: Final = "accuracy-gate"
SKIPPED: Final = "rung-skipped"


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


@dataclass(frozen=True, eq=False)
class Climb:
    """The way that was taken.

    Attributes:
        quantized: Its result.
        entry: What was measured of it.
        record: All that were tried.
        findings: Rungs that were skipped; an error where none is inside the limit.
    """

    quantized: Quantized
    entry: Entry
    record: GateRecord
    findings: list[Finding]


def climb(
    quantize: Callable[[Rung], Quantized],
    measure: Callable[[Quantized], Entry],
    limit: float,
    ladder: Sequence[Rung],
    *,
    strict: bool = False,
    progress: Progress = SILENT,
) -> Climb:
    """Try one rung after the other and stop at the first whose drop is inside the limit.

    Where none is, the one with the smallest drop is taken, and an error finding says so. A dearer rung that fails
    is passed over, and that is said too.

    Args:
        quantize: Runs a rung.
        measure: Measures what came of it, against the float model.
        limit: Largest drop of AP.
        ladder: The rungs, cheapest first.
        strict: Hold the upper end of the drop's 95 % interval against the limit instead of the drop.
        progress: Told of every rung.

    Raises:
        UsageError: Not one rung could be tried.
        CoralsmithError: The first that was tried failed.
    """
    tried: list[tuple[RungRecord, Quantized, Entry]] = []
    records: list[RungRecord] = []
    for rung in ladder:
        missing = [package for package in rung.packages if find_spec(package) is None]
        if missing:
            error = MissingExtraError(rung.extra, rung.title.capitalize())
            records.append(RungRecord(rung.name, rung.title, skipped=f"{error.message} {error.hint}"))
            continue
        progress.step(f"Quantize: {rung.title}")
        start = time.perf_counter()
        try:
            quantized = quantize(rung)
        except CoralsmithError as error:
            if not tried:
                raise
            records.append(RungRecord(rung.name, rung.title, skipped=f"{error.message} {error.hint}".strip()))
            continue
        seconds = round(time.perf_counter() - start, 3)
        entry = measure(quantized)
        assert entry.comparison is not None, "the float model was measured too"
        record = _record(rung, seconds, entry, entry.comparison, limit, strict)
        progress.note(f"drop {entry.comparison.drop:+.4f}, allowed {limit:g}")
        records.append(record)
        tried.append((record, quantized, entry))
        if record.passed:
            break
    if not tried:
        raise UsageError("No way to quantize could be tried.", hint=records[0].skipped if records else "")
    chosen, quantized, entry = tried[-1] if tried[-1][0].passed else min(tried, key=lambda one: _loss(one[0]))
    gate = GateRecord(limit, strict, chosen.passed, chosen.name, tuple(records))
    return Climb(quantized, entry, gate, _findings(gate, chosen))


def _record(
    rung: Rung, seconds: float, entry: Entry, comparison: Comparison, limit: float, strict: bool
) -> RungRecord:
    row = entry.row()
    compared = comparison.drop_interval[1] if strict else comparison.drop
    return RungRecord(
        rung.name,
        rung.title,
        seconds,
        row.ap,
        row.drop,
        row.drop_interval,
        row.agreement,
        passed=compared <= limit,
    )


def _loss(record: RungRecord) -> float:
    assert record.drop is not None, "only of rungs that were tried"
    return record.drop


def _findings(gate: GateRecord, chosen: RungRecord) -> list[Finding]:
    skipped = [
        Finding(
            SKIPPED, "warning", f"{rung.title.capitalize()} was not tried. {rung.skipped}", evidence="measured"
        )
        for rung in gate.rungs
        if rung.skipped
    ]
    if gate.passed:
        return skipped
    assert chosen.drop is not None and chosen.drop_interval is not None, "it was tried"
    what = "the upper end of the interval of its drop" if gate.strict else "its drop"
    low, high = chosen.drop_interval
    return [
        Finding(
            EXCEEDED,
            "error",
            f"int8 loses more accuracy than allowed: of all that was tried, '{chosen.name}' loses least, and "
            f"{what} is outside.",
            fix="Give more, and more typical, images with --images; find the worst layers with --explain; or "
            "allow more with --max-ap-drop.",
            measured=f"{chosen.drop:+.4f} AP (95 % interval {low:+.4f} to {high:+.4f})",
            limit=f"{gate.max_ap_drop:g}",
            evidence="measured",
        ),
        *skipped,
    ]
