"""How far average precision may be off because the images are few: the bootstrap over images (Efron 1979).

Images are drawn with replacement, again and again, and each draw gives one AP. Matching is done once: a draw only
changes how often each image counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.evaluation.average_precision import RECALLS, ClassMatches

RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95


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
    per_class = np.array([[class_ap(matches, times) for matches in classes] for times in draws])
    known = ~np.isnan(per_class)
    total = np.where(known, per_class, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = total / known.sum(axis=1)
    return mean


def class_ap(matches: ClassMatches, times: NDArray[np.int64]) -> float:
    """AP of one class where each image counts several times; as pycocotools would compute it on such a data set.

    Args:
        matches: Detections of the class.
        times: int [images], how often each image counts.

    Returns:
        The mean over overlaps and recalls; NaN if no object is left.
    """
    objects = int(times @ matches.objects)
    if not objects:
        return float("nan")
    weight = times[matches.image]
    hits = np.cumsum(weight * (matches.hit & ~matches.ignored), axis=1)
    misses = np.cumsum(weight * ~(matches.hit | matches.ignored), axis=1)
    precision = hits / np.maximum(hits + misses, 1)
    best_behind = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    sums = [_sum_at_recalls(h, p) for h, p in zip(hits / objects, best_behind, strict=True)]
    return float(np.sum(sums) / (len(sums) * len(RECALLS)))


def _sum_at_recalls(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Precision read at each of `RECALLS` and added up; 0 where that recall is not reached."""
    first = np.searchsorted(recall, RECALLS, side="left")
    return float(precision[first[first < recall.size]].sum())


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The central interval that holds `CONFIDENCE` of the values."""
    known = values[~np.isnan(values)]
    outside = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(known, (outside, 1.0 - outside))
    return float(low), float(high)
