"""Writes small data sets for tests, and makes random annotations and detections in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coralsmith.detection.detections import Detections
from coralsmith.evaluation.dataset import AnnotatedImage

SIZE = (60, 80)  # height, width

VocObject = tuple[str, tuple[float, float, float, float], int]


def write_image(path: Path, size: tuple[int, int] = SIZE) -> None:
    """A grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], (90, 90, 90)).save(path)


def coco_document(**replaced: Any) -> dict[str, Any]:
    """Two images, one with a cat (id 7) and a crowd of dogs (id 3), one without objects."""
    return {
        "images": [
            {"id": 10, "file_name": "a.png", "height": 60, "width": 80},
            {"id": 11, "file_name": "b.png", "height": 60, "width": 80},
        ],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 7, "bbox": [8, 6, 40, 30], "iscrowd": 0, "area": 1200},
            {"id": 2, "image_id": 10, "category_id": 3, "bbox": [0, 0, 80, 60], "iscrowd": 1, "area": 4800},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
        **replaced,
    }


def write_coco(folder: Path, document: dict[str, Any] | None = None) -> Path:
    """A COCO data set; the images of the document exist."""
    document = coco_document() if document is None else document
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annotations.json").write_text(json.dumps(document), "utf-8")
    for image in coco_document()["images"]:
        write_image(folder / "images" / image["file_name"])
    return folder


def voc_xml(objects: Sequence[VocObject], size: tuple[int, int] | None = SIZE) -> str:
    """A Pascal VOC annotation; objects are (label, (xmin, ymin, xmax, ymax), difficult)."""
    stated = "" if size is None else f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    boxes = "".join(
        f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>{x0}</xmin>"
        f"<ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for label, (x0, y0, x1, y1), difficult in objects
    )
    return f"<annotation>{stated}{boxes}</annotation>"


def write_voc(folder: Path, images: dict[str, Sequence[VocObject]], splits: dict[str, list[str]]) -> Path:
    """A Pascal VOC data set."""
    for name, objects in images.items():
        write_image(folder / "JPEGImages" / f"{name}.png")
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{name}.xml").write_text(voc_xml(objects), "utf-8")
    for split, names in splits.items():
        (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n", "utf-8")
    return folder


def annotated(
    boxes: Any, class_ids: Sequence[int], crowd: Sequence[bool] | None = None, name: str = "x.png"
) -> AnnotatedImage:
    """An image that need not exist."""
    marks = [False] * len(class_ids) if crowd is None else crowd
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return AnnotatedImage(Path(name), SIZE, corners, np.array(class_ids, np.int64), np.array(marks, bool))


def detections(boxes: Any, class_ids: Sequence[int], scores: Sequence[float]) -> Detections:
    """Detections as a model gives them."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(corners, np.array(class_ids, np.int64), np.array(scores, np.float32))


def random_scene(
    generator: np.random.Generator, classes: int, name: str = "x.png"
) -> tuple[AnnotatedImage, Detections]:
    """Some objects, some of them a crowd, detections near them and elsewhere; no two scores are equal."""
    count = int(generator.integers(0, 6))
    boxes = _random_boxes(generator, count)
    class_ids = generator.integers(0, classes, count)
    image = annotated(boxes, class_ids.tolist(), (generator.random(count) < 0.2).tolist(), name)
    near = (boxes + generator.normal(0, 0.02, boxes.shape)).clip(0, 1)
    elsewhere = _random_boxes(generator, 4)
    found = np.concatenate([near, elsewhere])
    found_ids = np.concatenate([class_ids, generator.integers(0, classes, 4)])
    order = np.argsort(-(scores := generator.random(len(found))))
    return image, detections(found[order], found_ids[order].tolist(), scores[order].tolist())


def _random_boxes(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    corners = generator.random((count, 2)) * 0.6
    sizes = 0.1 + generator.random((count, 2)) * 0.3
    return np.concatenate([corners, corners + sizes], axis=1)


def write_yolo(folder: Path, yaml: str, labels: dict[str, str | None], images: str = "images") -> Path:
    """A YOLO data set; `labels` gives the text of each image's label file, None where it has none.

    Names may hold folders ("test/a"); `images` is the folder of the images, the label files lie in `labels`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.yaml").write_text(yaml, "utf-8")
    for name, text in labels.items():
        write_image(folder / images / f"{name}.png")
        if text is not None:
            label = folder / images.replace("images", "labels") / f"{name}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(text, "utf-8")
    return folder
