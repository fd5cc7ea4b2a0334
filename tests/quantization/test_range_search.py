"""Percentile and least-squares ranges on known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.quantization.calibration import Histogram
from coralsmith.quantization.range_search import least_squares_range, percentile_range
from coralsmith.quantization.ranges import LEVELS, Range


def histogram(values: np.ndarray) -> Histogram:
    result = Histogram(Range.of(float(values.min()), float(values.max())))
    result.add(values)
    return result


def test_the_percentile_range_holds_that_share_of_a_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(size=(1, 200, 300))
    span = percentile_range(histogram(values), 99.0)
    assert span.low == pytest.approx(-2.576, abs=0.1)
    assert span.high == pytest.approx(2.576, abs=0.1)


def test_a_side_without_values_stays_at_zero() -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=(1, 200, 300)), 0)
    assert percentile_range(histogram(values), 99.0).low == 0.0


def test_least_squares_beats_the_full_range_on_a_distribution_with_an_outlier() -> None:
    values = np.random.default_rng(0).normal(size=60000)
    values[7] = 60.0
    span = least_squares_range(histogram(values))
    assert span.high < 60.0
    assert _error(values, span) < _error(values, Range(float(values.min()), 60.0))


def test_least_squares_keeps_the_full_range_of_a_uniform_distribution() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 60000)
    assert least_squares_range(histogram(values)).width == pytest.approx(2.0, rel=0.03)


def test_thinning_samples_every_channel_alike() -> None:
    values = np.zeros((1, 64, 64, 64), np.float32)
    values[..., 5] = 1.0
    counts = histogram(values).counts
    assert counts[-1] / counts.sum() == pytest.approx(1 / 64, rel=0.05)


def _error(values: np.ndarray, span: Range) -> float:
    step = span.width / LEVELS
    restored = np.clip(np.rint(values / step) * step, span.low, span.high)
    return float(np.square(restored - values).mean())


def test_least_squares_finds_what_an_exhaustive_search_over_both_ends_finds() -> None:
    generator = np.random.default_rng(1)
    values = np.concatenate([generator.normal(size=40000), generator.uniform(3, 30, 12), [-5.0]])
    found = histogram(values)
    span = least_squares_range(found)
    grid = found.edges[::16]
    ranges = [Range(low, high) for low in grid[grid < 0] for high in grid[grid > 0]]
    best = min(_rounding_error(values, other) for other in ranges)
    assert _rounding_error(values, span) <= 1.02 * best


def test_zeros_cost_no_resolution() -> None:
    generator = np.random.default_rng(2)
    positive = np.abs(generator.normal(size=2000)) ** 3
    sparse = least_squares_range(histogram(np.concatenate([positive, np.zeros(50000)])))
    dense = least_squares_range(histogram(positive))
    assert sparse.high == pytest.approx(dense.high, rel=0.05)


def _rounding_error(values: np.ndarray, span: Range) -> float:
    """Squared error of clipping, and of rounding to the steps of the range."""
    step = span.width / LEVELS
    clipped = values.clip(span.low, span.high)
    return float(((span.low + np.rint((clipped - span.low) / step) * step - values) ** 2).sum())
