"""Times a model where it runs: stage by stage, with other numbers of threads, operator by operator."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.findings import Finding
from coralsmith.graph import Array
from coralsmith.graph.executor import random_inputs
from coralsmith.progress import SILENT, Progress
from coralsmith.runtime.detector import Detector
from coralsmith.runtime.engine import Engine, open_engine
from coralsmith.runtime.loading import LoadedModel
from coralsmith.runtime.profile_report import StageTimes, ThreadTiming, Timing

Clock = Callable[[], float]

UNSTEADY: Final = 1.5
"""A machine whose 95th percentile is so many times its median was busy with something else too."""


@dataclass(frozen=True)
class Runs:
    """How often to measure.

    Attributes:
        measured: Runs that count.
        warm_up: Runs before them, which fill caches and wake the processor.
        clock: Seconds; for tests.
    """

    measured: int = 100
    warm_up: int = 5
    clock: Clock = field(default=time.perf_counter, repr=False)


class TimedDetector(Detector):
    """A detector that notes how long the stages of its last detection took.

    Attributes:
        seconds: Seconds of the stages "pre" and "invoke" of the last image.
    """

    def __init__(self, *arguments: Any, clock: Clock = time.perf_counter, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clock = clock
        self.seconds = {"pre": 0.0, "invoke": 0.0}

    def _fill(self, target: Array, pixels: NDArray[np.uint8], bgr: bool) -> None:
        start = self._clock()
        super()._fill(target, pixels, bgr)
        self.seconds["pre"] = self._clock() - start

    def _invoke(self, engine: Engine) -> None:
        start = self._clock()
        super()._invoke(engine)
        self.seconds["invoke"] = self._clock() - start


def time_stages(
    detector: TimedDetector, images: Sequence[NDArray[np.uint8]], runs: Runs, progress: Progress = SILENT
) -> tuple[StageTimes, Timing]:
    """The stages of a detection, and all of it together.

    Args:
        detector: The detector; what is neither preparing the image nor the model itself counts as reading.
        images: uint8 RGB [height, width, 3]; taken in turn.
        runs: How often.
        progress: Advanced by one after each run that counts.
    """
    stages: dict[str, list[float]] = {"pre": [], "invoke": [], "post": []}
    total = []
    for number in range(runs.warm_up + runs.measured):
        image = images[number % len(images)]
        start = runs.clock()
        detector.detect(image)
        whole = runs.clock() - start
        if number < runs.warm_up:
            continue
        total.append(whole)
        for name, seconds in detector.seconds.items():
            stages[name].append(seconds)
        stages["post"].append(whole - sum(detector.seconds.values()))
        progress.advance()
    times = StageTimes(*(Timing.of(stages[name]) for name in ("pre", "invoke", "post")))
    return times, Timing.of(total)


def time_model(model: LoadedModel, device: str, threads: int, runs: Runs, progress: Progress = SILENT) -> Timing:
    """The model itself, fed with noise.

    Args:
        model: A model with one input.
        device: Where it runs; as for `open_engine`.
        threads: CPU threads of the kernels.
        runs: How often.
        progress: Advanced by one after each run that counts.
    """
    engine = open_engine(model.content, device, threads)
    engine.input_view()[...] = random_inputs(model.graph, np.random.default_rng(0))[0]
    seconds = []
    for number in range(runs.warm_up + runs.measured):
        start = runs.clock()
        engine.invoke()
        if number >= runs.warm_up:
            seconds.append(runs.clock() - start)
            progress.advance()
    return Timing.of(seconds)


def sweep_threads(
    model: LoadedModel, counts: Sequence[int], runs: Runs, progress: Progress = SILENT
) -> list[ThreadTiming]:
    """The model itself on the CPU with several numbers of threads."""
    return [ThreadTiming(count, time_model(model, "cpu", count, runs, progress)) for count in counts]


def usual_threads() -> list[int]:
    """One thread, twice as many, and so on up to the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return sorted({*(2**power for power in range(cores.bit_length())), cores})


def processor_name() -> str:
    """The processor as the machine calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, "") or platform.processor() or platform.machine()


def unsteady(timing: Timing) -> list[Finding]:
    """Whether the machine did other work meanwhile."""
    ratio = timing.p95 / timing.median if timing.median else 1.0
    if ratio < UNSTEADY:
        return []
    return [
        Finding(
            "unsteady-timing",
            "warning",
            "The machine was busy with something else too, or changed its clock: the slowest runs are far slower.",
            fix="Measure again when the machine is idle; the fastest runs tell what it can do.",
            measured=f"95th percentile {ratio:.1f} times the median",
            limit=f"{UNSTEADY:g} times",
            evidence="measured",
        )
    ]
