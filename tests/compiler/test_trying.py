"""When the plain run fails: what is tried, in which order, what is taken, and what is said about it.

The compiler is a stand-in that breaks down on chosen operators.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from coralsmith.compiler.attempts import Attempt, Trial, best
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.run import Compilation, compile_model
from coralsmith.graph.reader import read_tflite
from tests.compiler.breaking_stand_in import BreakingStandIn, package_of
from tests.compiler.chains import write_chain
from tests.compiler.conftest import errors

INTERNAL_ERROR = (1, "\nInternal compiler error. Aborting! \n")
V15 = "15.0.340273435"


@pytest.fixture
def package(pair: Path) -> bytes:
    return package_of(pair / "model_edgetpu.tflite")


@pytest.fixture
def chain(tmp_path) -> Path:
    """20 convolutions, conv_0 to conv_19."""
    return write_chain(tmp_path / "chain.tflite", 20)


def steps(compilation: Compilation) -> list[str]:
    return ["again" if attempt.repetition else attempt.step for attempt in compilation.attempts]


def finding(compilation: Compilation, rule: str):
    (found,) = [one for one in compilation.findings if one.rule == rule]
    return found


def test_a_plain_success_is_one_attempt(chain, package, tmp_path):
    done = compile_model(chain, BreakingStandIn(package), tmp_path / "out")
    assert done.succeeded and steps(done) == ["plain"]
    (attempt,) = done.attempts
    assert (attempt.mapped, attempt.unmapped, attempt.partitions, attempt.chosen) == (20, 0, 1, True)


def test_what_fails_at_random_is_tried_again(chain, package, tmp_path):
    compiler = BreakingStandIn(package, version=V15, before=lambda number: INTERNAL_ERROR if number < 2 else None)
    done = compile_model(chain, compiler, tmp_path / "out")
    assert done.succeeded and steps(done) == ["plain", "again", "again"]
    assert [attempt.failure for attempt in done.attempts] == ["internal-compiler-error"] * 2 + [""]
    assert finding(done, "random-failure").severity == "info"


def test_what_the_model_is_to_blame_for_is_not_tried_again(chain, package, tmp_path):
    compiler = BreakingStandIn(package, before=lambda _: (1, "Invalid model: m\nModel not quantized\n"))
    done = compile_model(chain, compiler, tmp_path / "out")
    assert not done.succeeded and steps(done) == ["plain"]
    assert errors(done) == ["not-quantized"]


@pytest.mark.parametrize("culprit", [1, 2, 7, 10, 18, 19])
def test_version_16_searches_then_cuts_and_names_the_culprit(chain, package, tmp_path, culprit):
    compiler = BreakingStandIn(package, frozenset({f"conv_{culprit}"}))
    done = compile_model(chain, compiler, tmp_path / "out")
    assert done.succeeded and steps(done)[:2] == ["plain", "search"]
    taken = next(attempt for attempt in done.attempts if attempt.chosen)
    assert (taken.mapped, taken.unmapped, taken.partitions) == (culprit, 20 - culprit, 1)
    assert finding(done, "breaks-the-compiler").op == f"conv_{culprit}"
    assert finding(done, "compiled-in-part").measured == f"{culprit} of 20 operators"
    assert "large-activations" in finding(done, "compiled-in-part").reason
    kept = [op.name for op in read_tflite(done.model).ops if op.custom_code == ""]
    assert kept == [f"conv_{index}" for index in range(culprit, 20)]


@pytest.mark.slow
def test_the_compilers_own_search_makes_most_cuts_unnecessary(tmp_path, package):
    chain = write_chain(tmp_path / "long.tflite", 80)
    compiler = BreakingStandIn(package, frozenset({"conv_37"}))
    done = compile_model(chain, compiler, tmp_path / "out")
    assert steps(done) == ["plain", "search", "cut", "cut"]
    assert finding(done, "breaks-the-compiler").op == "conv_37"


def test_older_versions_have_no_search_and_are_bisected(chain, package, tmp_path):
    compiler = BreakingStandIn(package, frozenset({"conv_13"}), version=V15)
    done = compile_model(chain, compiler, tmp_path / "out")
    assert steps(done) == ["plain", "cut", "cut", "cut", "cut"]
    assert finding(done, "breaks-the-compiler").op == "conv_13"
    assert done.result.mapped == 13
    assert not any("-d" in run for run in compiler.runs)


def test_random_failures_do_not_mislead_the_bisection(chain, package, tmp_path):
    compiler = BreakingStandIn(
        package, frozenset({"conv_7"}), version=V15, failure="Internal compiler error. Aborting! \n"
    )
    compiler.before = lambda number: INTERNAL_ERROR if number % 2 else None
    done = compile_model(chain, compiler, tmp_path / "out", attempts=60)
    assert finding(done, "breaks-the-compiler").op == "conv_7"


def test_a_cut_that_compiles_at_the_second_try_is_still_a_cut(chain, package, tmp_path):
    compiler = BreakingStandIn(package, frozenset({"conv_10"}), version=V15)
    compiler.before = lambda number: INTERNAL_ERROR if number in (1, 3) else None
    done = compile_model(chain, compiler, tmp_path / "out")
    assert done.result.mapped == 10
    rules = [one.rule for one in done.findings]
    assert "compiled-in-part" in rules and "random-failure" not in rules


def test_operators_in_front_that_never_map_are_not_blamed(tmp_path, package):
    chain = write_chain(tmp_path / "float.tflite", 8, quantize_first=True)
    compiler = BreakingStandIn(package, frozenset({"conv_1"}), version=V15)
    done = compile_model(chain, compiler, tmp_path / "out")
    assert all("quantized" not in run for run in compiler.runs)
    assert finding(done, "breaks-the-compiler").op == "conv_1"


def test_several_partitions_only_where_nothing_else_maps(chain, package, tmp_path):
    compiler = BreakingStandIn(package, frozenset({"conv_0"}), failure="")
    done = compile_model(chain, compiler, tmp_path / "out")
    assert done.succeeded and steps(done)[-1] == "subgraphs"
    assert done.result.mapped == 19
    assert finding(done, "several-partitions").severity == "warning"
    # No cut compiled, so that nothing shows that it is this operator.
    assert "breaks-the-compiler" not in [one.rule for one in done.findings]


def test_fewer_operators_in_one_partition_beat_more_in_several(chain, package, tmp_path):
    compiler = BreakingStandIn(package, frozenset({"conv_5"}))
    done = compile_model(chain, compiler, tmp_path / "out")
    assert done.result.subgraphs == 1 and done.result.mapped == 5
    assert "subgraphs" not in steps(done)


def test_who_asks_for_several_partitions_gets_them(chain, package, tmp_path):
    compiler = BreakingStandIn(package, frozenset({"conv_5"}))
    done = compile_model(chain, compiler, tmp_path / "out", options=CompilerOptions(subgraphs=True))
    assert (done.result.subgraphs, done.result.mapped) == (2, 19)
    assert finding(done, "several-partitions").severity == "info"


def test_where_nothing_compiles_the_first_reasons_are_given_and_no_operator_is_blamed(chain, package, tmp_path):
    compiler = BreakingStandIn(package, before=lambda _: (1, "Compilation failed! \n"))
    done = compile_model(chain, compiler, tmp_path / "out")
    assert not done.succeeded and errors(done) == ["failed-without-reason"]
    assert "breaks-the-compiler" not in [one.rule for one in done.findings]
    assert str(len(done.attempts)) in finding(done, "no-attempt-succeeded").reason
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("most", [1, 2, 4])
def test_there_are_never_more_attempts_than_allowed(chain, package, tmp_path, most):
    compiler = BreakingStandIn(package, before=lambda _: INTERNAL_ERROR)
    done = compile_model(chain, compiler, tmp_path / "out", attempts=most)
    assert len(done.attempts) == len(compiler.runs) == most


def test_signed_int8_is_compiled_for_a_later_runtime_and_that_is_said(chain, package, tmp_path):
    table = "Operator   Count   Status\n\nCONV_2D   20   Operation is working on an unsupported data type\n"

    def too_old(number: int) -> tuple[int, str] | None:
        if "13" in compiler.runs[number]:
            return None
        (folder_of(compiler) / "model_edgetpu.tflite").write_bytes(bytes(5000))
        return 0, f"\nModel compiled successfully in 1 ms.\n\nNumber of Edge TPU subgraphs: 0\n{table}"

    compiler = _Watched(package, before=too_old)
    done = compile_model(chain, compiler, tmp_path / "out", options=CompilerOptions(min_runtime=11))
    assert done.succeeded and steps(done) == ["plain", "min-runtime"]
    assert (finding(done, "min-runtime-raised").severity, finding(done, "min-runtime-raised").limit) == (
        "warning",
        "runtime 11",
    )


def test_a_success_that_maps_less_than_foretold_is_not_taken_silently(chain, package, tmp_path):
    def maps_twelve(_: int) -> tuple[int, str]:
        model = read_tflite(compiler.folder / "model.tflite")
        return compiler.hand_out(compiler.folder, model, [(0, 12)])

    compiler = _Watched(package, before=maps_twelve)
    done = compile_model(chain, compiler, tmp_path / "out")
    assert done.succeeded and done.result.mapped == 12
    fewer = finding(done, "fewer-mapped-than-predicted")
    assert (fewer.severity, fewer.op) == ("warning", "conv_12")
    assert "12" in fewer.reason and "20" in fewer.reason


def test_no_prediction_is_made_for_older_versions(chain, package, tmp_path):
    compiler = _Watched(package, version=V15)
    compiler.before = lambda _: compiler.hand_out(
        compiler.folder, read_tflite(compiler.folder / "model.tflite"), [(0, 12)]
    )
    done = compile_model(chain, compiler, tmp_path / "out")
    assert "fewer-mapped-than-predicted" not in [one.rule for one in done.findings]


class _Watched(BreakingStandIn):
    """Knows the folder of its present run."""

    def execute(self, folder, arguments, timeout_s):
        self.folder = folder
        return super().execute(folder, arguments, timeout_s)


def folder_of(compiler: _Watched) -> Path:
    return compiler.folder / "out"


def test_a_result_for_a_later_runtime_than_asked_is_said(chain, package, tmp_path):
    """The published package, of compiler 16 without -m, needs runtime 14."""
    compiler = BreakingStandIn(package)
    done = compile_model(chain, compiler, tmp_path / "out", options=CompilerOptions(min_runtime=13))
    newer = finding(done, "newer-runtime-than-asked")
    assert (newer.severity, newer.measured, newer.limit) == ("warning", "runtime 14", "runtime 13")
    done = compile_model(
        chain, BreakingStandIn(package), tmp_path / "out", options=CompilerOptions(min_runtime=14)
    )
    assert done.findings == []


def test_segments_are_not_cut_into_parts(chain, package, tmp_path):
    compiler = BreakingStandIn(package, frozenset({"conv_3"}))
    done = compile_model(chain, compiler, tmp_path / "out", options=CompilerOptions(segments=2))
    assert steps(done) == ["plain"]


# Which of several successes is the best.


def attempt(**changes) -> Trial:
    plain = Attempt("plain", 0, (), True, "", None, 10, 5, 1, 1000, 0, 1.0, remembered=False)
    return Trial(dataclasses.replace(plain, **changes), None)


@pytest.mark.parametrize(
    ("better", "worse", "asked"),
    [
        ({"mapped": 11}, {"mapped": 10}, False),
        ({"mapped": 3}, {"mapped": 14, "partitions": 2}, False),
        ({"mapped": 14, "partitions": 2}, {"mapped": 3}, True),
        ({"streamed_bytes": 0}, {"streamed_bytes": 9, "on_chip_bytes": 5000}, False),
        ({"on_chip_bytes": 2000}, {"on_chip_bytes": 1000}, False),
        ({"mapped": 1}, {"succeeded": False, "mapped": 99}, False),
    ],
)
def test_the_best_has_most_operators_in_one_partition_then_parameters_on_chip(better, worse, asked):
    good, bad = attempt(**better), attempt(**worse)
    assert best([good, bad], many_partitions=asked) is good
    assert best([bad, good], many_partitions=asked) is good


def test_of_equals_the_first_is_taken_and_of_failures_none():
    first, second = attempt(), attempt()
    assert best([first, second], many_partitions=False) is first
    assert best([attempt(succeeded=False)], many_partitions=False) is None
