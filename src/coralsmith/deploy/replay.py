"""Replays how a host feeds a model and reads its outputs, on real images, beside coralsmith's own detections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.deploy.deployable import DeployableModel
from coralsmith.deploy.record import BundleCheck
from coralsmith.detection.detections import Detections
from coralsmith.progress import Progress

Pixels = NDArray[np.uint8]
Detecting = Callable[[Pixels], Detections]

SCORE_TOLERANCE: Final = 1e-6
BOX_TOLERANCE: Final = 1e-5
"""Of the image's side. Both sides compute in float32; a quantization step of a box is a thousandth and more."""


@dataclass(frozen=True)
class Host:
    """A program that runs the model.

    Attributes:
        name: What it is called.
        lowest_score: Where it stops reading.
        most: How many detections it reads.
        open: Makes of a model's file what the host makes of it: all rows that it could read for an image.
    """

    name: str
    lowest_score: float
    most: int
    open: Callable[[bytes], Detecting]

    def shown(self, found: Detections) -> Detections:
        """What the host passes on: the first rows, down to the first low score, and never more than it reads."""
        low = np.flatnonzero(found.scores < self.lowest_score)
        end = min(int(low[0]) if len(low) else len(found), self.most)
        return Detections(found.boxes[:end], found.class_ids[:end], found.scores[:end])


@dataclass(frozen=True)
class Replayed:
    """The comparison, and what it rests on: images, detections that the host shows, all rows."""

    check: BundleCheck
    images: int = 0
    detections: int = 0
    rows: int = 0


def replay(model: DeployableModel, host: Host, images: Iterable[Pixels], progress: Progress) -> Replayed:
    """Run the bundled model as the host does, and hold what it reads against coralsmith's own decoding.

    Args:
        model: The model; what can be run of it is given the bundle's metadata and output order first.
        host: Whose reading is replayed.
        images: uint8 RGB of the model's input size.
        progress: Told about every image.
    """
    name = f"{host.name} reads what coralsmith detects"
    if model.runnable is None:
        return Replayed(BundleCheck(name, "unverified", model.not_run))
    reference, detect = model.reference(), host.open(model.bundled(model.runnable))
    differences = []
    seen = shown = rows = 0
    for image in images:
        own, read = reference(image), detect(image)
        difference = _difference(read, own, model.head.nms.max_detections)
        if difference:
            differences.append(f"image {seen + 1}: {difference}")
        seen, shown, rows = seen + 1, shown + len(host.shown(own)), rows + len(own)
        progress.advance()
    return Replayed(_verdict(name, host, differences, seen, shown, rows), seen, shown, rows)


def _verdict(name: str, host: Host, differences: list[str], images: int, shown: int, rows: int) -> BundleCheck:
    if differences:
        return BundleCheck(name, "fail", f"on {len(differences)} of {images} images not; {differences[0]}")
    if not rows:
        detail = f"nothing was detected on {images} images, so the comparison proves nothing"
        return BundleCheck(name, "unverified", f"{detail}: give images with objects (--images)")
    above = f"{shown} detections" if shown else "none"
    return BundleCheck(
        name, "pass", f"the same {rows} rows on {images} images, {above} of score {host.lowest_score:g} and more"
    )


def _difference(read: Detections, own: Detections, most: int) -> str:
    """The first difference between what a host reads and what coralsmith detects; empty where there is none.

    Rows of equal score may stand in any order; where the operator's limit cuts through some, which of them are
    left is open too.
    """
    if len(read) != len(own):
        return f"{len(read)} detections instead of {len(own)}"
    if not len(read):
        return ""
    if (np.diff(read.scores) > 0).any() or np.isnan(read.scores).any():
        return f"the scores are not sorted: {[round(float(score), 3) for score in read.scores[:5]]}"
    read, own = _ordered(read), _ordered(own)
    is_open = own.scores == own.scores[-1] if len(own) == most else np.zeros(len(own), bool)
    pairs: list[tuple[str, Any, Any, float]] = [
        ("score", read.scores, own.scores, SCORE_TOLERANCE),
        ("class", read.class_ids, own.class_ids, 0.0),
        ("box", read.boxes, own.boxes, BOX_TOLERANCE),
    ]
    for what, first, second, tolerance in pairs:
        equal = np.isclose(first, second, rtol=0.0, atol=tolerance).reshape(len(read), -1).all(axis=1)
        settled = equal if what == "score" else equal | is_open
        if not settled.all():
            row = int(np.argmin(settled))
            return f"row {row + 1} has {what} {np.asarray(first[row]).tolist()} instead of {second[row].tolist()}"
    return ""


def _ordered(found: Detections) -> Detections:
    """By score; rows of equal score by class and place."""
    order = np.lexsort((found.boxes[:, 1], found.boxes[:, 0], found.class_ids, -found.scores))
    return Detections(found.boxes[order], found.class_ids[order], found.scores[order])
