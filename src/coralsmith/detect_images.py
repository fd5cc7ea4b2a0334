"""Detection in image and video files: the records of what was found, drawn copies, COCO results."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coralsmith.coco_results import CocoResults
from coralsmith.comparison import records
from coralsmith.detection.detections import Detections
from coralsmith.detection.draw import draw_detections
from coralsmith.detection.images import find_images, load_rgb
from coralsmith.errors import ImageDataError, OutputError, UsageError
from coralsmith.graph.writer import write_atomically
from coralsmith.progress import Progress, track
from coralsmith.report.document import DetectionRecord
from coralsmith.runtime.detector import Detector
from coralsmith.runtime.video import VideoFile, is_video

SHOWN: Final = 0.3
"""Lowest score of a detection where none is asked for; a file of COCO results keeps all that the head keeps."""


@dataclass(frozen=True)
class DetectionChoices:
    """What a user may say; see `coralsmith.detect`."""

    head: Path | None = None
    min_score: float | None = None
    class_scores: Mapping[str, float] = field(default_factory=dict)
    per_class: bool = True
    device: str = "auto"
    draw: Path | None = None
    coco_results: Path | None = None


def detect_images(
    model: Path, sources: Sequence[Path], choices: DetectionChoices, progress: Progress
) -> dict[str, list[DetectionRecord]]:
    """See `coralsmith.detect`. Images that cannot be read are told to `progress` and left out."""
    usual = SHOWN if choices.coco_results is None else None
    detector = Detector(
        model,
        choices.head,
        device=choices.device,
        per_class=choices.per_class,
        min_score=usual if choices.min_score is None else choices.min_score,
        class_scores=choices.class_scores,
    )
    videos = [source for source in sources if is_video(source)]
    if videos and choices.coco_results is not None:
        raise UsageError("The frames of a video have no COCO image id.", hint="Give images, or no --coco-results.")
    stills = [source for source in sources if source not in videos]
    results = None if choices.coco_results is None else CocoResults(stills, detector.head)
    shown = SHOWN if choices.min_score is None else choices.min_score
    found = dict(_in_images(detector, stills, choices.draw, results, shown, progress)) if stills else {}
    for video in videos:
        found.update(_in_video(detector, video, choices.draw, progress))
    if results is not None and choices.coco_results is not None:
        results.write(choices.coco_results)
    return found


def _in_images(
    detector: Detector,
    sources: Sequence[Path],
    draw: Path | None,
    results: CocoResults | None,
    shown: float,
    progress: Progress,
) -> Iterator[tuple[str, list[DetectionRecord]]]:
    """What is found in each image, by its path."""
    paths = find_images(sources)
    progress.step("Detect", len(paths))
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
        if results is not None:
            results.add(path, (image.shape[0], image.shape[1]), detections)
            detections = detections.at_least(shown)
        if draw is not None:
            drawn[path.stem] += 1
            again = f"_{drawn[path.stem]}" if drawn[path.stem] > 1 else ""  # folders may hold images of one name
            _save(_drawn(image, detections), draw / f"{path.stem}_detections{again}.jpg")
        yield str(path), list(records(detections, detector.head))
    if len(unreadable) == len(paths):
        raise unreadable[0]


def _in_video(
    detector: Detector, path: Path, draw: Path | None, progress: Progress
) -> Iterator[tuple[str, list[DetectionRecord]]]:
    """What is found in each frame, by the path and the number of the frame: ``clip.mp4#12``."""
    video = VideoFile(path)
    progress.step(f"Detect in {path.name}", video.frames)
    target = None if draw is None else _folder(draw) / f"{path.stem}_detections.mp4"
    with video.copy(target) as copy:
        for frame in detector.watch(path):
            detections = frame.detections.clipped()
            if target is not None:
                copy.write(np.asarray(_drawn(frame.image, detections)))
            progress.advance()
            yield f"{path}#{frame.number}", list(records(detections, detector.head))


def _drawn(image: NDArray[np.uint8], detections: Detections) -> Image.Image:
    return draw_detections(np.ascontiguousarray(image), detections, detections.labels)


def _save(picture: Image.Image, path: Path) -> None:
    """Write a picture atomically."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    write_atomically(_folder(path.parent) / path.name, stream.getvalue())


def _folder(path: Path) -> Path:
    """A folder, made if need be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{path}' cannot be made: {error.strerror}.") from error
    return path
