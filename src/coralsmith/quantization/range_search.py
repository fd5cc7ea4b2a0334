"""Narrower ranges than minimum and maximum, searched on a tensor's histogram.

A few outliers widen the range and cost every other value resolution; clipping them costs only the outliers.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from coralsmith.graph import Array
from coralsmith.quantization.calibration import Histogram
from coralsmith.quantization.ranges import LEVELS, Range

_CANDIDATES: Final = np.linspace(0.3, 1.0, 36)


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

    Both ends shrink together towards zero over a fixed set of candidates; rounding inside a step is taken as
    uniform, so that its error is step^2 / 12.
    """
    edges = histogram.edges
    centres: Array = (edges[:-1] + edges[1:]) / 2
    weights = histogram.counts.astype(np.float64)
    if not weights.sum():
        return histogram.span
    best, least = histogram.span, np.inf
    for factor in _CANDIDATES[::-1]:
        span = Range(histogram.span.low * factor, histogram.span.high * factor)
        clipped = np.clip(centres, span.low, span.high)
        outside = clipped != centres
        error = float((weights * (centres - clipped) ** 2).sum())
        error += float(weights[~outside].sum()) * (span.width / LEVELS) ** 2 / 12
        if error < least:
            best, least = span, error
    return best
