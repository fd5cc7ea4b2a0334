"""Lets a detector look at the images of a data set, each once, whatever is measured of it then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.detections import Detections
from coralsmith.detection.images import load_rgb
from coralsmith.errors import ImageDataError
from coralsmith.evaluation.dataset import AnnotatedImage
from coralsmith.findings import Finding
from coralsmith.progress import SILENT, Progress

Detect = Callable[[NDArray[np.uint8]], Detections]

ASPECT_TOLERANCE: Final = 0.02
"""Relative difference of two aspect ratios up to which an image may be a scaled form of the annotated one."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a detector found.

    Attributes:
        images: Those that could be looked at.
        detections: Of each of them, with the model's own class ids.
        findings: Images that were left out.
    """

    images: list[AnnotatedImage]
    detections: list[Detections]
    findings: list[Finding] = field(default_factory=list)


def usable(images: Iterable[AnnotatedImage]) -> Iterator[tuple[AnnotatedImage, NDArray[np.uint8] | Finding]]:
    """Each image with its pixels, uint8 RGB [height, width, 3], or with what is wrong with its file."""
    for image in images:
        try:
            yield image, load_annotated(image)
        except ImageDataError as error:
            yield image, Finding("unusable-image", "warning", error.message, fix=error.hint)


def look(detect: Detect, images: Iterable[AnnotatedImage], progress: Progress = SILENT) -> Seen:
    """Detect in every image that can be read and has the shape that its annotation says.

    Args:
        detect: Gets the image, uint8 RGB [height, width, 3], and gives detections normalised to it.
        images: What to look at.
        progress: Advanced by one after each image.
    """
    seen = Seen([], [])
    for image, pixels in usable(images):
        if isinstance(pixels, Finding):
            seen.findings.append(pixels)
        else:
            seen.images.append(image)
            seen.detections.append(detect(pixels))
        progress.advance()
    return seen


def load_annotated(image: AnnotatedImage) -> NDArray[np.uint8]:
    """The pixels of an annotated image, uint8 RGB [height, width, 3].

    Raises:
        ImageDataError: The file cannot be read, or has another shape than its annotation says.
    """
    pixels = load_rgb(image.path)
    if image.size is None:
        return pixels
    height, width = image.size
    ratio = (pixels.shape[0] * width) / (pixels.shape[1] * height)
    if abs(ratio - 1.0) > ASPECT_TOLERANCE:
        raise ImageDataError(
            f"'{image.path}' has {pixels.shape[1]} x {pixels.shape[0]} pixels, its annotation says "
            f"{width} x {height}.",
            hint="Annotate the image as viewers show it, its EXIF rotation applied, or remove it.",
        )
    return pixels
