"""Measures the forms that a model takes during a conversion on the user's labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from coralsmith.detection.head import DetectionHead
from coralsmith.errors import ImageDataError
from coralsmith.evaluate_model import contender_of, noticed_in
from coralsmith.evaluation.classes import match_classes
from coralsmith.evaluation.dataset import Dataset, load_dataset
from coralsmith.evaluation.document import Decoding
from coralsmith.evaluation.ledger import Contender, Entry, LedgerRow, draw_up, set_against
from coralsmith.findings import Finding
from coralsmith.measured_model import MeasuredModel, decoding_of
from coralsmith.progress import SILENT, Progress
from coralsmith.report.accuracy import AccuracyRecord, ClassLoss, GateRecord
from coralsmith.stages import file_digest

EXCLUDED: Final = "evaluation-image-excluded"
NOTABLE: Final = 0.01
"""A difference of AP from which the way of suppression is worth telling."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """What a conversion measures on.

    Attributes:
        folder: The data set.
        dataset: The annotated images.
    """

    folder: Path
    dataset: Dataset

    @staticmethod
    def read(folder: Path, split: str | None) -> LabelledImages:
        """Read the data set; see `load_dataset`."""
        return LabelledImages(folder, load_dataset(folder, split))

    def require_known(self, head: DetectionHead) -> None:
        """Check that the model knows every class of the data set.

        Raises:
            DetectionHeadError: It lacks one that the images hold objects of.
        """
        match_classes(self.dataset, head.labels, head.category_ids)

    def without(self, paths: Sequence[Path]) -> tuple[list[Path], list[Finding]]:
        """The images that are not among those to be measured on, and what is to be said of the others.

        Images are told by their content, whatever they are called: what a model is calibrated or tuned on must not
        be what it is measured on.

        Raises:
            ImageDataError: No other image is left.
        """
        sizes = {image.path.stat().st_size for image in self.dataset.images}
        contents = {file_digest(image.path) for image in self.dataset.images}
        kept = [path for path in paths if path.stat().st_size not in sizes or file_digest(path) not in contents]
        excluded = len(paths) - len(kept)
        if paths and not kept:
            raise ImageDataError(
                f"All {len(paths)} images are among those that accuracy is measured on.",
                hint="Calibrate with others: the training images, for one.",
            )
        if not excluded:
            return kept, []
        return kept, [
            Finding(
                EXCLUDED,
                "info",
                "Images that accuracy is measured on were left out of calibration and tuning.",
                measured=f"{excluded} of {len(paths)} images",
                evidence="measured: their contents are the same",
            )
        ]


class AccuracyMeter:
    """Measures the int8 forms of one model, each against the float one.

    Args:
        data: The labelled images.
        reference: The float graph; None where the source was quantized already.
        seed: Of the bootstrap.
        progress: Told of every model and image.
    """

    def __init__(
        self, data: LabelledImages, reference: MeasuredModel | None, *, seed: int, progress: Progress = SILENT
    ) -> None:
        self.data = data
        self.reference = reference
        self.seed = seed
        self.progress = progress
        self._float: Entry | None = None
        self._decoding: Decoding | None = None
        self._first: Entry | None = None

    def measure(self, model: MeasuredModel) -> Entry:
        """AP of an int8 form, and its drop against the float graph where there is one; both decoded as it is.

        Raises:
            CoralsmithError: The classes do not fit, or nothing can be measured.
        """
        decoding = decoding_of(model)
        if self.reference is not None and (self._float is None or self._decoding != decoding):
            self._float = self._entry(self._look(self.reference, decoding))
        self._decoding = decoding
        entry = self._entry(self._look(model, decoding))
        return entry if self._float is None else set_against(entry, self._float, seed=self.seed)

    @property
    def decoding(self) -> Decoding:
        """How the last int8 form was decoded, and the float graph with it."""
        assert self._decoding is not None, "something was measured"
        return self._decoding

    def noticed(self, entry: Entry) -> list[Finding]:
        """What the data set's rules left out, what the detections say about the labels, what suppression costs."""
        return [*noticed_in(entry, self.data.dataset), *self._cost_of_suppression()]

    def _cost_of_suppression(self) -> list[Finding]:
        """What the float model loses by the detection operator's fast mode, whatever int8 adds to that."""
        if self.reference is None or self._float is None or self.decoding.suppression == "within classes":
            return []
        decoding = replace(self.decoding, suppression="within classes")
        other = self._entry(self._look(self.reference, decoding)).row()
        mine = self._float.row()
        if other.ap is None or mine.ap is None or other.ap - mine.ap < NOTABLE:
            return []
        return [
            Finding(
                "one-class-per-box",
                "info",
                "The detection operator gives each box its best class only and drops boxes of one class for those "
                "of another; on these images that costs average precision, in float as in int8.",
                fix="Where the application takes raw heads, convert with --postprocess none and suppress within "
                "classes on the host, as coralsmith.Detector does.",
                measured=f"AP {mine.ap:.3f}, and {other.ap:.3f} suppressed within classes (float model)",
                limit=f"{NOTABLE:g}",
                evidence="measured",
            )
        ]

    def ledger(self, measured: Entry, source: Contender | None = None) -> tuple[LedgerRow, ...]:
        """All forms, drops and agreement against the first of them."""
        entries = [self._entry(source)] if source is not None else []
        entries += [self._float] if self._float is not None else []
        self._first, *others = [*entries, measured]
        return (self._first.row(), *(self._against_first(entry).row() for entry in others))

    def further_row(self, model: MeasuredModel) -> LedgerRow:
        """A line of the ledger for one more form, decoded as the last int8 form was."""
        return self._against_first(self._entry(self._look(model, self.decoding))).row()

    def record(
        self, measured: Entry, source: Contender | None = None, gate: GateRecord | None = None
    ) -> AccuracyRecord:
        """What the report tells of an int8 form that was measured."""
        assert measured.evaluation is not None, "there are labels"
        before = {} if self._float is None or self._float.evaluation is None else self._float.evaluation.per_class
        losses = tuple(
            ClassLoss(label, score.objects, before[label].ap if label in before else None, score.ap)
            for label, score in measured.evaluation.per_class.items()
        )
        return AccuracyRecord(
            data=str(self.data.folder),
            split=self.data.dataset.split,
            images=measured.evaluation.images,
            decoding=self.decoding,
            ledger=self.ledger(measured, source),
            classes=losses,
            gate=gate,
        )

    def _look(self, model: MeasuredModel, decoding: Decoding) -> Contender:
        return contender_of(model, decoding, self.data.dataset.images, True, self.progress)

    def _against_first(self, entry: Entry) -> Entry:
        assert self._first is not None, "the ledger was drawn up"
        return set_against(entry, self._first, seed=self.seed)

    def _entry(self, contender: Contender) -> Entry:
        return draw_up([contender], self.data.dataset, seed=self.seed)[0]
