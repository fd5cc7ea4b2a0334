"""How far one model finds what another one finds: AP against the other's own detections, no labels needed.

On few images AP is noisy because each of the few annotated objects weighs much and both models miss many of them.
What quantization changes shows earlier here: the reference finds its own detections by definition, so that its AP
would be 1, and all that is missing is a difference between the two models.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from coralsmith.detection.detections import Detections
from coralsmith.errors import ImageDataError, UsageError
from coralsmith.evaluation.bootstrap import RESAMPLES
from coralsmith.evaluation.dataset import AnnotatedImage, Dataset
from coralsmith.evaluation.evaluate import Evaluation, score
from coralsmith.evaluation.looking import Seen

REFERENCE_SCORE: Final = 0.3
"""Detections of the reference from this score on count as objects: those that a user would be shown."""


@dataclass(frozen=True)
class Agreement:
    """AP of a model against the detections of another one. All values lie in 0..1.

    Attributes:
        images: Images that both looked at.
        objects: Detections of the reference that were to be found.
        score_threshold: From which score on they count.
        ap: Mean over the overlaps 0.50 to 0.95 and over all classes; 1 is perfect agreement.
        ap50: At an overlap of 0.50.
        ap75: At an overlap of 0.75.
        ap_interval: 95 % bootstrap interval of `ap` over images.
        evaluation: All of it, for a paired comparison of several models with one reference.
    """

    images: int
    objects: int
    score_threshold: float
    ap: float
    ap50: float
    ap75: float
    ap_interval: tuple[float, float]
    evaluation: Evaluation = field(repr=False, compare=False)


@dataclass(frozen=True)
class Classes:
    """What a model calls its classes: its labels and, where known, the data set's own numbers of them."""

    labels: tuple[str, ...]
    category_ids: tuple[int, ...] | None = None


def measure_agreement(
    found: Seen,
    reference: Seen,
    classes: Classes,
    reference_classes: Classes | None = None,
    *,
    threshold: float = REFERENCE_SCORE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """AP of what a model found, against what the reference found in the same images.

    Args:
        found: Detections of the model, of any score.
        reference: Detections of the reference.
        classes: The model's classes.
        reference_classes: Those of the reference; by default the same.
        threshold: The reference's detections below this score are no objects.
        resamples: Bootstrap draws.
        seed: Seed of the draws.

    Raises:
        UsageError: The two did not look at the same images.
        DetectionHeadError: The reference found a class that the model does not know.
        ImageDataError: The reference finds nothing, so that nothing can be agreed on.
    """
    if [image.path for image in found.images] != [image.path for image in reference.images]:
        raise UsageError("Two models can agree only on the same images.")
    names = reference_classes or classes
    objects = as_objects(reference, names, threshold)
    if not objects.boxes_per_class().any():
        raise ImageDataError(
            f"The reference model finds nothing with a score of at least {threshold:g} in {len(found.images)} "
            "images, so there is nothing to agree on.",
            hint="Give images that show what the model was trained to find.",
        )
    seen = dataclasses.replace(found, images=objects.images, findings=[])
    result = score(seen, objects, classes.labels, classes.category_ids, resamples=resamples, seed=seed)
    return Agreement(
        result.images,
        int(objects.boxes_per_class().sum()),
        threshold,
        result.ap,
        result.ap50,
        result.ap75,
        result.ap_interval,
        result,
    )


def as_objects(reference: Seen, classes: Classes, threshold: float = REFERENCE_SCORE) -> Dataset:
    """The detections of a model as a data set's annotations, cut at the edges of the image as detections are."""
    images = [
        _with_objects(image, found.at_least(threshold).clipped())
        for image, found in zip(reference.images, reference.detections, strict=True)
    ]
    return Dataset(images, classes.labels, classes.category_ids)


def _with_objects(image: AnnotatedImage, found: Detections) -> AnnotatedImage:
    """The image with the detections in it; one that lies outside the image altogether is no object."""
    inside = (found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1)
    return dataclasses.replace(
        image,
        boxes=found.boxes[inside].astype(np.float64),
        class_ids=found.class_ids[inside],
        crowd=np.zeros(int(inside.sum()), bool),
    )
