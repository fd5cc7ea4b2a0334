"""Weights rounded together: the best integers of tiny layers, and never worse than the nearest ones."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from coralsmith.graph import Array
from coralsmith.quantization.adaptive_rounding import output_error, round_together


def layer(groups: int, outputs: int, inputs: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """Weights, correlated moments, steps."""
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(groups, outputs, inputs))
    mixing = generator.normal(size=(groups, inputs, inputs)) + 2 * generator.normal(size=(groups, 1, inputs))
    moments = mixing.transpose(0, 2, 1) @ mixing / inputs + 0.01 * np.eye(inputs)
    return weights, moments, generator.uniform(0.2, 0.5, (groups, outputs))


def brute_force(weights: Array, moments: Array, scale: Array) -> Array:
    """The least error over every way to round each weight down or up, [groups, outputs]."""
    floor = np.floor(weights / scale[:, :, None])
    choices = product((0, 1), repeat=weights.shape[-1])
    errors = [output_error(floor + np.array(choice), weights, moments, scale) for choice in choices]
    return np.min(errors, axis=0)


@pytest.mark.parametrize("seed", range(5))
def test_tiny_layers_come_close_to_the_best_rounding_there_is(seed: int) -> None:
    weights, moments, scale = layer(2, 6, 6, seed)
    found = output_error(round_together(weights, moments, scale), weights, moments, scale)
    nearest = output_error(np.rint(weights / scale[:, :, None]), weights, moments, scale)
    best = brute_force(weights, moments, scale)
    assert found.sum() < 2.0 * best.sum()
    assert found.sum() < 0.7 * nearest.sum()


def test_the_output_error_is_the_mean_squared_error_over_inputs() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(500, 7))
    weights, integers, scale = generator.normal(size=(1, 3, 7)), np.rint(generator.normal(size=(1, 3, 7))), 0.5
    measured = np.square(inputs @ (integers[0] * scale - weights[0]).T).mean(axis=0)
    moments = (inputs.T @ inputs / 500)[None]
    assert output_error(integers, weights, moments, np.full((1, 3), scale))[0] == pytest.approx(measured)


def test_no_output_is_worse_than_with_nearest_rounding() -> None:
    weights, moments, scale = layer(3, 10, 80)
    found = output_error(round_together(weights, moments, scale), weights, moments, scale)
    assert (found <= output_error(np.rint(weights / scale[:, :, None]), weights, moments, scale) + 1e-12).all()


def test_hardly_any_single_weight_could_still_be_moved_for_the_better() -> None:
    weights, moments, scale = layer(1, 4, 70)
    integers = round_together(weights, moments, scale)
    least = output_error(integers, weights, moments, scale)
    better = 0
    for position, step in product(range(70), (-1, 1)):
        moved = integers.copy()
        moved[:, :, position] += step
        better += int((output_error(moved, weights, moments, scale) < least - 1e-9).sum())
    assert better <= 4


def test_independent_inputs_leave_nearest_rounding_as_it_is() -> None:
    weights, _, scale = layer(1, 5, 20)
    moments = np.diag(np.random.default_rng(0).uniform(1, 2, 20))[None]
    assert np.array_equal(round_together(weights, moments, scale), np.rint(weights / scale[:, :, None]))


def test_integers_stay_within_the_narrow_range() -> None:
    weights, moments, _ = layer(1, 5, 20)
    scale = np.abs(weights).max(axis=-1) / 127
    assert np.abs(round_together(weights, moments, scale)).max() <= 127
