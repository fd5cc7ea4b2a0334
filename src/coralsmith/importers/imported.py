"""What every importer returns: the float graph, the head that the source carries, and how it was verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.head import DetectionHead
from coralsmith.detection.hints import HeadHints
from coralsmith.errors import UnsupportedModelError
from coralsmith.findings import Finding
from coralsmith.graph import Graph

# Of an output's largest value; a thousandth of this again is eight steps of float32: rounding of two frameworks.
_LEAST_SPAN: Final = 1e-3


@dataclass(frozen=True)
class Limits:
    """Bounds of the child process that runs a framework.

    Attributes:
        seconds: Wall time; a MobileNetV2-SSD takes about 15 s on two cores.
        megabytes: Resident memory; a MobileNetV2-SSD takes about 1000 MB.
    """

    seconds: float = 900.0
    megabytes: int = 8192


@dataclass(frozen=True)
class Usage:
    """What a child process took: wall time in seconds and peak resident memory in megabytes (None: not known)."""

    seconds: float
    peak_megabytes: float | None


@dataclass(frozen=True)
class ImportOptions:
    """What an importer may be told.

    Attributes:
        trust: Whether code inside the file (Keras Lambda layers, custom classes, file access) may run.
        images: uint8 RGB pictures [height, width, 3] of any size, for the verification; empty: noise is used.
        input_size: Height and width for a model that leaves them open.
        signature: Which signature of a SavedModel, where it has several.
        factory: ``package.module:function`` that makes the PyTorch module whose weights the source holds.
        limits: Bounds of the child process.
        log: File that receives the framework's messages; None throws them away.
        verify: Whether a `.tflite` source is compared with its graph; other formats always are.
    """

    trust: bool = False
    images: tuple[NDArray[np.uint8], ...] = ()
    input_size: tuple[int, int] | None = None
    signature: str | None = None
    factory: str | None = None
    limits: Limits = field(default_factory=Limits)
    log: Path | None = None
    verify: bool = True


@dataclass(frozen=True)
class SourceInfo:
    """Where a graph comes from.

    Attributes:
        path: The source file or folder.
        format: Its format, as `recognise_format` names it.
        sha256: Hash of the file, or of the names and contents of a folder's files.
        versions: Versions of the programs that read it.
        output_names: The source's own name of each graph output.
        notes: What the importer found worth telling, one sentence each.
        usage: Time and memory of the framework's child process, where there was one.
    """

    path: Path
    format: str
    sha256: str
    versions: dict[str, str] = field(default_factory=dict)
    output_names: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    usage: Usage | None = None


@dataclass(frozen=True)
class OutputDifference:
    """How far one output of the graph is from the source's: both numbers in the unit of the output."""

    name: str
    worst: float
    low: float
    high: float

    @property
    def relative(self) -> float:
        """The worst difference in parts of the output's range.

        An output that hardly varies is measured against a thousandth of its values: less than that is rounding.
        """
        span = max(self.high - self.low, _LEAST_SPAN * max(abs(self.low), abs(self.high)))
        return self.worst / span if span > 0 else self.worst


@dataclass(frozen=True)
class Verification:
    """The graph against the program it was imported from, on the same inputs.

    Attributes:
        reference: Which program gave the outputs to compare with.
        images: How many pictures were run.
        real_images: Whether they were the caller's, not noise.
        tolerance: Worst difference allowed, in parts of an output's range.
        outputs: The difference of each output.
        detections: For a source that decodes its boxes itself: its own boxes and scores against those that the
            recovered head gives.
    """

    reference: str
    images: int
    real_images: bool
    tolerance: float
    outputs: tuple[OutputDifference, ...]
    detections: tuple[OutputDifference, ...] = ()

    @property
    def worst(self) -> OutputDifference:
        """The output that differs most for its range."""
        return max((*self.outputs, *self.detections), key=lambda output: output.relative)

    @property
    def worst_difference(self) -> float:
        """The worst difference, in the unit of the output it was found in."""
        return self.worst.worst

    @property
    def output_range(self) -> float:
        """The range of the output with the worst difference."""
        return self.worst.high - self.worst.low

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance."""
        return self.worst.relative <= self.tolerance

    def checked(self) -> Verification:
        """The verification itself where it passed.

        Raises:
            UnsupportedModelError: An output differs by more than the tolerance.
        """
        if not self.passed:
            worst = self.worst
            raise UnsupportedModelError(
                f"The imported model does not compute what {self.reference} computes: output '{worst.name}' "
                f"differs by {worst.worst:.4g}, {worst.relative:.2%} of its range "
                f"(allowed: {self.tolerance:.2%}).",
                hint="Please report this with the model: an operator was converted wrongly.",
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """The record for report.json."""
        differences = (*self.outputs, *self.detections)
        return {
            "reference": self.reference,
            "images": self.images,
            "real_images": self.real_images,
            "tolerance": self.tolerance,
            "worst_difference": self.worst_difference,
            "output_range": self.output_range,
            "passed": self.passed,
            "outputs": [{"name": d.name, "worst": d.worst, "low": d.low, "high": d.high} for d in differences],
        }


@dataclass(frozen=True)
class Imported:
    """A source model in the common form.

    Attributes:
        graph: Static graph with batch 1; float, or quantized where the source was.
        head: The detection head, where the source itself carries one.
        source: Where it comes from.
        findings: What was noticed on the way.
        verification: The graph against the source; None where the interpreter cannot run it.
        hints: What the source tells of a head that it does not carry whole.
    """

    graph: Graph
    head: DetectionHead | None
    source: SourceInfo
    findings: list[Finding]
    verification: Verification | None
    hints: HeadHints = field(default_factory=HeadHints)

    @property
    def is_quantized(self) -> bool:
        """Whether the model's activations are integers already, so that calibration is to be skipped."""
        return is_quantized(self.graph)

    @property
    def is_head_proved(self) -> bool:
        """Whether the head was held against the source's own decoding."""
        return self.verification is not None and bool(self.verification.detections)


def is_quantized(graph: Graph) -> bool:
    """Whether any operator of the graph writes quantized integers."""
    return any(tensor.quant is not None and tensor.dtype.kind in "iu" for op in graph.ops for tensor in op.outputs)
