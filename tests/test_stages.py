"""The cache of stage results, and the stopwatch."""

from __future__ import annotations

from pathlib import Path

import pytest

from coralsmith.progress import SILENT
from coralsmith.stages import StageCache, Stopwatch, digest

FILES = {"graph.tflite": b"bytes", "facts.json": b"{}"}


@pytest.fixture
def cache(tmp_path: Path) -> StageCache:
    return StageCache(tmp_path / "cache")


def test_a_stored_result_is_loaded_under_the_same_key_only(cache: StageCache) -> None:
    cache.store("import", digest("a"), FILES)
    assert cache.load("import", digest("a")) == FILES
    assert cache.load("import", digest("b")) is None
    assert cache.load("quantize", digest("a")) is None


def test_a_damaged_result_counts_as_absent(cache: StageCache) -> None:
    cache.store("import", digest("a"), FILES)
    next(cache.folder.rglob("graph.tflite")).write_bytes(b"bitten")
    assert cache.load("import", digest("a")) is None


def test_a_half_written_result_is_never_seen_and_is_cleared(cache: StageCache) -> None:
    (cache.folder / ".partial-x").mkdir(parents=True)
    (cache.folder / ".partial-x" / "graph.tflite").write_bytes(b"half")
    cache.store("import", digest("a"), FILES)
    assert [entry.name.split("-")[0] for entry in cache.folder.iterdir()] == ["import"]


def test_a_new_result_replaces_the_old_one_of_the_same_stage(cache: StageCache) -> None:
    cache.store("import", digest("a"), FILES)
    cache.store("import", digest("b"), FILES)
    assert len(list(cache.folder.iterdir())) == 1


def test_a_disabled_cache_keeps_nothing(tmp_path: Path) -> None:
    cache = StageCache(tmp_path / "cache", enabled=False)
    cache.store("import", digest("a"), FILES)
    assert not cache.folder.exists()


def test_digests_tell_apart_how_values_are_split() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(b"ab") != digest("ab")
    assert digest({"x": 1, "y": 2}) == digest({"y": 2, "x": 1})


def test_the_stopwatch_records_each_stage() -> None:
    watch = Stopwatch(SILENT)
    with watch.stage("first"):
        watch.resumed()
    with watch.stage("second"):
        pass
    assert [(record.name, record.resumed) for record in watch.records] == [("first", True), ("second", False)]
    assert all(record.seconds >= 0 and (record.peak_megabytes or 1) > 0 for record in watch.records)
