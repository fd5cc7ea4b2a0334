"""The ladder of the gate, with rungs whose loss is known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from coralsmith.errors import UnsupportedModelError, UsageError
from coralsmith.evaluation.agreement import Classes
from coralsmith.evaluation.dataset import Dataset
from coralsmith.evaluation.ledger import Contender, Entry, draw_up, set_against
from coralsmith.evaluation.looking import Seen
from coralsmith.gate import Climb, climb
from coralsmith.graph import Graph
from coralsmith.quantization.quantizer import Quantized
from coralsmith.recipe import Recipe
from coralsmith.rungs import LADDER, Rung, distinct
from tests.evaluation.data_sets import annotated, detections

IMAGES = [annotated([[0.1, 0.1, 0.4, 0.4]], [0], name=f"{i}.png") for i in range(10)]
DATASET = Dataset(IMAGES, ("cat",))
HIT = detections([[0.1, 0.1, 0.4, 0.4]], [0], [0.9])
MISS = detections([], [], [])


def entry(found: int) -> Entry:
    """A model that finds the objects of so many of the ten images: recall, and so AP, is that share."""
    seen = Seen(IMAGES, [HIT] * found + [MISS] * (10 - found))
    return draw_up([Contender("int8", "m", seen, Classes(("cat",)))], DATASET, resamples=50)[0]


FLOAT = entry(10)


class Ladder:
    """Rungs that find the objects of so many images each; remembers which were run."""

    def __init__(self, *found: int, missing: Sequence[int] = ()) -> None:
        self.ran: list[str] = []
        self.found = {f"rung-{i}": count for i, count in enumerate(found)}
        self.rungs = [
            Rung(name, f"the way of {name}", self.quantize, ("no_such_package",) if i in missing else (), "torch")
            for i, name in enumerate(self.found)
        ]

    def quantize(self, _task: object, _starts: object) -> Quantized:
        raise AssertionError("climb is given what runs a rung")

    def run(self, rung: Rung) -> Quantized:
        self.ran.append(rung.name)
        nothing = Graph([], [], [])
        return Quantized(nothing, nothing, self.found[rung.name], {})

    def climb(self, limit: float, *, strict: bool = False) -> Climb:
        def measure(quantized: Quantized) -> Entry:
            return set_against(entry(quantized.images), FLOAT, resamples=1000)

        return climb(self.run, measure, limit, self.rungs, strict=strict)


def test_it_stops_at_the_first_rung_that_is_inside() -> None:
    ladder = Ladder(5, 9, 10)
    result = ladder.climb(0.2)
    assert ladder.ran == ["rung-0", "rung-1"]
    assert (result.record.chosen, result.record.passed, result.findings) == ("rung-1", True, [])
    assert [rung.passed for rung in result.record.rungs] == [False, True]
    assert result.quantized.images == 9


def test_each_rung_tells_what_it_gave_and_cost() -> None:
    first, second = Ladder(5, 10).climb(0.1).record.rungs
    assert first.ap == pytest.approx(51 / 101) and first.drop == pytest.approx(50 / 101)
    assert first.drop_interval is not None and first.drop_interval[0] < 50 / 101 < first.drop_interval[1]
    assert (second.drop, second.agreement) == (0, pytest.approx(1))
    assert first.seconds >= 0 and first.title == "the way of rung-0"


def test_where_none_is_inside_the_least_bad_is_taken_and_an_error_says_so() -> None:
    result = Ladder(5, 8, 6).climb(0.01)
    assert (result.record.chosen, result.record.passed, result.quantized.images) == ("rung-1", False, 8)
    (error,) = result.findings
    assert (error.rule, error.severity, error.limit) == ("accuracy-gate", "error", "0.01")
    assert "'rung-1' loses least" in error.reason and (error.measured or "").startswith("+0.19")


def test_strict_holds_the_upper_end_of_the_interval_against_the_limit() -> None:
    """One image of ten is missed: the drop is 0.1, but the interval reaches to 0.3."""
    assert Ladder(9).climb(0.15).record.passed
    assert not Ladder(9).climb(0.15, strict=True).record.passed
    assert Ladder(9, 10).climb(0.15, strict=True).record.chosen == "rung-1"


def test_a_rung_whose_packages_are_missing_is_skipped_and_said() -> None:
    ladder = Ladder(5, 10, 9, missing=[1])
    result = ladder.climb(0.2)
    assert ladder.ran == ["rung-0", "rung-2"]
    skipped = result.record.rungs[1]
    assert skipped.ap is None and "pip install 'coralsmith[torch]'" in skipped.skipped
    assert [(f.rule, f.severity) for f in result.findings] == [("rung-skipped", "warning")]


def test_a_dearer_rung_that_fails_is_passed_over_and_said() -> None:
    ladder = Ladder(5, 6, 10)
    works = ladder.run

    def run(rung: Rung) -> Quantized:
        if rung.name == "rung-1":
            raise UnsupportedModelError("It cannot be balanced.", "Leave it.")
        return works(rung)

    ladder.run = run  # type: ignore[method-assign]
    result = ladder.climb(0.2)
    assert result.record.chosen == "rung-2"
    assert result.record.rungs[1].skipped == "It cannot be balanced. Leave it."
    assert [finding.rule for finding in result.findings] == ["rung-skipped"]


def test_the_first_rung_must_work() -> None:
    ladder = Ladder(5, 10)

    def run(_rung: Rung) -> Quantized:
        raise UnsupportedModelError("It has no int8 form.")

    ladder.run = run  # type: ignore[method-assign]
    with pytest.raises(UnsupportedModelError):
        ladder.climb(0.2)


def test_with_nothing_to_try_it_is_an_error() -> None:
    with pytest.raises(UsageError, match="No way to quantize"):
        Ladder(5, missing=[0]).climb(0.1)


def test_where_the_recipe_corrects_already_no_rung_does_it_again() -> None:
    plain, automatic = (
        [rung.name for rung in distinct(LADDER, Recipe(quantization=way))] for way in ("plain", "auto")
    )
    assert plain == ["plain", "corrected", "tuned"]
    assert automatic == ["plain", "tuned"]


def test_the_ladder_begins_with_the_recipe_and_names_each_rung_once() -> None:
    assert LADDER[0].name == "plain"
    assert len({rung.name for rung in LADDER}) == len(LADDER)
