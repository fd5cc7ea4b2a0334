"""Choose the anchor set that a model was trained with: the one under which neighbouring anchors agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.agreement import CONFIDENT, NeighbourPairs, agreement, rescaled
from coralsmith.detection.candidates import HeadCandidate
from coralsmith.detection.head import BoxCoder
from coralsmith.detection.layout import ASK_FOR_HEAD, HeadLayout
from coralsmith.errors import DetectionHeadError

Floats = NDArray[np.float32]

MIN_PAIRS: Final = 30
# Measured on two trained SSDLite (BCCD, COCO), in sets of 2 to 16 photos: the right anchors agree to 0.75-0.94,
# another order of ratios to at least 0.010 less (0.018 from 4 photos on), boxes read as (x, y, w, h) to at most
# 0.66, with scales 10 throughout to at least 0.019 less; other sizes gain at most 0.0048 (0.0005 from 4 on).
MIN_AGREEMENT: Final = 0.7
CLEAR_MARGIN: Final = 0.01
_TOLERANCE: Final = 0.005
_SIZE_FACTORS: Final = ((0.8, 0.8), (1.25, 1.25), (0.75, 1.0), (1.33, 1.0), (1.0, 0.8), (1.0, 1.25))
_CODERS: Final = (
    BoxCoder("yxhw"),
    BoxCoder("xywh"),
    BoxCoder("yxhw", (10.0, 10.0, 10.0, 10.0)),
    BoxCoder("yxhw", (5.0, 5.0, 5.0, 5.0)),
    BoxCoder("yxhw", (1.0, 1.0, 1.0, 1.0)),
)
_MOST_LISTED: Final = 6  # candidates that the evidence shows
_SAME_ANCHORS: Final = 2e-4  # apart, as 1/3 and 0.3333 are: a twentieth of a pixel of 300


def choose_anchors(
    sets: Sequence[HeadCandidate], layout: HeadLayout, images: Sequence[NeighbourPairs]
) -> tuple[HeadCandidate, str]:
    """The one anchor set under which neighbouring anchors agree, and better than with any variation of it.

    Args:
        sets: Anchor sets that fit the layout, likeliest first; it decides between sets that are nearly equal.
        layout: Where the anchors lie.
        images: Pairs of neighbouring confident anchors of each image.

    Returns:
        The set, and the evidence for it.

    Raises:
        DetectionHeadError: Too few pairs, no set that stands out, or a variation fits better.
    """
    count = sum(len(image.first) for image in images)
    if count < MIN_PAIRS:
        raise DetectionHeadError(
            f"Only {count} pairs of neighbouring anchors are confident (>= {CONFIDENT}) on {len(images)} images; "
            f"{MIN_PAIRS} are needed to test an anchor set.",
            hint=f"Give images that show what the model detects, normalised as in training. {ASK_FOR_HEAD}",
        )
    measured = sorted(
        ((agreement(images, c.anchors, c.box_coder), c) for c in sets), key=lambda pair: pair[0], reverse=True
    )
    best, winner = measured[0]
    same = [c for c in sets if _means_the_same(c, winner)]
    tried = f"agreement of {count} pairs of neighbouring anchors on {len(images)} images"
    listed = tuple(f"{value:.3f}  {c.convention}" for value, c in measured[:_MOST_LISTED])
    varied = [(agreement(images, anchors, coder), text) for text, anchors, coder in variations(winner, layout)]
    rival = max((value for value, c in measured if c not in same), default=0.0)
    if best < MIN_AGREEMENT or rival > best - CLEAR_MARGIN:
        raise DetectionHeadError(
            f"No anchor set stands out of {len(sets)}: by {tried} the best has {best:.3f}, the next {rival:.3f}; "
            f"asked are {MIN_AGREEMENT} and {CLEAR_MARGIN} more than any other.",
            hint=ASK_FOR_HEAD,
            evidence=(*_better(varied, winner, best), *listed),
        )
    value, text = max(varied)
    if value > best + _TOLERANCE:
        raise DetectionHeadError(
            f"The model was trained otherwise: neighbouring anchors agree to {best:.3f} with "
            f"{winner.convention}, but to {value:.3f} with {text}.",
            hint=f"Take anchors and box coder from the training configuration. {ASK_FOR_HEAD}",
            evidence=listed,
        )
    return same[0], f"anchors: {same[0].convention}; {tried}, best first; {'; '.join(listed)}"


def _better(varied: Sequence[tuple[float, str]], winner: HeadCandidate, best: float) -> Iterator[str]:
    """What no family says and yet agrees better than its best set: it tells where to look."""
    for value, text in sorted(varied, reverse=True)[:2]:
        if value > best + CLEAR_MARGIN:
            yield f"{value:.3f}  {winner.convention}, but {text}"


def _means_the_same(one: HeadCandidate, other: HeadCandidate) -> bool:
    return one.box_coder == other.box_coder and bool(np.abs(one.anchors - other.anchors).max() <= _SAME_ANCHORS)


def variations(winner: HeadCandidate, layout: HeadLayout) -> Iterator[tuple[str, Floats, BoxCoder]]:
    """What must not agree better than the winner: the same anchors in other sizes, or with another coder."""
    for fine, coarse in _SIZE_FACTORS:
        text = f"anchors {fine:g} times as large on the finest map and {coarse:g} times on the coarsest"
        yield text, rescaled(layout, winner.anchors, fine, coarse), winner.box_coder
    for coder in _CODERS:
        yield f"boxes coded as {coder.order} with scales {coder.scales}", winner.anchors, coder
