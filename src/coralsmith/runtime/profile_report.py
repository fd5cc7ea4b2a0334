"""The result of a profile: the typed object that `coralsmith profile --json` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.edgetpu.latency import Latency
from coralsmith.findings import Finding
from coralsmith.runtime.operator_times import CpuOperatorTime

SCHEMA: Final = "coralsmith/profile/1"


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one thing, measured many times.

    Attributes:
        median: Half of the runs were faster.
        p95: 95 % of the runs were faster.
        fastest: The fastest run: what the machine can do when nothing else disturbs it.
    """

    median: float
    p95: float
    fastest: float

    @staticmethod
    def of(seconds: Sequence[float]) -> Timing:
        """The timing of several runs, each in seconds."""
        milliseconds = 1000 * np.asarray(seconds, np.float64)
        median, p95 = np.percentile(milliseconds, [50, 95])
        return Timing(float(median), float(p95), float(milliseconds.min()))


@dataclass(frozen=True)
class StageTimes:
    """The stages of one detection.

    Attributes:
        pre: From the image to the model's input; None where the model has no detection head.
        invoke: The model itself.
        post: From the model's outputs to detections; None where the model has no detection head.
    """

    pre: Timing | None
    invoke: Timing
    post: Timing | None


@dataclass(frozen=True)
class ThreadTiming:
    """The model itself with so many CPU threads.

    Attributes:
        threads: CPU threads of the interpreter.
        invoke: Its time.
    """

    threads: int
    invoke: Timing


@dataclass(frozen=True)
class ProfileReport:
    """How long a model takes here, beside what it is estimated to take on an Edge TPU.

    Attributes:
        schema: Name and version of this document.
        model: The model, as the user named it.
        device: What it ran on: "cpu", or the Edge TPU, as in `Detector.device`.
        processor: The machine's processor.
        image_size: Height and width of the images that went in, before they were resized; None without a head.
        threads: CPU threads of the main measurement.
        runs: Runs that were measured.
        warm_up: Runs before them.
        stages_ms: The stages of a detection.
        total_ms: All stages of a detection together.
        sweep: The model itself with other numbers of threads; empty on an Edge TPU.
        cpu_ops: Every operator by itself on the CPU; empty on an Edge TPU.
        edgetpu_ms: The compiled form that stands beside the model, on an Edge TPU; None where either is missing.
        estimate_ms: What `coralsmith check` estimates for Edge TPUs; None for a model that is compiled.
        findings: What makes these numbers less than certain.
    """

    schema: str
    model: str
    device: str
    processor: str
    image_size: tuple[int, int] | None
    threads: int
    runs: int
    warm_up: int
    stages_ms: StageTimes
    total_ms: Timing
    sweep: list[ThreadTiming]
    cpu_ops: list[CpuOperatorTime]
    edgetpu_ms: StageTimes | None
    estimate_ms: Latency | None
    findings: list[Finding]
