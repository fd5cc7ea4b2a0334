"""What `coralsmith evaluate --json` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from coralsmith.evaluation.evaluate import ClassScore
from coralsmith.evaluation.ledger import LedgerRow
from coralsmith.findings import Finding

SCHEMA: Final = "coralsmith/evaluate/1"


@dataclass(frozen=True)
class Decoding:
    """How raw boxes and scores become the detections that are measured, the same for all models.

    Attributes:
        suppression: ``within classes``: a box is dropped for a better one of its own class; ``across classes``:
            each box has its best class only and is dropped for any better one, as TFLite_Detection_PostProcess
            does it in its fast mode.
        iou: Overlap from which a box is dropped.
        score: Lowest score that is kept.
        max_detections: Most detections of an image.
    """

    suppression: Literal["within classes", "across classes"]
    iou: float
    score: float
    max_detections: int


@dataclass(frozen=True)
class AgainstRecord:
    """The other model's numbers on the same images; None where there are no labels."""

    model: str
    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_interval: tuple[float, float] | None
    per_class: dict[str, ClassScore]


@dataclass(frozen=True)
class AgreementRecord:
    """AP of the model against the other model's own detections on the same images; 1 is perfect agreement.

    Attributes:
        images: Images that both looked at.
        objects: Detections of the other model that were to be found.
        score_threshold: From which score on they count.
        ap: Mean over the overlaps 0.50 to 0.95 and over all classes.
        ap50: At an overlap of 0.50.
        ap75: At an overlap of 0.75.
        ap_interval: 95 % bootstrap interval of `ap` over images.
    """

    images: int
    objects: int
    score_threshold: float
    ap: float
    ap50: float
    ap75: float
    ap_interval: tuple[float, float]


@dataclass(frozen=True)
class EvaluationReport:
    """Average precision of a model, and what it loses against another one. AP lies in 0..1.

    Attributes:
        model: The model.
        data: The data set, or the folder of images where there are no labels.
        split: Name of the split that was measured on; None where there is none.
        images: Images that were looked at.
        ap: Mean over the overlaps 0.50 to 0.95 and over all classes; None where there are no labels.
        ap50: At an overlap of 0.50.
        ap75: At an overlap of 0.75.
        ap_interval: 95 % bootstrap interval of `ap` over images.
        per_class: Score of each class, by its label in the data set.
        decoding: How detections were made.
        against: The other model.
        drop: AP of the other model less AP of this one; positive where this one is worse.
        drop_interval: 95 % bootstrap interval of the drop, paired over images.
        agreement: How far the model finds what the other one finds.
        ledger: All forms of the model that were measured, the reference first.
        findings: What was left out, and what is noticeable.
        schema: Name and version of this document.
    """

    model: str
    data: str
    split: str | None
    images: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_interval: tuple[float, float] | None
    per_class: dict[str, ClassScore]
    decoding: Decoding
    against: AgainstRecord | None
    drop: float | None
    drop_interval: tuple[float, float] | None
    agreement: AgreementRecord | None
    ledger: tuple[LedgerRow, ...]
    findings: tuple[Finding, ...]
    schema: str = field(default=SCHEMA)
