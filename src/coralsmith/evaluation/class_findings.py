"""What the detections themselves say about the labels: shifted by one, exchanged, never present.

A wrong label file gives a low AP and no error. But a model that finds the right boxes under wrong names shows it:
its boxes lie on the objects, and what they are called differs from the annotation by a rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.nms import intersection_over_union
from coralsmith.evaluation.average_precision import match
from coralsmith.evaluation.classes import NO_CLASS
from coralsmith.evaluation.dataset import Dataset
from coralsmith.evaluation.evaluate import in_classes
from coralsmith.evaluation.looking import Seen
from coralsmith.findings import Finding

LOCATED_IOU: Final = 0.5
LOCATED_SCORE: Final = 0.3
FEWEST: Final = 5
"""With fewer located objects nothing is concluded."""

RULE_SHARE: Final = 0.6
"""Share of the located objects that must bear the label beside theirs; fewer than half of them bear their own."""

EXCHANGED_SHARE: Final = 0.8
_NAMED: Final = 10

Pair = tuple[int, int]


def class_findings(
    seen: Seen, dataset: Dataset, labels: Sequence[str], classes: NDArray[np.int64]
) -> list[Finding]:
    """All that is noticeable about the classes.

    Args:
        seen: What the model found in the images of the data set.
        dataset: The annotations.
        labels: What the model calls its classes.
        classes: The data set's class of each of them (`match_classes`).
    """
    pairs = _located(seen, classes)
    suspicious = _shifted(seen, dataset, classes, pairs) or _exchanged(dataset, labels, classes, pairs)
    return [*suspicious, *_absent(dataset), *_unlisted(labels, classes)]


def _located(seen: Seen, classes: NDArray[np.int64]) -> list[Pair]:
    """For each object that a confident box lies on: the model's class of it, and its class that is right."""
    right = {int(of_dataset): model for model, of_dataset in enumerate(classes) if of_dataset != NO_CLASS}
    pairs: list[Pair] = []
    for image, found in zip(seen.images, seen.detections, strict=True):
        confident = found.at_least(LOCATED_SCORE).clipped()
        corners = np.ascontiguousarray(confident.boxes.T)
        for box, class_id in zip(image.boxes[~image.crowd], image.class_ids[~image.crowd], strict=True):
            overlaps = intersection_over_union(box.astype(np.float32), corners)
            if len(overlaps) and overlaps.max() >= LOCATED_IOU and int(class_id) in right:
                pairs.append((int(confident.class_ids[overlaps.argmax()]), right[int(class_id)]))
    return pairs


def _shifted(seen: Seen, dataset: Dataset, classes: NDArray[np.int64], pairs: list[Pair]) -> list[Finding]:
    """The finding where most located objects bear the label one before or one behind their own."""
    count = len(classes)  # shifted labels go round: the last takes the place of the first
    offsets = Counter((found - right) % count for found, right in pairs)
    if len(pairs) < FEWEST or 2 * offsets[0] >= len(pairs) or count == 2:
        return []
    shift = max((1, -1), key=lambda offset: offsets[offset % count])
    shifted = offsets[shift % count]
    if shifted < RULE_SHARE * len(pairs):
        return []
    as_it_is, as_it_would_be = (_ap(seen, dataset, mapping) for mapping in (classes, np.roll(classes, shift)))
    where = "behind" if shift == 1 else "before"
    return [
        Finding(
            "labels-shifted",
            "warning",
            f"The model's labels are off by one: most objects are found, but under the label one {where} theirs.",
            fix="Correct the label file: is a line for the background missing, or one too many?",
            measured=f"{shifted} of {len(pairs)} located objects; AP {as_it_is:.3f}, and "
            f"{as_it_would_be:.3f} with the labels moved by one",
            evidence="measured",
        )
    ]


def _ap(seen: Seen, dataset: Dataset, classes: NDArray[np.int64]) -> float:
    return match(seen.images, [in_classes(found, classes) for found in seen.detections], len(dataset.labels)).ap


def _exchanged(
    dataset: Dataset, labels: Sequence[str], classes: NDArray[np.int64], pairs: list[Pair]
) -> list[Finding]:
    """One finding for each class whose objects nearly all bear one and the same other label."""
    findings = []
    for right in sorted({right for _, right in pairs}):
        called = Counter(found for found, other in pairs if other == right)
        (most, times), total = called.most_common(1)[0], called.total()
        if most != right and total >= FEWEST and times >= EXCHANGED_SHARE * total:
            findings.append(
                Finding(
                    "labels-exchanged",
                    "warning",
                    f"Objects of '{dataset.labels[classes[right]]}' are found as '{labels[most]}'.",
                    fix="If the label file has the two exchanged, correct it; else the model does not tell them "
                    "apart.",
                    measured=f"{times} of {total} located objects",
                    evidence="measured",
                )
            )
    return findings


def _absent(dataset: Dataset) -> list[Finding]:
    """Classes of the data set that these images hold no object of."""
    counts = dataset.boxes_per_class()
    absent = [label for label, count in zip(dataset.labels, counts, strict=True) if not count]
    if not absent:
        return []
    return [
        Finding(
            "class-without-objects",
            "info",
            "Classes that the images hold no object of do not enter AP, nor what the model finds of them.",
            measured=_listed(absent),
            evidence="measured",
        )
    ]


def _unlisted(labels: Sequence[str], classes: NDArray[np.int64]) -> list[Finding]:
    """Classes of the model that the data set does not list."""
    unlisted = [label for label, of_dataset in zip(labels, classes, strict=True) if of_dataset == NO_CLASS]
    if not unlisted:
        return []
    return [
        Finding(
            "class-not-in-dataset",
            "info",
            "Classes of the model that the data set does not have are not measured.",
            measured=_listed(unlisted),
            evidence="measured",
        )
    ]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
