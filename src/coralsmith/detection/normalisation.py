"""Is the declared input normalisation the one of training? A wrong one makes a detector less coherent."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.decode import class_probabilities, decode_boxes
from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.detection.nms import intersection_over_union
from coralsmith.detection.raw_outputs import raw_outputs
from coralsmith.findings import Finding
from coralsmith.graph import Graph

RULE: Final = "input-normalisation-mismatch"
_SCALES: Final = {"[-1, 1]": (1 / 127.5, -1.0), "[0, 1]": (1 / 255, 0.0), "[0, 255]": (1.0, 0.0)}
MAX_IMAGES: Final = 48
_MIN_IMAGES: Final = 6
_CONFIDENT: Final = 0.5
_MOST_ANCHORS: Final = 100  # of an image
_SPARSE: Final = 0.2  # share of confident anchors above which the outputs are noise
_EXPONENT: Final = 4  # lets near coincidence decide, as in `agreement`
# Measured on sets of 48 images (24 for the third) of three detectors trained with [-1, 1]: the right input beat
# [0, 1] by 3.7 to 5.5 standard errors and by 6 % (BCCD), 30 % (COCO) and 270 % (reef); none beat the right one.
_STANDARD_ERRORS: Final = 3.0
_CLEARLY_MORE: Final = 1.03


def check_normalisation(graph: Graph, head: DetectionHead, images: Iterable[NDArray[np.uint8]]) -> list[Finding]:
    """Compare what the model finds under the declared normalisation and under the common alternatives.

    Args:
        graph: A model with raw heads. One with a quantized input states its normalisation itself: no finding.
        head: Its head.
        images: uint8 RGB images of the input's size, [height, width, 3] each, with objects that the model
            knows; the first `MAX_IMAGES` are used, and fewer than six are too few to tell.

    Returns:
        A warning where another normalisation makes the detections clearly surer and more coherent, else nothing.
    """
    shown = list(itertools.islice(images, MAX_IMAGES))
    if len(shown) < _MIN_IMAGES or not graph.inputs[0].is_float:
        return []
    declared = _coherence(graph, head, head.input, shown)
    found = []
    for name, spec in _alternatives(head.input).items():
        other = _coherence(graph, head, spec, shown)
        if (
            other.mean() > _CLEARLY_MORE * declared.mean()
            and _standard_errors(other - declared) > _STANDARD_ERRORS
        ):
            found.append((float(other.mean()), name, int(np.sum(other > declared))))
    if not found:
        return []
    coherence, name, better = max(found)
    return [
        Finding(
            rule=RULE,
            severity="warning",
            reason=f"With pixels mapped to {name} the model's detections are surer and agree better than as "
            "declared, so it was probably trained that way; quantized as declared it would lose accuracy.",
            fix=f"Declare the input of training in head.json, for {name} {_as_fields(name)}; or check that the "
            "images show what the model detects.",
            tensor=graph.inputs[0].name,
            measured=f"coherence {declared.mean():.1f} an image with {_range_text(head.input)} as declared, "
            f"{coherence:.1f} with {name}; higher on {better} of {len(shown)} images",
            limit=f"no alternative better by more than {_STANDARD_ERRORS:g} standard errors",
            evidence="measured on the given images: sum over confident anchors of the squared probability times "
            "the fourth power of the best overlap with another of the same class",
        )
    ]


def _standard_errors(differences: NDArray[np.float64]) -> float:
    """How many standard errors the mean of paired differences lies above zero."""
    error = float(differences.std(ddof=1)) / np.sqrt(len(differences))
    return float(differences.mean()) / error if error > 0 else float(np.inf) * float(np.sign(differences.mean()))


def _alternatives(declared: InputSpec) -> dict[str, InputSpec]:
    """The common normalisations by their range, the declared one left out."""
    specs = {
        name: replace(declared, scale=scale, offset=offset, mean=None, std=None)
        for name, (scale, offset) in _SCALES.items()
    }
    width = np.ptp(declared.real_range())
    return {
        name: spec
        for name, spec in specs.items()
        if not np.allclose(spec.real_range(), declared.real_range(), atol=0.02 * width)
    }


def _coherence(
    graph: Graph, head: DetectionHead, spec: InputSpec, images: list[NDArray[np.uint8]]
) -> NDArray[np.float64]:
    """How sure the model is of each image, counting only what several anchors agree on.

    Certainty alone would favour inputs that drive the scores into saturation; there the boxes scatter. An image
    of which most anchors are confident says nothing and counts as zero.
    """
    names = [tensor.name for tensor in graph.outputs]
    coherence = []
    for values in raw_outputs(graph, spec, images):
        raw_boxes, raw_scores = (values[names.index(name)][0] for name in (head.boxes, head.scores))
        probabilities = class_probabilities(raw_scores, head.score)
        best, label = probabilities.max(axis=1), probabilities.argmax(axis=1)
        rows = np.argsort(-best, kind="stable")[:_MOST_ANCHORS]
        rows = rows[best[rows] >= _CONFIDENT]
        if np.mean(best >= _CONFIDENT) > _SPARSE:
            rows = rows[:0]
        with np.errstate(over="ignore", invalid="ignore"):  # a wrong input may give boxes without bounds
            boxes = decode_boxes(raw_boxes[rows], head.anchors[rows], head.box_coder)
            near = ((boxes > -1.0) & (boxes < 2.0)).all(axis=1)
        rows, boxes = rows[near], boxes[near]
        agreed = _best_overlaps(boxes, label[rows])
        coherence.append(float(np.sum(best[rows].astype(np.float64) ** 2 * agreed**_EXPONENT)))
    return np.array(coherence)


def _best_overlaps(boxes: NDArray[np.float32], labels: NDArray[np.intp]) -> NDArray[np.float64]:
    """The largest overlap of each box with another of the same class; 0 where there is none."""
    overlaps = np.zeros(len(boxes))
    for i, box in enumerate(boxes):
        partners = labels == labels[i]
        partners[i] = False
        if partners.any():
            overlaps[i] = intersection_over_union(box, boxes[partners].T).max()
    return overlaps


def _as_fields(name: str) -> str:
    scale, offset = _SCALES[name]
    return f'"scale": {scale:.10g}, "offset": {offset:g}'


def _range_text(spec: InputSpec) -> str:
    low, high = spec.real_range()
    return f"[{low:.3g}, {high:.3g}]"
