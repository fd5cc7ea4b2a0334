"""Scales are found from which the compiler would compute the very constants that were read."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compiled.program import RequantBlock
from coralsmith.compiled.recovery.scale_ties import AddTie, RescalingTie
from coralsmith.compiled.recovery.scales import (
    FREE_SCALE,
    RELU6_SCALE,
    Clamp,
    ScaledLayer,
    ScaleProblem,
    solve,
    weight_scales,
)
from coralsmith.compiled.requantization import clamps, multipliers, ratio
from coralsmith.errors import NotProvedError


def clamp(scale: float, zero_point: int, activation: str = "NONE") -> Clamp:
    low, high = clamps(np.float32(scale), zero_point, activation)
    return Clamp(RequantBlock(0, 1.0, float(low), float(high), 0, zero_point, 0, 0), activation)


def layer(source: int, target: int, scales: list[float], weights: list[float]) -> ScaledLayer:
    wanted = multipliers(np.float32(scales[source]), np.array(weights, np.float32), np.float32(scales[target]))
    return ScaledLayer(source, target, wanted)


def assert_constants_come_out(problem: ScaleProblem) -> None:
    solved = solve(problem)
    assert not solved.inexact_clamps
    for one in problem.layers:
        found, missed = weight_scales(solved.scales[one.source], solved.scales[one.target], one.multipliers)
        assert not missed.any()
        assert np.array_equal(
            multipliers(solved.scales[one.source], found, solved.scales[one.target]), one.multipliers
        )


def test_scales_that_are_known_stay():
    true = [0.0078125, 0.13083284]
    problem = ScaleProblem(2, {0: np.float32(true[0]), 1: np.float32(true[1])}, [layer(0, 1, true, [0.0088824])])
    assert solve(problem).scales == (np.float32(true[0]), np.float32(true[1]))
    assert not solve(problem).chosen
    assert_constants_come_out(problem)


def test_a_free_scale_starts_at_a_convention_and_moves_until_the_clamps_come_out():
    true = [0.0078125, 0.02351103, 0.2499342]
    layers = [layer(0, 1, true, [0.01]), layer(1, 2, true, [0.0119])]
    positive, signed = clamp(true[1], 0, "RELU6"), clamp(true[2], 119)
    assert positive.block.clamp_max > 255  # there is rounding noise to be met
    problem = ScaleProblem(3, {0: np.float32(true[0])}, layers, clamps={1: [positive], 2: [signed]})
    solved = solve(problem)
    assert solved.chosen == {1, 2}
    assert solved.scales[1] == pytest.approx(RELU6_SCALE, rel=1e-3)
    assert solved.scales[2] == pytest.approx(FREE_SCALE, rel=1e-3)
    assert_constants_come_out(problem)


def test_a_clamp_that_cuts_shows_the_scale_of_a_relu6():
    true = np.float32(0.0290123)
    problem = ScaleProblem(1, clamps={0: [clamp(true, 0, "RELU6")]})
    solved = solve(problem)
    assert abs(solved.scales[0] - true) < 1e-8 and not solved.chosen


def test_powers_of_two_meet_every_multiplier_of_a_per_channel_layer():
    random = np.random.default_rng(3)
    true = [0.0371, 0.0523]
    weights = random.uniform(1e-4, 1e-2, 500).tolist()
    problem = ScaleProblem(2, layers=[layer(0, 1, true, weights)])
    assert_constants_come_out(problem)


def test_a_chain_of_sums_is_solved_to_the_bit():
    true = [0.23191509, 0.24993417, 0.28049040, 0.30598080, 0.2143963, 0.3093539]
    terms = ratio(np.float32(true[2]), np.float32(true[1])), ratio(np.float32(true[4]), np.float32(true[3]))
    ties = [
        AddTie(2, 1, 3, terms[0], _add_multiplier(true[1], terms[0], true[3])),
        AddTie(4, 3, 5, terms[1], _add_multiplier(true[3], terms[1], true[5])),
    ]
    zero_points = [129, 119, 126, 127, 123, 135]
    problem = ScaleProblem(6, ties=list(ties), clamps={n: [clamp(true[n], zero_points[n])] for n in range(6)})
    solved = solve(problem)
    assert not solved.inexact_clamps
    for tie in ties:
        first, second, target = (solved.scales[node] for node in tie.nodes)
        assert ratio(first, second) == tie.terms
        assert _add_multiplier(second, tie.terms, target) == tie.multiplier


def test_an_input_of_a_concatenation_follows_from_its_output():
    true = [0.03766390, 0.09133967]
    tie = RescalingTie(0, 1, np.float32(true[0]) * np.float32(np.float32(1) / np.float32(true[1])))
    problem = ScaleProblem(2, {1: np.float32(true[1])}, ties=[tie], clamps={0: [clamp(true[0], 148)]})
    assert solve(problem).scales[0] == pytest.approx(true[0], rel=1e-6)


def test_ratios_that_contradict_known_scales_are_refused():
    known = {0: np.float32(0.1), 1: np.float32(0.3)}
    with pytest.raises(NotProvedError, match="No scales"):
        solve(ScaleProblem(3, known, ties=[AddTie(0, 1, 2, (1, 1), np.float32(0.01))]))


def test_multipliers_that_cannot_be_met_are_counted():
    source, target = np.float32(1.4), np.float32(1.0)
    wanted = np.arange(1, 4000, dtype=np.float32).view(np.int32) + 1
    _, missed = weight_scales(source, target, wanted.astype(np.int32).view(np.float32))
    assert 0 < np.count_nonzero(missed) < 4000 and missed.max() == 1


def _add_multiplier(second: float, terms: tuple[int, int], target: float) -> np.float32:
    unit = np.float32(np.float32(second) / np.float32(terms[1]))
    return np.float32(unit * np.float32(np.float32(1) / np.float32(target)))
