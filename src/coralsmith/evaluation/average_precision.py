"""Mean average precision as COCO defines it, by pycocotools (extra `eval`)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import MissingExtraError

if TYPE_CHECKING:
    from coralsmith.detection.detections import Detections
    from coralsmith.evaluation.dataset import AnnotatedImage

OVERLAPS: Final = np.linspace(0.5, 0.95, 10)
"""Thresholds of intersection over union; AP is the mean over them (https://cocodataset.org/#detection-eval)."""

RECALLS: Final = np.linspace(0.0, 1.0, 101)
"""Recalls at which the interpolated precision is read."""

MAX_DETECTIONS: Final = 100
_AP50, _AP75 = 0, 5


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """All detections of one class, best first, and at which overlaps each hit an object.

    Attributes:
        image: int64 [D], index of the detection's image.
        hit: bool [10, D], for each of `OVERLAPS`.
        ignored: bool [10, D]; a detection on a crowd is neither right nor wrong.
        objects: int64 [images], objects to be found in each image.
    """

    image: NDArray[np.int64]
    hit: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matches:
    """What pycocotools found.

    Attributes:
        classes: One for each class of the data set.
        precision: float64 [10, 101, classes], interpolated precision at each overlap and recall; -1 in a class
            without objects.
    """

    classes: list[ClassMatches]
    precision: NDArray[np.float64]

    def average_precision(self, overlap: int | slice = slice(None), class_id: int | slice = slice(None)) -> float:
        """Mean of the precision over overlaps, recalls and the classes that have objects; NaN if none has."""
        values = self.precision[overlap, :, class_id]
        known = values[values > -1]
        return float(known.mean()) if known.size else float("nan")

    @property
    def ap(self) -> float:
        """AP, the mean over the overlaps 0.50 to 0.95."""
        return self.average_precision()

    @property
    def ap50(self) -> float:
        """AP at an overlap of 0.50."""
        return self.average_precision(_AP50)

    @property
    def ap75(self) -> float:
        """AP at an overlap of 0.75."""
        return self.average_precision(_AP75)


def match(images: Sequence[AnnotatedImage], detections: Sequence[Detections], classes: int) -> Matches:
    """Match detections with annotated objects.

    Args:
        images: The annotations.
        detections: Of each image, with the data set's class ids, boxes normalised as the annotations' are.
        classes: Number of classes of the data set.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingExtraError("eval", "Average precision") from error
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
        evaluation = COCOeval(_annotations(images, classes), _results(detections, classes), "bbox")
        evaluation.params.imgIds = list(range(len(images)))
        evaluation.params.catIds = list(range(classes))
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    count = len(images)
    per_class = [evaluation.evalImgs[c * count : (c + 1) * count] for c in range(classes)]
    return Matches([_class_matches(results) for results in per_class], evaluation.eval["precision"][..., 0, 0])


def _class_matches(results: list[dict[str, Any] | None]) -> ClassMatches:
    """Detections of one class from pycocotools' result for each image (None: no object and no detection)."""
    found = [(i, r) for i, r in enumerate(results) if r is not None]
    nothing = np.zeros((len(OVERLAPS), 0))
    image = np.concatenate([[], *(np.full(len(r["dtScores"]), i) for i, r in found)]).astype(np.int64)
    scores = np.concatenate([[], *(r["dtScores"] for _, r in found)])
    hit = np.concatenate([nothing, *(r["dtMatches"] for _, r in found)], axis=1) > 0
    ignored = np.concatenate([nothing, *(r["dtIgnore"] for _, r in found)], axis=1) > 0
    objects = np.zeros(len(results), np.int64)
    for i, r in found:
        objects[i] = np.sum(np.asarray(r["gtIgnore"]) == 0)
    best_first = np.argsort(-scores, kind="stable")
    return ClassMatches(image[best_first], hit[:, best_first], ignored[:, best_first], objects)


def _annotations(images: Sequence[AnnotatedImage], classes: int) -> Any:
    objects = [
        (i, class_id, box, {"iscrowd": int(crowd)})
        for i, image in enumerate(images)
        for box, class_id, crowd in zip(image.boxes, image.class_ids, image.crowd, strict=True)
    ]
    return _coco(len(images), classes, objects)


def _results(detections: Sequence[Detections], classes: int) -> Any:
    objects = [
        (i, class_id, box, {"iscrowd": 0, "score": float(score)})
        for i, found in enumerate(detections)
        for box, class_id, score in zip(found.boxes, found.class_ids, found.scores, strict=True)
    ]
    return _coco(len(detections), classes, objects)


def _coco(images: int, classes: int, objects: list[tuple[int, int, NDArray[Any], dict[str, Any]]]) -> Any:
    """A COCO data set in memory; ids count from 1 because pycocotools takes 0 for 'no match'."""
    from pycocotools.coco import COCO

    annotations = []
    for number, (image, class_id, box, more) in enumerate(objects, 1):
        ymin, xmin, ymax, xmax = (float(side) for side in box)
        width, height = xmax - xmin, ymax - ymin
        annotation = {"id": number, "image_id": image, "category_id": int(class_id), "area": width * height}
        annotations.append({**annotation, "bbox": [xmin, ymin, width, height], **more})
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": class_id} for class_id in range(classes)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco
