"""The Pascal VOC format: `Annotations/*.xml`, `JPEGImages/` and `ImageSets/Main/<split>.txt`.

Rules: coordinates as written (VOC itself counts pixels from 1, most tools that write its format from 0); boxes
without area are left out; objects marked difficult are ignored as crowds; truncated ones count like others.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Final

import numpy as np

from coralsmith.detection.images import SUFFIXES, load_rgb
from coralsmith.errors import ImageDataError
from coralsmith.evaluation.boxes import Irregularities, normalise_boxes
from coralsmith.evaluation.dataset import AnnotatedImage, Dataset, choose_split
from coralsmith.evaluation.files import read_bounded

MAX_XML_BYTES: Final = 4 * 2**20
MAX_LIST_BYTES: Final = 64 * 2**20
MAX_SIDE: Final = 1 << 20
_CORNERS: Final = ("ymin", "xmin", "ymax", "xmax")


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses document types before any of their entities is read: a few nested ones expand to gigabytes."""

    def doctype(self, name: str, _public: str | None, _system: str | None) -> None:
        """Called by the parser at the start of a document type declaration."""
        raise ImageDataError(f"It declares a document type ('{name}'), which annotations have no use for.")


def read_voc(folder: Path, split: str | None = None) -> Dataset:
    """Read a Pascal VOC data set.

    Args:
        folder: Holds `Annotations/` and `JPEGImages/`.
        split: See `choose_split`.

    Raises:
        ImageDataError: A file is damaged, or an annotation of the split is missing.
        UsageError: There is no such split.
    """
    irregularities = Irregularities()
    chosen = choose_split([file.stem for file in _lists(folder).glob("*.txt")], split)
    files = _image_files(folder / "JPEGImages")
    read = [
        (path, *_read_objects(folder / "Annotations" / f"{name}.xml", path))
        for name in _names(folder, chosen)
        if (path := _find(files, name, folder, irregularities)) is not None
    ]
    labels = tuple(sorted({label for _, _, objects in read for label, _, _ in objects}))
    images = []
    for path, size, objects in read:
        corners = np.array([corners for _, corners, _ in objects], np.float64).reshape(-1, 4)
        boxes, usable = normalise_boxes(corners, size, path.name, irregularities)
        class_ids = np.array([labels.index(label) for label, _, _ in objects], np.int64)
        difficult = np.array([is_difficult for _, _, is_difficult in objects], bool)
        images.append(AnnotatedImage(path, size, boxes, class_ids[usable], difficult[usable]))
    return Dataset(images, labels, None, irregularities.findings(), chosen)


def _lists(folder: Path) -> Path:
    return folder / "ImageSets" / "Main"


def _names(folder: Path, split: str | None) -> list[str]:
    """Names of the split's images, without suffix; of all images where there are no splits."""
    if split is None:
        return sorted(file.stem for file in (folder / "Annotations").glob("*.xml"))
    lines = read_bounded(_lists(folder) / f"{split}.txt", MAX_LIST_BYTES).decode("utf-8", "replace").splitlines()
    # Lists of one class have a second column, which tells whether the class is in the image.
    return list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))


def _image_files(folder: Path) -> dict[str, Path]:
    return {file.stem: file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES}


def _find(files: dict[str, Path], name: str, folder: Path, irregularities: Irregularities) -> Path | None:
    """The image of that name; only names of files in the folder are found, so none leads out of it."""
    path = files.get(name)
    if path is None:
        irregularities.add("missing-image", f"{folder / 'JPEGImages' / name}.jpg")
    return path


_Object = tuple[str, tuple[float, ...], bool]


def _read_objects(path: Path, image: Path) -> tuple[tuple[int, int], list[_Object]]:
    """Size of the image, and label, corners in pixels and difficulty of each object."""
    try:
        parser = ElementTree.XMLParser(target=_NoDoctype())
        parser.feed(read_bounded(path, MAX_XML_BYTES))
        root = parser.close()
        size = _size(root) or load_rgb(image).shape[:2]
        return (size[0], size[1]), [_object(element) for element in root.iter("object")]
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ImageDataError(f"'{path}' is not a Pascal VOC annotation: {error}.") from error
    except ImageDataError as error:
        raise ImageDataError(f"'{path}' cannot be used. {error.message}", hint=error.hint) from error


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Height and width as stated; some tools leave them out or write 0."""
    stated = [root.findtext(f"size/{side}") for side in ("height", "width")]
    if None in stated:
        return None
    height, width = (int(float(text or 0)) for text in stated)
    return (height, width) if 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE else None


def _object(element: ElementTree.Element) -> _Object:
    label = (element.findtext("name") or "").strip()
    if not label:
        raise ValueError("an object has no name")
    corners = tuple(float(element.findtext(f"bndbox/{side}") or "nan") for side in _CORNERS)
    if not np.isfinite(corners).all():
        raise ValueError(f"an object '{label}' has no complete box")
    return label, corners, (element.findtext("difficult") or "0").strip() not in ("0", "")
