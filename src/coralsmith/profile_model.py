"""The public `profile`: how long a model takes here, beside what it is estimated to take on an Edge TPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith import __version__
from coralsmith.compat.check import check_graph
from coralsmith.detection.images import find_images, readable_sample
from coralsmith.errors import DetectionHeadError, DeviceError, UsageError
from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import random_inputs
from coralsmith.graph.writer import write_atomically
from coralsmith.progress import SILENT, Progress
from coralsmith.report.html_profile import render_profile
from coralsmith.runtime.edgetpu_delegate import AUTO, CPU
from coralsmith.runtime.loading import LoadedModel, load_model
from coralsmith.runtime.operator_times import CpuOperatorTime, operator_times
from coralsmith.runtime.profile_report import SCHEMA, ProfileReport, StageTimes, Timing
from coralsmith.runtime.profiling import (
    Runs,
    TimedDetector,
    processor_name,
    sweep_threads,
    time_model,
    time_stages,
    unsteady,
    usual_threads,
)

FRAME: Final = (1080, 1920)
"""Height and width of the frame of noise that goes in where no images are given."""

_IMAGES: Final = 8


def profile(
    model: str | Path,
    images: str | Path | None = None,
    *,
    head: str | Path | None = None,
    device: str = AUTO,
    threads: int | None = None,
    runs: int = 100,
    warm_up: int = 5,
    page: str | Path | None = None,
    progress: Progress = SILENT,
) -> ProfileReport:
    """Time a model: preparing the image, the model itself, reading its detections, and each of its operators.

    Args:
        model: `.tflite` model: float, int8, or compiled for the Edge TPU where one is there.
        images: A folder of images, or one; by default a frame of noise of 1920 x 1080.
        head: Head file; one beside the model is found by itself. Without any head only the model itself is timed.
        device: As for `coralsmith.Detector`.
        threads: CPU threads of the main measurement; by default as many as there are cores.
        runs: Runs that count.
        warm_up: Runs before them.
        page: File for the profile as HTML.
        progress: Told about every step.

    Raises:
        InputError: The model or the images cannot be used.
        DeviceError: The model is compiled, and there is no Edge TPU for it.
        UsageError: Fewer than one run or thread.
    """
    if runs < 1 or warm_up < 0 or (threads is not None and threads < 1):
        raise UsageError("A profile needs at least one run and one thread.")
    loaded = load_model(model)
    counts = usual_threads()
    threads = threads or counts[-1]
    plan = Runs(runs, warm_up)
    frames = _frames(images)
    progress.step("Stages of a detection", runs)
    measured = _measure(loaded, head, device, threads, frames, plan, progress)
    sweep, operators, estimate = [], list[CpuOperatorTime](), None
    on_edgetpu, notes = None, list[Finding]()
    if not loaded.is_compiled:
        progress.step("Other numbers of threads", len(counts) * runs)
        sweep = sweep_threads(loaded, counts, plan, progress)
        progress.step("Each operator by itself", len(loaded.graph.ops))
        operators = operator_times(loaded.graph, list(_noise(loaded.graph)), progress=progress)
        estimate = check_graph(loaded.graph, model=str(model)).latency_ms
        on_edgetpu, notes = _compiled_beside(loaded, head, threads, frames, plan, progress)
    report = ProfileReport(
        schema=SCHEMA,
        model=str(model),
        device=measured.device,
        processor=processor_name(),
        image_size=measured.image_size,
        threads=threads,
        runs=runs,
        warm_up=warm_up,
        stages_ms=measured.stages,
        total_ms=measured.total,
        sweep=sweep,
        cpu_ops=operators,
        edgetpu_ms=on_edgetpu,
        estimate_ms=estimate,
        findings=[*measured.notes, *notes, *unsteady(measured.total)],
    )
    if page is not None:
        write_atomically(Path(page).expanduser(), render_profile(report, __version__).encode())
    return report


@dataclass(frozen=True)
class _Measured:
    """One model where it ran; `image_size` is None where it was timed without a head."""

    device: str
    image_size: tuple[int, int] | None
    stages: StageTimes
    total: Timing
    notes: list[Finding]


def _measure(
    model: LoadedModel,
    head: str | Path | None,
    device: str,
    threads: int,
    frames: Sequence[NDArray[np.uint8]],
    runs: Runs,
    progress: Progress,
) -> _Measured:
    try:
        detector = TimedDetector(model.source, head, device=device, threads=threads, clock=runs.clock)
    except DetectionHeadError as error:
        if head is not None:
            raise
        device = device if model.is_compiled else CPU
        timing = time_model(model, device, threads, runs, progress)
        return _Measured(device, None, StageTimes(None, timing, None), timing, [_without_head(error)])
    stages, total = time_stages(detector, frames, runs, progress)
    return _Measured(detector.device, (frames[0].shape[0], frames[0].shape[1]), stages, total, [])


def _compiled_beside(
    model: LoadedModel,
    head: str | Path | None,
    threads: int,
    frames: Sequence[NDArray[np.uint8]],
    runs: Runs,
    progress: Progress,
) -> tuple[StageTimes | None, list[Finding]]:
    """The model's compiled form, as `convert` and `compile` lay it beside it, on an Edge TPU, and what to know."""
    assert model.source is not None, "read from a file"
    compiled = model.source.with_name(f"{model.source.stem}_edgetpu.tflite")
    if not compiled.is_file():
        return None, []
    progress.step("On an Edge TPU", runs.measured)
    try:
        measured = _measure(load_model(compiled), head, AUTO, threads, frames, runs, progress)
    except DeviceError as error:
        note = Finding(
            "edgetpu-not-timed",
            "info",
            f"'{compiled.name}' was not timed: {error.message}",
            fix=error.hint,
            evidence="measured",
        )
        return None, [note]
    return measured.stages, measured.notes


def _without_head(error: DetectionHeadError) -> Finding:
    return Finding(
        "profile-without-head",
        "info",
        f"Only the model itself was timed: {error.message}",
        fix=error.hint,
        evidence="measured",
    )


def _noise(graph: Graph) -> Sequence[Array]:
    return random_inputs(graph, np.random.default_rng(0))


def _frames(images: str | Path | None) -> list[NDArray[np.uint8]]:
    if images is None:
        return [np.random.default_rng(0).integers(0, 256, (*FRAME, 3), np.uint8)]
    return readable_sample(find_images(Path(images).expanduser()), _IMAGES, seed=0)
