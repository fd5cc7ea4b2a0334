"""The YOLO format: `data.yaml` with names and splits, images, and one text file of boxes for each image.

The file of `images/a/b.jpg` is `labels/a/b.txt` (the last folder called `images` is exchanged); without such a
folder it lies beside the image. Rules: an image without such a file has no objects; a polygon counts with the box
around it; key points are not read; boxes without area are left out; there are no crowds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.images import find_images
from coralsmith.errors import ImageDataError
from coralsmith.evaluation.boxes import Irregularities, normalise_boxes
from coralsmith.evaluation.dataset import YOLO_FILES, AnnotatedImage, Dataset, choose_split
from coralsmith.evaluation.files import read_bounded

MAX_YAML_BYTES: Final = 1 << 20
MAX_LABEL_BYTES: Final = 16 << 20
MAX_LIST_BYTES: Final = 64 << 20
MAX_CLASSES: Final = 10_000
SPLITS: Final = ("train", "val", "test")
OUTSIDE_TOLERANCE: Final = 0.005
"""Part of the image by which a box may reach over its edge unmentioned: the rounding of a few digits."""

FURTHEST: Final = 2.0
"""A coordinate beyond this cannot be meant in parts of the image; pixels were written."""

_BOX_VALUES: Final = 5
_POLYGON_VALUES: Final = 7  # a class and at least three points


@dataclass(frozen=True)
class _Description:
    """What `data.yaml` says.

    Attributes:
        root: The folder that paths in it start from.
        names: Of the classes.
        splits: The images of each split, as written.
        has_keypoints: Whether further values of a line are key points, not a polygon's.
    """

    root: Path
    names: tuple[str, ...]
    splits: dict[str, list[str]]
    has_keypoints: bool


def read_yolo(folder: Path, split: str | None = None) -> Dataset:
    """Read a YOLO data set.

    Args:
        folder: Holds one of `YOLO_FILES`; all images lie in it.
        split: See `choose_split`.

    Raises:
        ImageDataError: A file is damaged or missing, or leads out of the folder.
        UsageError: There is no such split.
    """
    file = next(path for name in YOLO_FILES if (path := folder / name).is_file())
    description = _describe(file)
    chosen = choose_split(list(description.splits), split)
    if chosen is None:
        raise ImageDataError(f"'{file}' names no images.", hint="It should say 'test: images/test', for one.")
    irregularities = Irregularities()
    paths = list(_split_images(description, description.splits[chosen], irregularities))
    labels = [_label_file(path) for path in paths]
    if paths and not any(label.is_file() for label in labels):
        raise ImageDataError(
            f"Not one of the {len(paths)} images of the split '{chosen}' has a label file.",
            hint=f"The first should be '{labels[0]}'.",
        )
    images = [
        _annotated(path, label, description, irregularities) for path, label in zip(paths, labels, strict=True)
    ]
    return Dataset(images, description.names, None, irregularities.findings(), chosen)


def _describe(file: Path) -> _Description:
    import yaml

    try:
        document = yaml.safe_load(read_bounded(file, MAX_YAML_BYTES).decode("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ImageDataError(f"'{file}' is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(document, dict) or "names" not in document:
        raise ImageDataError(f"'{file}' has no 'names'.", hint="names: [cat, dog]")
    splits = {name: _paths(document[name], name, file) for name in SPLITS if document.get(name)}
    names = _names(document["names"], document.get("nc"), file)
    return _Description(_root(file, document.get("path")), names, splits, "kpt_shape" in document)


def _names(value: Any, count: Any, file: Path) -> tuple[str, ...]:
    """Class names from a list, or from a dictionary by number."""
    if isinstance(value, dict):
        if not value or len(value) > MAX_CLASSES or set(value) != set(range(len(value))):
            raise ImageDataError(
                f"The numbers of the classes in '{file}' do not run from 0 to {len(value) - 1}.",
                hint="Every class has a name, the first of them the number 0.",
            )
        value = [value[number] for number in range(len(value))]
    if not isinstance(value, list) or not value or len(value) > MAX_CLASSES:
        raise ImageDataError(f"'names' in '{file}' is not a list of class names.", hint="names: [cat, dog]")
    names = tuple(str(name) for name in value)
    if len(set(names)) < len(names):
        raise ImageDataError(f"'{file}' uses the same class name twice.")
    if count is not None and count != len(names):
        raise ImageDataError(f"'{file}' says nc: {count}, but names {len(names)} classes.")
    return names


def _paths(value: Any, split: str, file: Path) -> list[str]:
    paths = value if isinstance(value, list) else [value]
    if not all(isinstance(path, str) and path and "\0" not in path for path in paths):
        raise ImageDataError(f"'{split}' in '{file}' is no path, nor a list of paths.")
    return paths


def _root(file: Path, stated: Any) -> Path:
    """The folder that paths start from; a stated one that lies elsewhere is where the data set once was."""
    if isinstance(stated, str) and "\0" not in stated:
        root = _normal(file.parent / stated)
        if root.is_relative_to(_normal(file.parent)) and root.is_dir():
            return root
    return _normal(file.parent)


def _normal(path: Path) -> Path:
    """The absolute path without `.` and `..`; links stay, since users link their images."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow the links


