"""Narrower ranges than minimum and maximum, searched on a tensor's histogram.

A few outliers widen the range and cost every other value resolution; clipping them costs only the outliers.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from coralsmith.graph import Array
from coralsmith.quantization.calibration import Histogram
from coralsmith.quantization.ranges import LEVELS, Range

_STRIDE: Final = 8  # of BINS = 2048 edges: 256 places over the whole range


def percentile_range(histogram: Histogram, percentile: float) -> Range:
    """The range that leaves out the outermost ``100 - percentile`` percent of the values, half on either side.

    A side on which the tensor has no values (a RELU's negative side) stays at zero.
    """
    counts = np.cumsum(histogram.counts)
    if not counts[-1]:
        return histogram.span
    tail = counts[-1] * (1 - percentile / 100) / 2
    edges = histogram.edges
    first = int(np.searchsorted(counts, tail, side="right"))
    last = int(np.searchsorted(counts, counts[-1] - tail, side="left"))
    return Range.of(float(edges[first]), float(edges[last + 1]))


def least_squares_range(histogram: Histogram) -> Range:
    """The range with the least expected squared error: rounding inside, clipping outside.

    Both ends are searched independently, over a grid of the histogram's edges. Rounding inside a step is taken as
    uniform, so that its error is step^2 / 12; exact zeros, which most of a RELU's values are, have none.
    """
    counts = histogram.counts.astype(np.float64)
    if not counts.sum():
        return histogram.span
    edges = histogram.edges
    centres: Array = (edges[:-1] + edges[1:]) / 2
    candidates = edges[::_STRIDE]
    lows, highs = candidates[candidates < 0.0], candidates[candidates > 0.0]
    lows = lows if lows.size else np.zeros(1)
    highs = highs if highs.size else np.zeros(1)
    below = [_moments(counts, centres, centres < low) for low in lows]
    above = [_moments(counts, centres, centres > high) for high in highs]
    clipped = np.array([m2 - 2 * low * m1 + low**2 * m0 for low, (m0, m1, m2) in zip(lows, below, strict=True)])
    clipped_above = np.array(
        [m2 - 2 * high * m1 + high**2 * m0 for high, (m0, m1, m2) in zip(highs, above, strict=True)]
    )
    outside = np.array([m[0] for m in below])[:, None] + np.array([m[0] for m in above])
    inside = np.maximum(counts.sum() - histogram.zeros - outside, 0.0)
    step = (highs - lows[:, None]) / LEVELS
    error = clipped[:, None] + clipped_above + inside * step**2 / 12
    low, high = np.unravel_index(int(error.argmin()), error.shape)
    return Range.of(float(lows[low]), float(highs[high]))


def _moments(counts: Array, centres: Array, where: Array) -> tuple[float, float, float]:
    """Number, sum and sum of squares of the values in some bins."""
    some, at = counts[where], centres[where]
    return float(some.sum()), float(some @ at), float(some @ at**2)
