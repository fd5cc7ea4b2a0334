"""Annotated images in one form, whatever format they were written in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import ImageDataError, UsageError
from coralsmith.findings import Finding

DEFAULT_SPLITS = ("test", "val")
"""Tried in this order where no split is named; the training split is never taken unless it is asked for."""

COCO_FILE = "annotations.json"
VOC_FOLDERS = ("Annotations", "JPEGImages")
YOLO_FILES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image and the objects that a person marked in it.

    Attributes:
        path: The image file.
        size: Height and width in pixels that the annotation states; None where it states none.
        boxes: float64 [N, 4] (ymin, xmin, ymax, xmax), normalised to the image.
        class_ids: int64 [N], index into the labels of the data set.
        crowd: bool [N]; a crowd (COCO) or a difficult object (VOC) need not be found, and finding it is no error.
    """

    path: Path
    size: tuple[int, int] | None
    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    crowd: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Annotated images of one split.

    Attributes:
        images: In the order of the split; images without objects are among them.
        labels: Names of the classes.
        category_ids: The data set's own number of each class (COCO), or None.
        findings: Boxes and images that were left out or changed, each rule once.
        split: Name of the split that was read; None where the data set has none.
    """

    images: list[AnnotatedImage]
    labels: tuple[str, ...]
    category_ids: tuple[int, ...] | None = None
    findings: list[Finding] = field(default_factory=list)
    split: str | None = None

    def boxes_per_class(self) -> NDArray[np.int64]:
        """Objects of each class that are to be found, crowds left out: int64 [classes]."""
        wanted = [image.class_ids[~image.crowd] for image in self.images]
        all_images = np.concatenate([np.zeros(0, np.int64), *wanted])
        return np.bincount(all_images, minlength=len(self.labels)).astype(np.int64)


def load_dataset(folder: Path, split: str | None = None) -> Dataset:
    """Read a data set whose format its folder tells.

    COCO: `annotations.json` and `images/` (further layouts: `coco_files`). Pascal VOC: `Annotations/`,
    `JPEGImages/` and, for splits, `ImageSets/Main/<split>.txt`. YOLO: `data.yaml` (see `yolo`).

    Args:
        folder: The data set.
        split: Name of a split; by default "test", else "val", else everything if there are no splits.

    Raises:
        ImageDataError: The folder is no data set, is damaged, or holds no object.
        UsageError: There is no such split.
    """
    folder = folder.expanduser()
    from coralsmith.evaluation.coco_files import find_coco

    if find_coco(folder):
        from coralsmith.evaluation.coco import read_coco

        dataset = read_coco(folder, split)
    elif all((folder / name).is_dir() for name in VOC_FOLDERS):
        from coralsmith.evaluation.voc import read_voc

        dataset = read_voc(folder, split)
    elif any((folder / name).is_file() for name in YOLO_FILES):
        from coralsmith.evaluation.yolo import read_yolo

        dataset = read_yolo(folder, split)
    else:
        raise ImageDataError(
            f"'{folder}' is {'no data set that coralsmith knows' if folder.is_dir() else 'not a folder'}.",
            hint=f"COCO: {COCO_FILE} and images/; Pascal VOC: Annotations/, JPEGImages/ and ImageSets/Main/; "
            f"YOLO: {YOLO_FILES[0]}, images/ and labels/.",
        )
    if not dataset.boxes_per_class().any():
        left_out = [finding for finding in dataset.findings if finding.severity == "warning"]
        reasons = "".join(f" {finding.reason}" for finding in left_out)
        raise ImageDataError(
            f"The data set '{folder}' has no object to be found.{reasons}",
            hint=" ".join(finding.fix for finding in left_out),
        )
    return dataset


def choose_split(available: list[str], wanted: str | None) -> str | None:
    """The split to read; None means all images, which is so only where there are no splits.

    Raises:
        UsageError: The wanted split does not exist, or there are splits but none is for testing.
    """
    names = ", ".join(sorted(available)) or "none"
    if wanted is not None and wanted not in available:
        raise UsageError(f"The data set has no split '{wanted}'.", hint=f"Its splits: {names}.")
    if wanted is None and available:
        wanted = next((name for name in DEFAULT_SPLITS if name in available), None)
        if wanted is None:
            raise UsageError(
                f"The data set has neither a test nor a val split, but {names}.",
                hint="Name one with --split; a model does well on the images it was trained with.",
            )
    return wanted
