"""Detections as COCO results (https://cocodataset.org/#format-results), which the field's own tools score."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead
from coralsmith.errors import UsageError
from coralsmith.evaluation.coco import image_ids
from coralsmith.graph.writer import write_atomically


class CocoResult(TypedDict):
    """One detection; `bbox` is (x, y, width, height) in pixels of the image, from its top left corner."""

    image_id: int
    category_id: int
    bbox: list[float]
    score: float


class CocoResults:
    """Collects the detections of images.

    Args:
        sources: The folders and files that are looked at. Of a COCO data set, images have the ids of its
            annotations; of all others, the number that is the file's name, as COCO names its own files.
        head: Whose `category_ids` are written; a head without them counts its classes from 1.
    """

    def __init__(self, sources: Iterable[Path], head: DetectionHead) -> None:
        self._ids: dict[Path, int] = {}
        for source in sources:
            if source.is_dir():
                self._ids.update(image_ids(source) or image_ids(source.resolve().parent))
        self._categories = head.category_ids or tuple(range(1, len(head.labels) + 1))
        self._results: list[CocoResult] = []

    def add(self, path: Path, size: tuple[int, int], found: Detections) -> None:
        """Add the detections of an image.

        Args:
            path: Its file.
            size: Its height and width in pixels.
            found: What was found in it.

        Raises:
            UsageError: The image has no id.
        """
        number = self.image_id(path)
        height, width = size
        for detection in found:
            ymin, xmin, ymax, xmax = detection.box
            corner_and_sides = (xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height)
            self._results.append(
                CocoResult(
                    image_id=number,
                    category_id=self._categories[detection.class_id],
                    bbox=[round(value, 3) for value in corner_and_sides],
                    score=round(detection.score, 6),
                )
            )

    def image_id(self, path: Path) -> int:
        """The id of an image.

        Raises:
            UsageError: It has none.
        """
        number = self._ids.get(path.resolve())
        if number is None and path.stem.isdecimal() and len(path.stem) <= 18:
            number = int(path.stem)
        if number is None:
            raise UsageError(
                f"The image '{path}' has no COCO id: no annotation file lists it, and its name is no number.",
                hint="Give the folder of a COCO data set, with its annotations.json and images/.",
            )
        return number

    def write(self, path: Path) -> None:
        """Write all of it as one JSON file, atomically.

        Raises:
            OutputError: The file cannot be written.
        """
        write_atomically(path, (json.dumps(self._results) + "\n").encode())
