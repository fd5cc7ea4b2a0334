"""Stages are told apart, warm-up does not count, and a disturbed machine is told."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from coralsmith.runtime.detector import Detector
from coralsmith.runtime.loading import load_model
from coralsmith.runtime.profile_report import Timing
from coralsmith.runtime.profiling import (
    Runs,
    TimedDetector,
    processor_name,
    sweep_threads,
    time_stages,
    unsteady,
    usual_threads,
)
from tests.tiny_detector import SIDE


class Clock:
    """Every look at it finds a later time; how much later grows."""

    def __init__(self) -> None:
        self._times = (float(number * number) for number in count())

    def __call__(self) -> float:
        return next(self._times)


def test_the_median_and_the_95th_percentile_are_those_of_numpy():
    seconds = np.random.default_rng(0).exponential(0.01, 41)
    timing = Timing.of(list(seconds))
    assert timing.median == pytest.approx(1000 * np.median(seconds))
    assert timing.p95 == pytest.approx(1000 * np.quantile(seconds, 0.95))
    assert timing.fastest == pytest.approx(1000 * seconds.min())


def test_the_stages_of_a_detection_add_up_to_it(forms):
    clock = Clock()
    detector = TimedDetector(forms.raw, clock=clock)
    # One detection looks at the clock six times: around it, around its first stage and around its second.
    stages, total = time_stages(detector, [np.zeros((SIDE, SIDE, 3), np.uint8)], Runs(1, 0, clock))
    assert stages.pre is not None and stages.post is not None
    assert stages.pre.median == 1000 * (2**2 - 1**2)
    assert stages.invoke.median == 1000 * (4**2 - 3**2)
    assert total.median == 1000 * 5**2
    assert stages.pre.median + stages.invoke.median + stages.post.median == total.median


def test_runs_to_warm_up_do_not_count(forms):
    clock = Clock()
    detector = TimedDetector(forms.raw, clock=clock)
    _, total = time_stages(detector, [np.zeros((SIDE, SIDE, 3), np.uint8)], Runs(1, 1, clock))
    assert total.median == 1000 * (11**2 - 6**2)


def test_a_timed_detector_detects_what_any_detector_does(forms):
    image = np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8)
    timed, plain = TimedDetector(forms.raw).detect(image), Detector(forms.raw).detect(image)
    assert np.array_equal(timed.boxes, plain.boxes) and np.array_equal(timed.scores, plain.scores)


def test_each_number_of_threads_is_timed(forms):
    sweep = sweep_threads(load_model(forms.raw), [1, 2], Runs(3, 1))
    assert [timing.threads for timing in sweep] == [1, 2]
    assert all(0 < timing.invoke.fastest <= timing.invoke.median <= timing.invoke.p95 for timing in sweep)


def test_the_usual_numbers_of_threads_begin_with_one_and_end_with_all_cores(monkeypatch):
    for cores, expected in ((1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False)
        assert usual_threads() == expected


def test_a_disturbed_machine_is_told():
    assert unsteady(Timing(10.0, 12.0, 9.0)) == []
    (finding,) = unsteady(Timing(10.0, 31.0, 9.0))
    assert finding.rule == "unsteady-timing" and "3.1" in (finding.measured or "")


def test_the_processor_has_a_name():
    assert processor_name()
