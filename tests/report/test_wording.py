from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.report import wording


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (98_713, "96.4 KiB"),
        (5_578_424, "5.32 MiB"),
        (402.5 * (1 << 20), "402 MiB"),
        (3 * (1 << 30), "3.00 GiB"),
        (None, "not known"),
    ],
)
def test_sizes_have_the_units_of_the_compiler(count: float | None, text: str) -> None:
    assert wording.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (0.9999, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 5, "0 %"), (5, 5, "100 %"), (1999, 2000, "99.9 %"), (1, 10_000, "0.1 %"), (1, 2, "50 %"), (0, 0, "none")],
)
def test_a_share_is_only_all_or_nothing_where_it_is_exactly_so(part: int, whole: int, text: str) -> None:
    assert wording.share(part, whole) == text


def test_an_infinite_signal_to_noise_ratio_means_identical() -> None:
    assert wording.decibels(math.inf) == "identical"
    assert wording.decibels(27.94) == "27.9 dB"
    assert wording.decibels(None) == "not known"


def test_of_joined_names_the_first_is_shown() -> None:
    assert wording.short_name("a/mul;;a/Relu6;a/add") == "a/mul;..."
    assert wording.short_name("a/mul") == "a/mul"
    assert wording.short_name(";;") == ";;"


def test_nouns_follow_their_number() -> None:
    assert [wording.count(n, "image") for n in (0, 1, 1200)] == ["0 images", "1 image", "1,200 images"]


@given(st.text())
def test_nothing_that_acts_on_a_terminal_or_misleads_the_eye_gets_through(text: str) -> None:
    shown = wording.printable(text)
    assert all(char == "\n" or unicodedata.category(char)[0] != "C" for char in shown)
    shown.encode("utf-8")


def test_escape_sequences_and_direction_marks_become_visible() -> None:
    assert wording.printable("\x1b[31mred\u202egnp") == "\\x1b[31mred\\u202egnp"
    assert wording.printable("zażółć 犬 ✓") == "zażółć 犬 ✓"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(1 << 20, 1 << 20, "1.00 MiB"), (0, 640, "0 B to 640 B"), (2_128_128, 2_133_120, "about 2.03 MiB")],
)
def test_a_band_of_sizes_is_told_by_its_ends_where_they_differ(low, high, text):
    assert wording.size_band(low, high) == text


@pytest.mark.parametrize(("value", "text"), [(0.02, "<0.1"), (0.05, "0.1"), (6.49, "6.5"), (1046.1, "1,046")])
def test_a_latency_is_never_told_as_nothing(value, text):
    assert wording.milliseconds(value) == text


@pytest.mark.parametrize(("low", "high", "text"), [(5.8, 7.3, "5.8 to 7.3 ms"), (0.01, 2.8, "up to 2.8 ms")])
def test_a_band_of_latencies_that_begins_at_nothing_has_an_upper_end_only(low, high, text):
    assert wording.latency_band(low, high) == text


def test_a_drop_that_rounds_to_nothing_has_one_sign() -> None:
    assert [wording.drop(value) for value in (-0.00001, 0.0, 0.00001, -0.0001)] == [
        "+0.0000",
        "+0.0000",
        "+0.0000",
        "-0.0001",
    ]
