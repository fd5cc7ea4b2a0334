"""Average precision of a detector on a data set, and how two detectors compare on the same images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.detections import Detections
from coralsmith.errors import DetectionHeadError, ImageDataError, UnsupportedModelError, UsageError
from coralsmith.evaluation.average_precision import Matches, match
from coralsmith.evaluation.bootstrap import RESAMPLES, interval, resampled_ap
from coralsmith.evaluation.classes import NO_CLASS, match_classes
from coralsmith.evaluation.dataset import Dataset
from coralsmith.evaluation.looking import Detect, Seen, look
from coralsmith.findings import Finding
from coralsmith.progress import SILENT, Progress


@dataclass(frozen=True)
class ClassScore:
    """AP of one class; None where the images hold no object of it.

    Attributes:
        ap: Mean over the overlaps 0.50 to 0.95.
        ap50: At an overlap of 0.50.
        objects: Objects to be found.
    """

    ap: float | None
    ap50: float | None
    objects: int


@dataclass(frozen=True)
class EvaluationRecord:
    """The numbers of an evaluation. AP lies in 0..1.

    Attributes:
        images: Images that were looked at.
        ap: Mean over the overlaps 0.50 to 0.95 and over all classes.
        ap50: At an overlap of 0.50.
        ap75: At an overlap of 0.75.
        ap_interval: 95 % bootstrap interval of `ap` over images.
        per_class: Score of each class, by its label in the data set.
        findings: What was left out of the data set.
    """

    images: int
    ap: float
    ap50: float
    ap75: float
    ap_interval: tuple[float, float]
    per_class: dict[str, ClassScore]
    findings: list[Finding]


@dataclass(frozen=True, eq=False)
class Evaluation(EvaluationRecord):
    """An evaluation that can be compared with another one.

    Attributes:
        dataset: The images, as they were looked at.
        resampled: float64 [resamples], AP of each bootstrap draw of the images.
    """

    dataset: Dataset = field(repr=False)
    resampled: NDArray[np.float64] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The document."""
        names = [entry.name for entry in dataclasses.fields(EvaluationRecord)]
        plain = EvaluationRecord(**{name: getattr(self, name) for name in names})
        return dataclasses.asdict(plain)


@dataclass(frozen=True)
class Comparison:
    """How much a model loses against another one on the same images.

    Attributes:
        drop: AP of the other less AP of the model; positive where the model is worse.
        drop_interval: 95 % bootstrap interval of the drop, paired over images.
    """

    drop: float
    drop_interval: tuple[float, float]


def evaluate(
    detect: Detect,
    dataset: Dataset,
    labels: Sequence[str],
    category_ids: Sequence[int] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Evaluation:
    """Average precision of a detector.

    Args:
        detect: Gets the image, uint8 RGB [height, width, 3], and gives detections normalised to it.
        dataset: The annotated images. Files that cannot be read, or have another shape than their annotation
            says, are left out with a finding.
        labels: Labels of the detector's classes.
        category_ids: Their category ids, where known; see `match_classes`.
        resamples: Bootstrap draws.
        seed: Seed of the draws.
        progress: Advanced by one after each image.

    Raises:
        DetectionHeadError: The model does not know a class of the data set.
        UnsupportedModelError: The model computes NaN.
        ImageDataError: No image is left.
        MissingExtraError: pycocotools is not installed.
    """
    match_classes(dataset, labels, category_ids)  # before the work, not after it
    seen = look(detect, dataset.images, progress)
    return score(seen, dataset, labels, category_ids, resamples=resamples, seed=seed)


def score(
    seen: Seen,
    dataset: Dataset,
    labels: Sequence[str],
    category_ids: Sequence[int] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Average precision of what a detector found in the images of a data set; arguments as for `evaluate`.

    Raises:
        DetectionHeadError: The model does not know a class of the data set.
        UnsupportedModelError: The detections hold NaN.
        ImageDataError: No image is left.
        MissingExtraError: pycocotools is not installed.
    """
    classes = match_classes(dataset, labels, category_ids)
    used = dataclasses.replace(dataset, images=seen.images, findings=[*dataset.findings, *seen.findings])
    if not seen.images or not used.boxes_per_class().any():
        first = seen.findings[0].reason if seen.findings else "It holds no object."
        raise ImageDataError(f"Nothing is left of the data set to measure with. {first}")
    detections = [in_classes(found, classes) for found in seen.detections]
    matches = match(seen.images, detections, len(dataset.labels))
    return _evaluation(used, matches, resampled_ap(matches.classes, resamples, seed))


def compare(model: Evaluation, against: Evaluation) -> Comparison:
    """What a model loses against another one, with the paired interval.

    Raises:
        UsageError: The two were not evaluated on the same images with the same draws.
    """
    paths = [[image.path for image in evaluation.dataset.images] for evaluation in (model, against)]
    if paths[0] != paths[1] or len(model.resampled) != len(against.resampled):
        raise UsageError("Two models can be compared only on the same images, with as many bootstrap draws.")
    return Comparison(against.ap - model.ap, interval(against.resampled - model.resampled))


def in_classes(found: Detections, classes: NDArray[np.int64]) -> Detections:
    """Detections with the data set's class ids, boxes cut at the image; those of other classes are dropped."""
    if np.isnan(found.boxes).any() or np.isnan(found.scores).any():
        raise UnsupportedModelError(
            "The model's detections hold NaN.", hint="Check its training, its export and its head."
        )
    if len(found) and not 0 <= found.class_ids.min() <= found.class_ids.max() < len(classes):
        raise DetectionHeadError(
            f"The model finds the class {found.class_ids.max()}, but has {len(classes)} labels only.",
            hint="Give one label for each class, with --head or --labels.",
        )
    class_ids = classes[found.class_ids]
    known = class_ids != NO_CLASS
    return Detections(found.boxes[known], class_ids[known], found.scores[known]).clipped()


def _evaluation(dataset: Dataset, matches: Matches, resampled: NDArray[np.float64]) -> Evaluation:
    objects = dataset.boxes_per_class().tolist()
    per_class = {
        label: ClassScore(
            matches.average_precision(class_id=i) if objects[i] else None,
            matches.average_precision(0, i) if objects[i] else None,
            objects[i],
        )
        for i, label in enumerate(dataset.labels)
    }
    return Evaluation(
        images=len(dataset.images),
        ap=matches.ap,
        ap50=matches.ap50,
        ap75=matches.ap75,
        ap_interval=interval(resampled),
        per_class=per_class,
        findings=dataset.findings,
        dataset=dataset,
        resampled=resampled,
    )
