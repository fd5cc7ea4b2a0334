"""The accuracy ledger: the forms that one model goes through, on the same images, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from coralsmith.errors import ImageDataError
from coralsmith.evaluation.agreement import Agreement, Classes, measure_agreement
from coralsmith.evaluation.bootstrap import RESAMPLES
from coralsmith.evaluation.dataset import Dataset
from coralsmith.evaluation.evaluate import Comparison, Evaluation, compare, score
from coralsmith.evaluation.looking import Seen

Form = Literal["source", "float", "int8", "edgetpu"]


@dataclass(frozen=True, eq=False)
class Contender:
    """One form of a model and what it found.

    Attributes:
        form: ``source``: the framework that it was trained with; ``float``: the float graph; ``int8``: the
            quantized one on the CPU; ``edgetpu``: the compiled one on the device.
        name: File, or framework and version.
        seen: What it found in the images.
        classes: What it calls its classes.
    """

    form: Form
    name: str
    seen: Seen
    classes: Classes


@dataclass(frozen=True)
class LedgerRow:
    """One form of a model. AP lies in 0..1; None where there are no labels, or nothing to compare with.

    Attributes:
        form: ``source``, ``float``, ``int8`` or ``edgetpu``.
        name: File, or framework and version.
        ap: Mean over the overlaps 0.50 to 0.95 and over all classes.
        ap50: At an overlap of 0.50.
        ap75: At an overlap of 0.75.
        ap_interval: 95 % bootstrap interval of `ap` over images.
        drop: AP of the first row less AP of this one; positive where this one is worse.
        drop_interval: 95 % bootstrap interval of the drop, paired over images.
        agreement: AP against the detections of the first row.
        agreement_interval: 95 % bootstrap interval of the agreement over images.
    """

    form: Form
    name: str
    ap: float | None = None
    ap50: float | None = None
    ap75: float | None = None
    ap_interval: tuple[float, float] | None = None
    drop: float | None = None
    drop_interval: tuple[float, float] | None = None
    agreement: float | None = None
    agreement_interval: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Entry:
    """All that was measured of one contender, alone and against a reference."""

    contender: Contender
    evaluation: Evaluation | None
    comparison: Comparison | None
    agreement: Agreement | None

    def row(self) -> LedgerRow:
        """The numbers."""
        measured, compared, agreed = self.evaluation, self.comparison, self.agreement
        return LedgerRow(
            self.contender.form,
            self.contender.name,
            ap=None if measured is None else measured.ap,
            ap50=None if measured is None else measured.ap50,
            ap75=None if measured is None else measured.ap75,
            ap_interval=None if measured is None else measured.ap_interval,
            drop=None if compared is None else compared.drop,
            drop_interval=None if compared is None else compared.drop_interval,
            agreement=None if agreed is None else agreed.ap,
            agreement_interval=None if agreed is None else agreed.ap_interval,
        )


def draw_up(
    contenders: Sequence[Contender], dataset: Dataset | None, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Entry]:
    """Measure every contender, and each but the first against the first.

    Args:
        contenders: The reference first, then the forms that came of it. All looked at the same images.
        dataset: The labels; None where there are none, so that only agreement is measured.
        resamples: Bootstrap draws.
        seed: Seed of the draws.

    Raises:
        DetectionHeadError: A contender does not know a class of the data set.
        ImageDataError: No image is left; or there are no labels and the reference finds nothing.
        UnsupportedModelError: A contender found NaN.
        UsageError: The contenders looked at different images.
        MissingExtraError: pycocotools is not installed.
    """
    entries: list[Entry] = []
    for contender in contenders:
        evaluation = None
        if dataset is not None:
            labels, category_ids = contender.classes.labels, contender.classes.category_ids
            evaluation = score(contender.seen, dataset, labels, category_ids, resamples=resamples, seed=seed)
        alone = Entry(contender, evaluation, None, None)
        entries.append(set_against(alone, entries[0], resamples=resamples, seed=seed) if entries else alone)
    return entries


def set_against(entry: Entry, reference: Entry, *, resamples: int = RESAMPLES, seed: int = 0) -> Entry:
    """The entry with its comparison and its agreement, both against the reference.

    Raises:
        ImageDataError: There are no labels, and the reference finds nothing.
        UsageError: The two looked at different images.
    """
    comparison = None
    if entry.evaluation is not None and reference.evaluation is not None:
        comparison = compare(entry.evaluation, reference.evaluation)
    try:
        agreement = measure_agreement(
            entry.contender.seen,
            reference.contender.seen,
            entry.contender.classes,
            reference.contender.classes,
            resamples=resamples,
            seed=seed,
        )
    except ImageDataError:  # the reference shows nothing: labels, where there are some, tell enough
        if comparison is None:
            raise
        agreement = None
    return replace(entry, comparison=comparison, agreement=agreement)
