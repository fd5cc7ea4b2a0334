"""The float and the int8 model looking at the same images: their detections, and how far they agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.images import load_rgb
from coralsmith.detection.nms import intersection_over_union
from coralsmith.errors import ImageDataError
from coralsmith.findings import Finding
from coralsmith.graph import Graph
from coralsmith.progress import SILENT, Progress, track
from coralsmith.report.document import AgreementRecord, DetectionRecord, SampleRecord
from coralsmith.runtime.detector import Detector

SCORE_SHOWN: Final = 0.3  # detections below are neither drawn nor compared
SAME_OBJECT_IOU: Final = 0.5
OPERATOR_TOLERANCE: Final = 1e-4  # of the image, between two ways to compute the same float32 boxes


@dataclass(frozen=True)
class SampleView:
    """One image with the detections of both models; `reference` is None where there is no float model."""

    name: str
    image: NDArray[np.uint8]
    reference: Detections | None
    quantized: Detections


@dataclass(frozen=True)
class Comparison:
    """Both models on a number of images."""

    samples: tuple[SampleRecord, ...]
    agreement: AgreementRecord | None
    views: tuple[SampleView, ...]


def compare_detections(
    reference: Graph | None,
    quantized: Graph,
    head: DetectionHead,
    paths: Sequence[Path],
    *,
    views: int,
    progress: Progress = SILENT,
) -> Comparison:
    """Let both models detect on the same images.

    Args:
        reference: The float graph with raw heads; None where the source was quantized already.
        quantized: The int8 graph, with raw heads or with the detection operator.
        head: The head of both.
        paths: Images of any size; unreadable ones are left out.
        views: For how many images the pictures are kept.
        progress: Advanced by one after each image.
    """
    quantized_detector = Detector(quantized, head)
    per_class = not quantized_detector.decodes_itself
    reference_detector = None if reference is None else Detector(reference, head, per_class=per_class)
    samples: list[SampleRecord] = []
    kept: list[SampleView] = []
    counts = np.zeros(3, np.int64)
    names = short_names(paths)
    for path in track(paths, progress):
        try:
            image = load_rgb(path)
        except ImageDataError:  # reported by the calibration, which reads the same folder
            continue
        expected = None if reference_detector is None else _shown(reference_detector, image)
        found = _shown(quantized_detector, image)
        samples.append(
            SampleRecord(names[path], () if expected is None else records(expected, head), records(found, head))
        )
        if len(kept) < views:
            kept.append(SampleView(names[path], image, expected, found))
        if expected is not None:
            counts += len(expected), len(found), matches(expected, found)
    agreement = None
    if reference is not None and samples:
        wanted, seen, matched = counts.tolist()
        agreement = AgreementRecord(len(samples), wanted, seen, matched, SCORE_SHOWN, SAME_OBJECT_IOU)
    return Comparison(tuple(samples), agreement, tuple(kept))


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A name for each path: its file name, with as many folders before it as tell it from the others."""
    names = {path: path.name for path in paths}
    depth = 1
    while len(set(names.values())) < len(names):
        depth += 1
        names = {path: "/".join(path.parts[-depth:]) for path in paths}
    return names


def _shown(detector: Detector, image: NDArray[np.uint8]) -> Detections:
    return detector.detect(image).at_least(SCORE_SHOWN).clipped()


def check_operator(
    raw: Graph, final: Graph, head: DetectionHead, images: Iterable[NDArray[np.uint8]]
) -> list[Finding]:
    """Hold the detection operator of a model against the numpy decode of its raw heads.

    Args:
        raw: The int8 graph before the operator was attached.
        final: The same with the operator.
        head: The head of both.
        images: uint8 RGB images of the model's input size.

    Returns:
        An error where the two find something else in an image; empty otherwise.
    """
    decoded, by_operator = Detector(raw, head, per_class=False), Detector(final, head)
    for image in images:
        expected, found = decoded.detect_resized(image), by_operator.detect_resized(image)
        same = len(expected) == len(found) and np.array_equal(expected.class_ids, found.class_ids)
        if not same or not np.allclose(expected.boxes, found.boxes, atol=OPERATOR_TOLERANCE):
            return [
                Finding(
                    "operator-disagrees",
                    "error",
                    "The detection operator in the model does not find what decoding the raw heads finds.",
                    fix="Convert with --postprocess none, and please report this model.",
                    measured=f"{len(found)} detections",
                    limit=f"the same {len(expected)} detections",
                    evidence="measured on the CPU interpreter",
                )
            ]
    return []


def matches(expected: Detections, found: Detections) -> int:
    """How many of the expected detections are found again: same class, overlap of at least 0.5, each once."""
    free = np.ones(len(found), bool)
    matched = 0
    for box, class_id in zip(expected.boxes, expected.class_ids, strict=True):
        candidates = np.flatnonzero(free & (found.class_ids == class_id))
        if not candidates.size:
            continue
        overlaps = intersection_over_union(box, found.boxes[candidates].T)
        best = int(np.argmax(overlaps))
        if overlaps[best] >= SAME_OBJECT_IOU:
            free[candidates[best]] = False
            matched += 1
    return matched


def records(detections: Detections, head: DetectionHead) -> tuple[DetectionRecord, ...]:
    """Detections as plain values."""
    rows = zip(detections.class_ids, detections.scores, detections.boxes, strict=True)
    return tuple(
        DetectionRecord(
            label_of(head, int(class_id)),
            int(class_id),
            round(float(score), 4),
            tuple(round(float(edge), 5) for edge in box),  # type: ignore[arg-type]
        )
        for class_id, score, box in rows
    )


def label_of(head: DetectionHead, class_id: int) -> str:
    """The name of a class, or its number where the labels do not reach."""
    return head.labels[class_id] if class_id < len(head.labels) else f"class {class_id}"
