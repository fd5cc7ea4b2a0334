"""What an ADD's constants say of scales: no more and no less than the compiler's formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coralsmith.compiled.recovery.scale_ties import (
    AddTie,
    RescalingTie,
    ratio_bounds,
    stepped,
    steps_outwards,
    tied_groups,
)
from coralsmith.compiled.requantization import ratio

scales = st.floats(2.0**-7, 2.0, width=32).map(np.float32)


@given(first=scales, second=scales)
def test_a_quotient_lies_within_the_bounds_of_its_own_ratio(first, second):
    low, high = ratio_bounds(ratio(first, second))
    assert low <= float(first) / float(second) <= high


@pytest.mark.parametrize("terms", [(1, 1), (2, 1), (587, 922), (32_160, 18_077), (32_767, 32_766), (1, 32_767)])
def test_just_outside_the_bounds_another_ratio_is_better(terms):
    low, high = ratio_bounds(terms)
    assert low < terms[0] / terms[1] < high
    for outside in (low * (1 - 1e-12), high * (1 + 1e-12)):
        larger = np.arange(1, 32_768, dtype=np.float64)
        smaller = np.maximum(np.rint(larger / outside if outside >= 1 else larger * outside), 1)
        fractions = larger / smaller if outside >= 1 else smaller / larger
        best = fractions[np.argmin(np.abs(fractions - outside))]
        assert best != terms[0] / terms[1] or not 1 / 32_767 <= outside <= 32_767


@settings(max_examples=40)
@given(first=scales, second=scales, target=scales)
def test_the_true_scales_of_an_add_are_found_from_any_one_of_them(first, second, target):
    terms = ratio(first, second)
    low, high = ratio_bounds(terms)
    assume(high / low - 1 < 2.0**-22)  # a simple fraction leaves room for scales farther off, which do as well
    multiplier = np.float32(second / np.float32(terms[1])) * np.float32(np.float32(1) / target)
    tie = AddTie(0, 1, 2, terms, multiplier)
    truth = {0: first, 1: second, 2: target}
    for node in (0, 1):
        rows = tie.extended({node: np.array([truth[node]])})
        found = set(zip(*(rows[other].tolist() for other in (0, 1, 2)), strict=True))
        assert (float(first), float(second), float(target)) in found


@settings(max_examples=10)
@given(first=scales, second=scales, target=scales)
def test_scales_that_are_tied_give_back_the_constants(first, second, target):
    terms = ratio(first, second)
    multiplier = np.float32(second / np.float32(terms[1])) * np.float32(np.float32(1) / target)
    rows = AddTie(0, 1, 2, terms, multiplier).extended({0: stepped(np.array([first]), np.arange(20))})
    for one, other, result in zip(rows[0], rows[1], rows[2], strict=True):
        assert ratio(one, other) == terms
        assert np.float32(other / np.float32(terms[1])) * np.float32(np.float32(1) / result) == multiplier


@given(source=scales, target=scales)
def test_a_rescaling_ties_both_ways(source, target):
    tie = RescalingTie(0, 1, source * np.float32(np.float32(1) / target))
    assert source in tie.extended({1: np.array([target])})[0]
    assert target in tie.extended({0: np.array([source])})[1]


def test_nodes_hang_together_by_ties():
    ties = [
        RescalingTie(0, 5, np.float32(1)),
        AddTie(1, 2, 3, (1, 1), np.float32(1)),
        RescalingTie(4, 5, np.float32(1)),
    ]
    first, second = tied_groups(ties)
    assert first.nodes == (0, 4, 5) and second.nodes == (1, 2, 3)
    assert list(first.ties_from(4)) == [ties[2], ties[0]]


def test_steps_are_those_of_float32():
    values = np.array([0.1, 1.0], np.float32)
    assert np.array_equal(stepped(values, 1), np.nextafter(values, np.float32(2)))
    assert list(steps_outwards(2)) == [0, 1, -1, 2, -2]
