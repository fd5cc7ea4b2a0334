"""A labelled data set to train a model with: which of its images, and its objects in the columns of the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.head import DetectionHead
from coralsmith.detection.preprocess import fit, resize_image
from coralsmith.errors import DetectionHeadError, ImageDataError, UsageError
from coralsmith.evaluation.classes import match_classes
from coralsmith.evaluation.dataset import DEFAULT_SPLITS, AnnotatedImage, Dataset, load_dataset
from coralsmith.evaluation.looking import usable
from coralsmith.findings import Finding
from coralsmith.graph import Array
from coralsmith.stages import digest, file_digest
from coralsmith.tuning.objects import LabelledInputs, Objects, areas

TRAINING_SPLIT: Final = "train"


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Labelled images that a model may be trained with.

    Attributes:
        dataset: One split of it.
    """

    dataset: Dataset

    @staticmethod
    def find(folder: Path, split: str | None = None) -> TrainingSet:
        """The training split of a data set, or the named one.

        Raises:
            ImageDataError: The folder is no data set, is damaged, or holds no object.
            UsageError: There is no such split.
        """
        try:
            return TrainingSet(load_dataset(folder, split or TRAINING_SPLIT))
        except UsageError as error:
            if split is not None:
                raise
            hint = f"{error.hint} Only '{TRAINING_SPLIT}' or what --split names is trained with, never all images."
            raise UsageError(error.message, hint) from error

    def digest(self) -> str:
        """SHA-256 of all that a training takes from the data set."""
        return digest(
            self.dataset.labels,
            *(
                [file_digest(image.path), image.boxes.tolist(), image.class_ids.tolist(), image.crowd.tolist()]
                for image in self.dataset.images
            ),
        )

    def require_known(self, head: DetectionHead | None) -> NDArray[np.int64]:
        """The score column of each class of the data set; -1 for a class that has no box and no column.

        Raises:
            DetectionHeadError: There is no head, or it lacks a class that the images show.
        """
        if head is None:
            raise DetectionHeadError(
                "Training with labels needs a detection head, and the model has none.",
                hint="Give the head with --head, or tune without --dataset.",
            )
        columns = np.full(len(self.dataset.labels), -1, np.int64)
        for position, class_id in enumerate(match_classes(self.dataset, head.labels, head.category_ids)):
            if class_id >= 0:
                columns[class_id] = _column(head, position)
        return columns

    def read(self, head: DetectionHead | None, most: int, seed: int) -> tuple[LabelledInputs, list[Finding]]:
        """The images and objects as the model takes them, and what is to be said of them.

        Args:
            head: The model's; None is refused.
            most: Images that are taken at most, drawn at random.
            seed: Of the draw.

        Raises:
            DetectionHeadError: As `require_known`.
            ImageDataError: Not one image can be read.
        """
        columns = self.require_known(head)
        assert head is not None, "a model without a head was refused"
        everything = self.dataset.images
        drawn = np.sort(np.random.default_rng(seed).permutation(len(everything))[:most])
        images: list[Array] = []
        objects: list[Objects] = []
        findings = [*self.dataset.findings]
        for image, pixels in usable(everything[i] for i in drawn):
            if isinstance(pixels, Finding):
                findings.append(pixels)
                continue
            images.append(head.input.normalise(resize_image(pixels, head.input.size, head.input.resize)[None]))
            objects.append(_objects(image, pixels.shape[:2], columns, head))
        if not images:
            raise ImageDataError("Not one of the labelled images can be read.", hint=findings[-1].reason)
        spoken_of = np.unique(np.concatenate([image.class_ids for image in everything]))
        known = tuple(int(columns[class_id]) for class_id in spoken_of if columns[class_id] >= 0)
        findings += self._findings(len(images), sum(int((~one.ignored).sum()) for one in objects), head, known)
        return LabelledInputs(np.concatenate(images), objects, known), findings

    def _findings(self, images: int, objects: int, head: DetectionHead, known: tuple[int, ...]) -> list[Finding]:
        split = self.dataset.split
        found = [
            Finding(
                "trained-with-labels",
                "info",
                f"The model was trained with labelled images of the split '{split}'.",
                measured=f"{images} of {len(self.dataset.images)} images, {objects} objects",
                evidence="measured",
                fix=""
                if images == len(self.dataset.images)
                else "tuning_samples in the recipe takes more of them.",
            )
        ]
        if split in DEFAULT_SPLITS:
            found.append(
                Finding(
                    "trained-on-evaluation-split",
                    "warning",
                    f"The model was trained with the split '{split}', which others measure with.",
                    fix="Measure with other images: a model does well on those that it was trained with.",
                )
            )
        silent = [label for position, label in enumerate(head.labels) if _column(head, position) not in known]
        if silent:
            found.append(
                Finding(
                    "classes-without-labels",
                    "info",
                    "The labels speak of some of the model's classes only; for the others it went on following "
                    "the float model.",
                    measured=f"{len(silent)} of {len(head.labels)} classes, the first is {silent[0]!r}",
                    evidence="measured",
                )
            )
        return found


def _column(head: DetectionHead, position: int) -> int:
    """The score column of a class."""
    background = head.score.background
    return position + (background is not None and position >= background)


def _objects(
    image: AnnotatedImage, size: tuple[int, ...], columns: NDArray[np.int64], head: DetectionHead
) -> Objects:
    """An image's objects in the model's input, letterbox included."""
    place = fit((size[0], size[1]), head.input.size, head.input.resize)
    boxes = place.to_input(image.boxes.astype(np.float32)).astype(np.float64)
    kept = areas(boxes) > 0  # a sliver may have none any more in float32
    of_boxes = columns[image.class_ids]
    return Objects(boxes[kept], of_boxes[kept], (image.crowd | (of_boxes < 0))[kept])
