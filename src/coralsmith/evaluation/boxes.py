"""Boxes as annotators write them, made fit for measuring: a rule for each irregularity and its count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.findings import Finding, Severity

OUTSIDE_TOLERANCE: Final = 1.0
"""Pixels by which a box may reach over the edge unmentioned: formats that count from 1 do so by their nature."""


@dataclass(frozen=True)
class _Rule:
    severity: Severity
    reason: str
    fix: str


_RULES: Final = {
    "degenerate-box": _Rule(
        "warning",
        "Boxes without area inside the image were left out: nothing can be found there.",
        "Correct or remove them in the annotations.",
    ),
    "box-outside-image": _Rule(
        "info",
        "Boxes that reach over the edge of the image were cut there, as detections are.",
        "If they are many, the annotations may belong to images of another size.",
    ),
    "missing-image": _Rule(
        "warning",
        "Annotated images whose file is missing were left out.",
        "Copy the files to the image folder, or remove their annotations.",
    ),
    "unannotated-image": _Rule(
        "info",
        "Image files that the annotations do not list were not looked at.",
        "If they show objects, annotate them; nothing is known of them.",
    ),
    "unlisted-image": _Rule(
        "warning",
        "Boxes of images that the annotation file does not list were left out.",
        "List the images, or remove the boxes.",
    ),
}


@dataclass
class Irregularities:
    """Counts what a data set's rules left out or changed, and remembers the first case of each."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, rule: str, where: str, count: int = 1) -> None:
        """Count cases of a rule; `where` tells a person where to look."""
        if count:
            self.counts[rule] += count
            self.first.setdefault(rule, where)

    def findings(self) -> list[Finding]:
        """One finding for each rule that was met."""
        return [
            Finding(
                name,
                rule.severity,
                rule.reason,
                fix=rule.fix,
                measured=f"{self.counts[name]} (the first in {self.first[name]})",
                evidence="measured",
            )
            for name, rule in _RULES.items()
            if self.counts[name]
        ]


def normalise_boxes(
    corners: NDArray[np.float64],
    size: tuple[int, int],
    where: str,
    irregularities: Irregularities,
    *,
    tolerance: float = OUTSIDE_TOLERANCE,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Boxes normalised to the image and cut at its edges.

    Args:
        corners: float64 [N, 4] (ymin, xmin, ymax, xmax), in pixels or any other unit.
        size: Height and width of the image in that unit.
        where: Name of the image.
        irregularities: Told of boxes without area and of boxes that reach outside.
        tolerance: How far a box may reach over the edge unmentioned.

    Returns:
        The boxes that have an area, float64 [M, 4], and which of the given ones they are, bool [N].
    """
    scale = np.array([*size, *size], np.float64)
    inside = np.clip(corners, 0.0, scale)
    usable: NDArray[np.bool_] = np.all(inside[:, 2:] > inside[:, :2], axis=1)
    cut = (np.abs(inside - corners) > tolerance).any(axis=1) & usable
    irregularities.add("degenerate-box", where, int((~usable).sum()))
    irregularities.add("box-outside-image", where, int(cut.sum()))
    return inside[usable] / scale, usable
