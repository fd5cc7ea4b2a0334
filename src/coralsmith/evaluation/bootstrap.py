"""How far average precision may be off because the images are few: the bootstrap over images (Efron 1979).

Images are drawn with replacement, again and again, and each draw gives one AP. Matching is done once: a draw only
changes how often each image counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.evaluation.average_precision import OVERLAPS, RECALLS, ClassMatches

RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95
_MOST_VALUES: Final = 1 << 20


def resampled_ap(
    classes: Sequence[ClassMatches], resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """AP of data sets drawn at random from the images.

    The same number of images and the same seed draw the same images, so that the results of two models are paired.

    Args:
        classes: Matches of each class.
        resamples: How many data sets are drawn.
        seed: Chooses them.

    Returns:
        float64 [resamples]; NaN where a draw holds no object at all.
    """
    images = len(classes[0].objects)
    draws = np.random.default_rng(seed).multinomial(images, np.full(images, 1.0 / images), resamples)
    per_class = np.stack([_aps(matches, draws) for matches in classes], axis=1)
    known = ~np.isnan(per_class)
    total = np.where(known, per_class, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = total / known.sum(axis=1)
    return mean


def _aps(matches: ClassMatches, draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP of one class on each draw, as many draws at once as memory should hold."""
    if not matches.objects.any():
        return np.full(len(draws), np.nan)
    together = max(1, _MOST_VALUES // (len(OVERLAPS) * max(1, len(matches.image))))
    chunks = (draws[start : start + together] for start in range(0, len(draws), together))
    return np.concatenate([class_ap(matches, chunk) for chunk in chunks])


def class_ap(matches: ClassMatches, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP of one class where each image counts several times; as pycocotools would compute it on such a data set.

    Args:
        matches: Detections of the class.
        times: int [draws, images], how often each image counts.

    Returns:
        float64 [draws], the mean over overlaps and recalls; NaN if no object is left.
    """
    objects = (times @ matches.objects)[:, None, None]
    weight = times[:, None, matches.image]
    hits = np.cumsum(weight * (matches.hit & ~matches.ignored), axis=2)
    misses = np.cumsum(weight * ~(matches.hit | matches.ignored), axis=2)
    precision = hits / np.maximum(hits + misses, 1)
    best_behind = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    reached = np.searchsorted(RECALLS, hits / np.maximum(objects, 1), side="right")
    newly_reached = np.diff(reached, axis=2, prepend=0)
    sums = (newly_reached * best_behind).sum(axis=(1, 2))
    return np.where(objects[:, 0, 0] > 0, sums / (len(OVERLAPS) * len(RECALLS)), np.nan)


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The central interval that holds `CONFIDENCE` of the values."""
    known = values[~np.isnan(values)]
    outside = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(known, (outside, 1.0 - outside))
    return float(low), float(high)
