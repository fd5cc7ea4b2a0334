"""Is the declared input normalisation the one of training? A wrong one makes a detector less sure of itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.decode import class_probabilities
from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.detection.raw_outputs import raw_outputs
from coralsmith.findings import Finding
from coralsmith.graph import Graph

RULE: Final = "input-normalisation-mismatch"
_SCALES: Final = {"[-1, 1]": (1 / 127.5, -1.0), "[0, 1]": (1 / 255, 0.0), "[0, 255]": (1.0, 0.0)}
MAX_IMAGES: Final = 12
_MIN_IMAGES: Final = 6
_LIKELY: Final = 0.5
_SPARSE: Final = 0.2  # share of likely anchors above which the model is no trained detector
# Measured on 24 images of two detectors trained with [-1, 1]: their certainty is 14 % (BCCD) and 33 % (COCO)
# higher than with [0, 1], on 23 and 21 of the images. Of what flatters a detector, twice the contrast of
# training gave the most: 4 % on 15 of 24 images, and 12 % less with the shift that [0, 1] to [-1, 1] brings.
_CLEARLY_MORE: Final = 1.05


def check_normalisation(graph: Graph, head: DetectionHead, images: Iterable[NDArray[np.uint8]]) -> list[Finding]:
    """Compare the certainty of the scores under the declared normalisation with the common alternatives.

    Args:
        graph: A model with raw heads. One with a quantized input states its normalisation itself: no finding.
        head: Its head.
        images: uint8 RGB images of the input's size, [height, width, 3] each, with objects that the model
            knows; the first `MAX_IMAGES` are used, and fewer than six are too few to tell.

    Returns:
        A warning where another normalisation makes the model clearly surer on most images, else nothing.
    """
    shown = list(itertools.islice(images, MAX_IMAGES))
    if len(shown) < _MIN_IMAGES or not graph.inputs[0].is_float:
        return []
    declared = _certainties(graph, head, head.input, shown)
    found = []
    for name, spec in _alternatives(head.input).items():
        other = _certainties(graph, head, spec, shown)
        surer = int(np.sum(other > declared))
        if other.mean() > _CLEARLY_MORE * declared.mean() and surer >= _beyond_chance(len(shown)):
            found.append((float(other.mean()), name, surer))
    if not found:
        return []
    certainty, name, surer = max(found)
    return [
        Finding(
            rule=RULE,
            severity="warning",
            reason=f"The model is surer of its detections with pixels mapped to {name} than as declared, so it "
            "was probably trained that way; quantized with the declared input it would lose accuracy.",
            fix=f"Declare the input of training in head.json, for {name} {_as_fields(name)}; or check that the "
            "images show what the model detects.",
            tensor=graph.inputs[0].name,
            measured=f"certainty {declared.mean():.1f} an image with {_range_text(head.input)} as declared, "
            f"{certainty:.1f} with {name}; higher on {surer} of {len(shown)} images",
            limit=f"no alternative more than {_CLEARLY_MORE - 1:.0%} surer",
            evidence="measured on the given images: sum over anchors of the squared best class probability",
        )
    ]


def _beyond_chance(count: int) -> float:
    """Wins of `count` fair games that chance exceeds in 2 of 100 cases: two standard deviations."""
    return count / 2 + float(np.sqrt(count))


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


def _certainties(
    graph: Graph, head: DetectionHead, spec: InputSpec, images: list[NDArray[np.uint8]]
) -> NDArray[np.float64]:
    """Sum over anchors of the squared best class probability, for each image.

    Zero where no anchor is likely, or so many are that the outputs are noise: such an image says nothing.
    """
    names = [tensor.name for tensor in graph.outputs]
    certainties = []
    for values in raw_outputs(graph, spec, images):
        best = class_probabilities(values[names.index(head.scores)][0], head.score).max(axis=1)
        is_detection = best.max() >= _LIKELY and np.mean(best >= _LIKELY) <= _SPARSE
        certainties.append(float(np.sum(best.astype(np.float64) ** 2)) if is_detection else 0.0)
    return np.array(certainties)


def _as_fields(name: str) -> str:
    scale, offset = _SCALES[name]
    return f'"scale": {scale:.10g}, "offset": {offset:g}'


def _range_text(spec: InputSpec) -> str:
    low, high = spec.real_range()
    return f"[{low:.3g}, {high:.3g}]"
