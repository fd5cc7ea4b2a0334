"""What was compiled once is not compiled again, and what comes from the cache is what was put in."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from coralsmith.compiler import cache as cache_module
from coralsmith.compiler.cache import default_cache_folder
from coralsmith.compiler.local import LocalCompiler
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.run import Compilation, compile_model
from tests.compiler.breaking_stand_in import BreakingStandIn, package_of
from tests.compiler.chains import write_chain
from tests.compiler.conftest import errors


@pytest.fixture
def stand_in_compiler(pair) -> BreakingStandIn:
    return BreakingStandIn(package_of(pair / "model_edgetpu.tflite"))


@pytest.fixture
def chain(tmp_path) -> Path:
    return write_chain(tmp_path / "chain.tflite", 20)


@pytest.fixture
def cached(chain, stand_in_compiler, tmp_path):
    """Compile with a cache and say how often the compiler ran."""

    def compile_cached(**options) -> tuple[Compilation, int]:
        before = len(stand_in_compiler.runs)
        done = compile_model(chain, stand_in_compiler, tmp_path / "out", cache=tmp_path / "cache", **options)
        return done, len(stand_in_compiler.runs) - before

    return compile_cached


def entries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


def test_the_same_is_compiled_once(cached):
    first, runs = cached()
    second, more_runs = cached()
    assert (runs, more_runs) == (1, 0)
    assert [attempt.remembered for attempt in (*first.attempts, *second.attempts)] == [False, True]
    assert second.result == first.result and second.findings == first.findings
    assert second.model.read_bytes() == first.model.read_bytes()


def test_the_log_is_remembered_too(compiler, pair, behave, tmp_path):
    behave("success")
    first = compile_model(pair / "model.tflite", compiler, tmp_path / "a", cache=tmp_path / "cache")
    behave("crash")
    second = compile_model(pair / "model.tflite", compiler, tmp_path / "b", cache=tmp_path / "cache")
    assert second.succeeded and second.log.read_bytes() == first.log.read_bytes()


def test_another_option_is_another_result(cached):
    cached()
    assert cached(options=CompilerOptions(min_runtime=13))[1] == 1
    assert cached(options=CompilerOptions(min_runtime=13))[1] == 0


def test_the_time_limit_is_no_part_of_the_result(cached):
    cached()
    assert cached(timeout_s=77)[1] == 0


def test_another_model_is_another_result(cached, chain):
    cached()
    write_chain(chain, 19)
    assert cached()[1] == 1


@pytest.mark.parametrize("change", ["version", "program"])
def test_another_compiler_is_another_result(pair, stand_in, behave, tmp_path, change):
    behave("counted_success")
    state = stand_in.parent / "state"

    def runs() -> int:
        compile_model(pair / "model.tflite", LocalCompiler(stand_in, "option"), tmp_path, cache=tmp_path / "cache")
        return len(list(state.glob("run-*")))

    assert (runs(), runs()) == (1, 1)
    if change == "version":
        behave("counted_success", version="15.0.340273435")
    else:
        stand_in.write_text(stand_in.read_text() + "# patched\n")
    assert (runs(), runs()) == (2, 2)


def test_nothing_is_remembered_unless_asked(chain, stand_in_compiler, tmp_path):
    for _ in range(2):
        compile_model(chain, stand_in_compiler, tmp_path / "out")
    assert len(stand_in_compiler.runs) == 2
    assert not Path(os.environ["XDG_CACHE_HOME"]).exists()


@pytest.mark.parametrize("damage", ["output", "missing", "manifest", "other-key", "half"])
def test_a_damaged_entry_is_compiled_anew_and_replaced(cached, tmp_path, damage):
    good = cached()[0].model.read_bytes()
    (entry,) = entries(tmp_path)
    output, manifest = entry / "model_edgetpu.tflite", entry / "manifest.json"
    if damage == "output":
        output.write_bytes(good[:-1] + b"x")
    elif damage == "missing":
        output.unlink()
    elif damage == "manifest":
        manifest.write_text("{}")
    elif damage == "other-key":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "key": "0" * 64}))
    else:
        manifest.write_bytes(manifest.read_bytes()[:100])
    again, runs = cached()
    assert (runs, again.model.read_bytes()) == (1, good)
    assert cached()[1] == 0


def test_a_manifest_cannot_point_out_of_its_entry(cached, tmp_path):
    cached()
    (entry,) = entries(tmp_path)
    manifest = json.loads((entry / "manifest.json").read_text())
    manifest["files"] = {"../../secret": "0" * 64}
    (tmp_path / "secret").write_text("secret")
    (entry / "manifest.json").write_text(json.dumps(manifest))
    assert cached()[1] == 1
    assert (tmp_path / "secret").read_text() == "secret"


def test_failures_of_the_model_are_remembered_and_random_ones_are_not(cached, stand_in_compiler):
    stand_in_compiler.before = lambda _: (1, "Invalid model: m\nModel not quantized\n")
    assert [cached()[1], cached()[1]] == [1, 0]
    assert errors(cached()[0]) == ["not-quantized"]
    stand_in_compiler.before = lambda _: (None, "")
    options = {"options": CompilerOptions(13), "attempts": 1}
    assert [cached(**options)[1], cached(**options)[1]] == [1, 1]


def test_an_interrupted_search_goes_on_where_it_was(cached, stand_in_compiler):
    stand_in_compiler.breaks = frozenset({"conv_13"})
    stand_in_compiler.version = "15.0.340273435"

    def interrupt(number: int) -> None:
        if number == 3:
            raise KeyboardInterrupt

    stand_in_compiler.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        cached()
    stand_in_compiler.before = lambda _: None
    done, runs = cached()
    assert done.result.mapped == 13
    assert [attempt.remembered for attempt in done.attempts] == [True, True, True, False, False]
    assert runs == 2


def test_an_unwritable_cache_is_said_and_stops_nothing(chain, stand_in_compiler, tmp_path):
    (tmp_path / "file").write_text("")
    done = compile_model(chain, stand_in_compiler, tmp_path / "out", cache=tmp_path / "file" / "cache")
    assert done.succeeded
    assert [finding.rule for finding in done.findings] == ["result-not-remembered"]


def test_the_cache_does_not_grow_without_end(cached, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_MAX_ENTRIES", 2)
    for runtime in (10, 11, 12):
        cached(options=CompilerOptions(runtime))
        for position, entry in enumerate(entries(tmp_path)):
            os.utime(entry, (position, position))
    cached(options=CompilerOptions(13))
    assert len(entries(tmp_path)) == 2
    assert cached(options=CompilerOptions(13))[1] == 0


@pytest.mark.parametrize(
    ("named", "inside"), [("/var/cache/me", "/var/cache/me"), ("", "home/.cache"), ("rel", "home/.cache")]
)
def test_the_folder_is_the_users_own(monkeypatch, tmp_path, named, inside):
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_folder() == tmp_path / inside / "coralsmith" / "compiler"


def test_the_users_files_are_nobody_elses(cached, tmp_path):
    cached()
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
