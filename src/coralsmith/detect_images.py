"""Detection in image files: the records of what was found, and drawn copies of the images."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from coralsmith.comparison import records
from coralsmith.detection.draw import draw_detections
from coralsmith.detection.images import find_images, load_rgb
from coralsmith.errors import ImageDataError, OutputError
from coralsmith.graph.writer import write_atomically
from coralsmith.progress import Progress, track
from coralsmith.report.document import DetectionRecord
from coralsmith.runtime.detector import Detector


def detect_images(
    model: Path,
    images: Sequence[Path],
    head_file: Path | None,
    min_score: float,
    draw: Path | None,
    progress: Progress,
) -> dict[str, list[DetectionRecord]]:
    """See `coralsmith.detect`. Images that cannot be read are told to `progress` and left out."""
    detector = Detector(model, head_file, min_score=min_score)
    paths = find_images(images)
    progress.step("Detect", len(paths))
    found: dict[str, list[DetectionRecord]] = {}
    unreadable: list[ImageDataError] = []
    drawn: Counter[str] = Counter()
    for path in track(paths, progress):
        try:
            image = load_rgb(path)
        except ImageDataError as error:
            unreadable.append(error)
            progress.note(error.message)
            continue
        detections = detector.detect(image).clipped()
        found[str(path)] = list(records(detections, detector.head))
        if draw is not None:
            picture = draw_detections(image, detections, detector.head.labels)
            drawn[path.stem] += 1
            again = f"_{drawn[path.stem]}" if drawn[path.stem] > 1 else ""  # folders may hold images of one name
            _save(picture, draw / f"{path.stem}_detections{again}.jpg")
    if not found:
        raise unreadable[0]
    return found


def _save(picture: Image.Image, path: Path) -> None:
    """Write a picture atomically."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{path.parent}' cannot be made: {error.strerror}.") from error
    write_atomically(path, stream.getvalue())