def _split_images(description: _Description, sources: list[str], irregularities: Irregularities) -> Iterator[Path]:
    """The images of a split, each once: of folders, and of text files that list images."""
    seen: set[Path] = set()
    for source in sources:
        for path in _source_images(description.root, source, irregularities):
            if path not in seen:
                seen.add(path)
                yield path


def _source_images(root: Path, source: str, irregularities: Irregularities) -> Iterator[Path]:
    path = _inside(root, source)
    if path.is_dir():
        yield from find_images(path)
    elif path.suffix.lower() == ".txt" and path.is_file():
        lines = read_bounded(path, MAX_LIST_BYTES).decode("utf-8", "replace").splitlines()
        for line in filter(None, (line.strip() for line in lines)):
            image = _inside(path.parent if line.startswith("./") else root, line)
            if image.is_file():
                yield image
            else:
                irregularities.add("missing-image", str(image))
    else:
        raise ImageDataError(
            f"'{path}' is neither a folder of images nor a .txt file that lists them.",
            hint=f"Correct '{source}' in data.yaml.",
        )


def _inside(root: Path, written: str) -> Path:
    """A path as written in the data set; one that leads out of it is refused.

    Exports of Roboflow write ``../train/images`` for a folder beside `data.yaml`; that is understood.
    """
    path = _normal(root / written)
    if not path.is_relative_to(root) and written.startswith("../"):
        path = _normal(root / written.removeprefix("../"))
    if "\0" in written or not path.is_relative_to(root):
        raise ImageDataError(
            f"'{written}' leads out of the data set '{root}'.", hint="Paths start from the folder of data.yaml."
        )
    return path


def _label_file(image: Path) -> Path:
    parts = list(image.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _annotated(
    path: Path, label: Path, description: _Description, irregularities: Irregularities
) -> AnnotatedImage:
    lines = read_bounded(label, MAX_LABEL_BYTES).decode("utf-8", "replace").splitlines() if label.is_file() else []
    rows = [
        _read_line(line.split(), f"line {number} of '{label}'", description)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    corners = np.array([corners for _, corners in rows], np.float64).reshape(-1, 4)
    boxes, usable = normalise_boxes(corners, (1, 1), path.name, irregularities, tolerance=OUTSIDE_TOLERANCE)
    class_ids = np.array([class_id for class_id, _ in rows], np.int64)
    return AnnotatedImage(path, None, boxes, class_ids[usable], np.zeros(len(boxes), bool))


def _read_line(words: list[str], where: str, description: _Description) -> tuple[int, NDArray[np.float64]]:
    """The class and the corners (ymin, xmin, ymax, xmax) of one object."""
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise ImageDataError(f"{where} holds something else than numbers.") from error
    is_polygon = len(values) >= _POLYGON_VALUES and len(values) % 2 == 1
    if not (len(values) == _BOX_VALUES or is_polygon or (description.has_keypoints and len(values) > _BOX_VALUES)):
        raise ImageDataError(
            f"{where} has {len(values)} values.",
            hint="A box has five: class, x centre, y centre, width, height; a polygon a class and pairs of x, y.",
        )
    if is_polygon and not description.has_keypoints:
        x, y = values[1::2], values[2::2]
        corners = np.array([y.min(), x.min(), y.max(), x.max()])
    else:
        x, y, width, height = values[1:_BOX_VALUES]
        corners = np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
    if not np.isfinite(values).all() or np.abs(values[1:]).max() > FURTHEST:
        raise ImageDataError(
            f"{where} has the coordinate {values[1:][np.abs(values[1:]).argmax()]:g}.",
            hint="Coordinates are parts of the image's width and height, 0 to 1, not pixels.",
        )
    return _class_id(values[0], where, description.names), corners


def _class_id(value: float, where: str, names: tuple[str, ...]) -> int:
    if not (value.is_integer() and 0 <= value < len(names)):
        raise ImageDataError(
            f"{where} has the class {value:g}, but data.yaml names the classes 0 to {len(names) - 1}.",
            hint="Classes are counted from 0; were these written from 1?",
        )
    return int(value)
