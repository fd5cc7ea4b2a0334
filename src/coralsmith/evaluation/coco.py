"""The COCO format (https://cocodataset.org/#format-data); `coco_files` tells the layouts.

Rules: coordinates as written; a crowd (`iscrowd`) is ignored as pycocotools does it; boxes without area are left
out; masks are not read; image files that the json does not list are told and not looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coralsmith.detection.images import SUFFIXES
from coralsmith.errors import ImageDataError
from coralsmith.evaluation.boxes import Irregularities, normalise_boxes
from coralsmith.evaluation.coco_files import find_coco
from coralsmith.evaluation.dataset import AnnotatedImage, Dataset, choose_split
from coralsmith.evaluation.files import read_bounded

# The largest file of COCO 2017, with all masks of 118,000 images, has 448 MB.
MAX_FILE_BYTES: Final = 512 * 2**20

Pixels = Annotated[int, Field(gt=0, le=1 << 20)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Image(_Record):
    id: int
    file_name: str
    width: Pixels
    height: Pixels


class _Annotation(_Record):
    image_id: int
    category_id: int
    bbox: tuple[Number, Number, Number, Number]  # x, y, width, height in pixels
    iscrowd: int = 0


class _Category(_Record):
    id: int
    name: str


class _Document(_Record):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_coco(folder: Path, split: str | None = None) -> Dataset:
    """Read a COCO data set.

    Args:
        folder: In one of the layouts of `find_coco`.
        split: See `choose_split`.

    Raises:
        ImageDataError: The file is too large, not COCO json, or contradicts itself.
        UsageError: There is no such split.
    """
    splits = find_coco(folder)
    chosen = choose_split([name for name in splits if name], split)
    files = splits[chosen or ""]
    document = _parse(files.annotations)
    categories = sorted(document.categories, key=lambda category: category.id)
    class_of = {category.id: index for index, category in enumerate(categories)}
    irregularities = Irregularities()
    boxes = _boxes_by_image(document, class_of, irregularities, files.annotations.name)
    paths = {image.id: _image_file(files.images, image, irregularities) for image in document.images}
    images = [
        _annotated(image, path, boxes[image.id], class_of, irregularities)
        for image in document.images
        if (path := paths[image.id]) is not None
    ]
    _tell_unannotated(files.images, {path for path in paths.values() if path is not None}, irregularities)
    return Dataset(
        images,
        tuple(category.name for category in categories),
        tuple(category.id for category in categories),
        irregularities.findings(),
        chosen,
    )


def image_ids(folder: Path) -> dict[Path, int]:
    """The id of each image of a COCO data set, all splits together, by its file; none where the folder is no such.

    Raises:
        ImageDataError: An annotation file is too large, not COCO json, or contradicts itself.
    """
    ids: dict[Path, int] = {}
    for files in find_coco(folder).values():
        for image in _parse(files.annotations).images:
            path = _image_file(files.images, image, Irregularities())
            if path is not None:
                ids[path.resolve()] = image.id
    return ids


def _parse(path: Path) -> _Document:
    try:
        document = _Document.model_validate_json(read_bounded(path, MAX_FILE_BYTES))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ImageDataError(f"'{path}' is not COCO json: {name}: {first['msg']}.") from None
    for kind, ids in (
        ("image id", [image.id for image in document.images]),
        ("category id", [category.id for category in document.categories]),
        ("category name", [category.name for category in document.categories]),
    ):
        if len(set(ids)) < len(ids):
            raise ImageDataError(f"'{path}' uses the same {kind} twice.")
    return document


def _boxes_by_image(
    document: _Document, class_of: dict[int, int], irregularities: Irregularities, file: str
) -> dict[int, list[_Annotation]]:
    listed = {image.id for image in document.images}
    boxes: dict[int, list[_Annotation]] = defaultdict(list)
    for annotation in document.annotations:
        if annotation.category_id not in class_of:
            raise ImageDataError(
                f"A box of image {annotation.image_id} has the category {annotation.category_id}, which is not "
                f"among the categories of {file}.",
                hint="List it under 'categories' with its name.",
            )
        if annotation.image_id in listed:
            boxes[annotation.image_id].append(annotation)
        else:
            irregularities.add("unlisted-image", f"image {annotation.image_id}")
    return boxes


def _image_file(folders: Sequence[Path], image: _Image, irregularities: Irregularities) -> Path | None:
    """The image's file; None where it is missing."""
    name = Path(image.file_name)
    if "\0" in image.file_name or ".." in name.parts or name.is_absolute():
        raise ImageDataError(f"The file name {image.file_name!r} leads out of the folder of the images.")
    found = next((path for folder in folders if (path := folder / name).is_file()), None)
    if found is None:
        irregularities.add("missing-image", str(folders[0] / name))
    return found


def _tell_unannotated(folders: Sequence[Path], listed: set[Path], irregularities: Irregularities) -> None:
    """Count the image files beside the listed ones that the json does not list; they are not looked at."""
    beside = {path.parent for path in listed} & set(folders)
    for folder in beside:
        others = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p not in listed]
        irregularities.add("unannotated-image", str(min(others, default="")), len(others))


def _annotated(
    image: _Image,
    path: Path,
    annotations: list[_Annotation],
    class_of: dict[int, int],
    irregularities: Irregularities,
) -> AnnotatedImage:
    x, y, width, height = np.array([a.bbox for a in annotations], np.float64).reshape(-1, 4).T
    corners = np.stack([y, x, y + height, x + width], axis=1)
    size = image.height, image.width
    boxes, usable = normalise_boxes(corners, size, image.file_name, irregularities)
    class_ids = np.array([class_of[a.category_id] for a in annotations], np.int64)
    crowd = np.array([bool(a.iscrowd) for a in annotations], bool)
    return AnnotatedImage(path, size, boxes, class_ids[usable], crowd[usable])
