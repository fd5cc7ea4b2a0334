"""The records of a conversion: exactly what `report.json` holds, and all that the HTML and the terminal show.

Fields are plain values, so that a report read back from disk can be shown like a fresh one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from coralsmith.compiler.attempts import Attempt
from coralsmith.compiler.proof import Origin
from coralsmith.findings import Finding
from coralsmith.quantization.trial import Trial
from coralsmith.report.accuracy import AccuracyRecord
from coralsmith.report.explanation import ExplanationRecord

SCHEMA: Final = "coralsmith/report/1"
VerdictStatus = Literal["compiled", "int8-ready", "blocked"]


@dataclass(frozen=True)
class Verdict:
    """What the user got, and what to do next.

    Attributes:
        status: ``compiled``: the real compiler wrote a model; ``int8-ready``: a verified int8 model, not compiled;
            ``blocked``: findings stopped the job.
        title: One line.
        text: A few plain sentences.
        next_step: What to do next, in a sentence; empty where nothing is left to do.
        command: The command for it, ready to copy; empty where it takes none.
    """

    status: VerdictStatus
    title: str
    text: str
    next_step: str = ""
    command: str = ""


@dataclass(frozen=True)
class StageRecord:
    """One stage of the run: wall time in seconds, peak resident memory in megabytes, whether it was resumed."""

    name: str
    seconds: float
    peak_megabytes: float | None
    resumed: bool = False


@dataclass(frozen=True)
class SourceRecord:
    """The model that went in."""

    path: str
    format: str
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeadRecord:
    """The detection head in short; the whole of it is head.json."""

    input_size: tuple[int, int]
    normalisation: str
    boxes: str
    scores: str
    anchors: int
    labels: tuple[str, ...]
    evidence: str


@dataclass(frozen=True)
class RepairRecord:
    """One change to the model and its numerical proof.

    Attributes:
        name: The repair, in kebab-case.
        reason: Why it may be made.
        exact: Whether both forms compute the same real numbers.
        before: Kind and name of each operator that was there.
        after: Kind and name of each operator in their place.
        worst_difference: The largest difference of any output, in parts of that output's range.
        sqnr_db: The lowest signal-to-noise ratio of any output; None for an exact repair.
    """

    name: str
    reason: str
    exact: bool
    before: tuple[str, ...]
    after: tuple[str, ...]
    worst_difference: float | None
    sqnr_db: float | None = None


@dataclass(frozen=True)
class OutputFidelity:
    """An output of the int8 model against the float model: signal to quantization noise, worst difference."""

    name: str
    sqnr_db: float
    worst_difference: float


@dataclass(frozen=True)
class LayerFidelity:
    """One operator's output, int8 against float: signal to quantization noise in dB."""

    name: str
    kind: str
    sqnr_db: float


@dataclass(frozen=True)
class TensorScale:
    """How one activation is quantized, and the range it was seen to have."""

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class QuantizationRecord:
    """How the model became int8; `images` counts those calibrated with, None where it came quantized.

    The methods are those that were used; `trials` tells how they were chosen where that was left to measuring.
    """

    images: int | None
    ranges: str
    weights: str
    detection_ranges: bool = False
    equalization: str = "off"
    rounding: str = "nearest"
    bias_correction: bool = True
    trials: tuple[Trial, ...] = ()
    outputs: tuple[OutputFidelity, ...] = ()
    layers: tuple[LayerFidelity, ...] = ()
    tensors: tuple[TensorScale, ...] = ()


@dataclass(frozen=True)
class DetectionRecord:
    """One detection; `box` is (ymin, xmin, ymax, xmax) normalised to the original image."""

    label: str
    class_id: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class SampleRecord:
    """One image that both models looked at."""

    image: str
    float_detections: tuple[DetectionRecord, ...]
    int8_detections: tuple[DetectionRecord, ...]


@dataclass(frozen=True)
class AgreementRecord:
    """How many of the float model's detections the int8 model finds again (same class, IoU at least `iou`)."""

    images: int
    float_detections: int
    int8_detections: int
    matched: int
    score_threshold: float
    iou: float


@dataclass(frozen=True)
class CompilerRecord:
    """What the real compiler did; counts are None where it was not run, or gave no model.

    Attributes:
        ran: Whether it was run.
        version: What it calls itself.
        command: The command of the attempt that was taken.
        mapped: Operators on the Edge TPU.
        unmapped: Operators left on the CPU.
        on_chip_bytes: Parameters cached on the chip.
        streamed_bytes: Parameters sent with every inference.
        operations: The compiler's table: kind, count, status.
        where: A path, "docker:IMAGE" or "ssh:HOST".
        attempts: Every attempt to compile, in order.
        origins: How far it is proved that the compiled file was made from the int8 model.
    """

    ran: bool
    version: str | None = None
    command: str = ""
    mapped: int | None = None
    unmapped: int | None = None
    on_chip_bytes: int | None = None
    streamed_bytes: int | None = None
    operations: tuple[tuple[str, int, str], ...] = ()
    where: str = ""
    attempts: tuple[Attempt, ...] = ()
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True)
class FileRecord:
    """One file of the output folder."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class QuantizedFile:
    """What came of the quantization stage alone.

    Attributes:
        output: The int8 file.
        bytes: Its size.
        images: How many images were used.
        operators: How many operators of each kind it has.
        findings: What was noticed about the model and the images.
    """

    output: Path
    bytes: int
    images: int
    operators: dict[str, int]
    findings: list[Finding]


@dataclass(frozen=True)
class ConversionReport:
    """Everything a run knows; `report.json`.

    `check` is the document of ``coralsmith check --json``, `recipe` that of the recipe file, `verification` the
    comparison of the imported float graph with its source.
    """

    name: str
    verdict: Verdict
    versions: dict[str, str]
    source: SourceRecord
    recipe: dict[str, Any]
    head: HeadRecord | None
    verification: dict[str, Any] | None
    repairs: tuple[RepairRecord, ...]
    quantization: QuantizationRecord
    explanation: ExplanationRecord | None
    check: dict[str, Any]
    compiler: CompilerRecord
    agreement: AgreementRecord | None
    accuracy: AccuracyRecord | None
    samples: tuple[SampleRecord, ...]
    stages: tuple[StageRecord, ...]
    files: tuple[FileRecord, ...]
    findings: tuple[Finding, ...]
    schema: str = field(default=SCHEMA)
