"""The records of a report about accuracy: the ledger, the classes, and how the gate was passed."""

from __future__ import annotations

from dataclasses import dataclass

from coralsmith.evaluation.document import Decoding
from coralsmith.evaluation.ledger import LedgerRow


@dataclass(frozen=True)
class ClassLoss:
    """AP of one class before and after quantization; None where the images hold no object of it."""

    label: str
    objects: int
    float_ap: float | None
    int8_ap: float | None


@dataclass(frozen=True)
class RungRecord:
    """One way to quantize that was tried, from the cheapest to the dearest.

    Attributes:
        name: The way, in kebab-case.
        title: What it does.
        seconds: How long it took, its measurement not counted.
        ap: AP of the int8 model that it gave; None where it was skipped.
        drop: AP of the float model less that; positive where int8 is worse.
        drop_interval: 95 % bootstrap interval of the drop, paired over images.
        agreement: AP against the float model's own detections.
        passed: Whether the drop is inside the limit.
        skipped: Why it was not tried; empty where it was.
    """

    name: str
    title: str
    seconds: float = 0.0
    ap: float | None = None
    drop: float | None = None
    drop_interval: tuple[float, float] | None = None
    agreement: float | None = None
    passed: bool = False
    skipped: str = ""


@dataclass(frozen=True)
class GateRecord:
    """How much accuracy int8 may cost, and what was tried to stay inside.

    Attributes:
        max_ap_drop: The limit.
        strict: Whether the upper end of the drop's interval must be inside, not only the drop.
        passed: Whether a way was found; else the least bad one was taken.
        chosen: Name of the way that was taken.
        rungs: Those that were tried or skipped, in order.
    """

    max_ap_drop: float
    strict: bool
    passed: bool
    chosen: str
    rungs: tuple[RungRecord, ...]


@dataclass(frozen=True)
class AccuracyRecord:
    """Average precision on the user's labelled images, 0 to 1.

    Attributes:
        data: The data set.
        split: Name of the split that was measured on; None where the data set has none.
        images: How many images were looked at.
        decoding: How detections were made, the same for all forms.
        ledger: Each form of the model, the first of them the reference.
        classes: Each class before and after quantization.
        gate: The limit on the drop, where one was set.
    """

    data: str
    split: str | None
    images: int
    decoding: Decoding
    ledger: tuple[LedgerRow, ...]
    classes: tuple[ClassLoss, ...]
    gate: GateRecord | None
