"""`coralsmith convert` and `coralsmith compile` by a compiler wherever it is, as a user runs them.

The compiler is a stand-in: it hands out the int8 model with its operators replaced by a package of another model.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import coralsmith
from coralsmith import conversion_accuracy
from coralsmith.cli import main
from coralsmith.compiler.proof import prove_origin
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.errors import CompilerError
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import serialize_for_interpreter
from coralsmith.report.document import ConversionReport
from coralsmith.report.plain import to_document
from coralsmith.runtime.detector import Detector
from tests.compiler.breaking_stand_in import package_of, with_packages
from tests.compiler.conftest import Behave
from tests.runtime.stand_in_edgetpu import StandInEdgeTpu
from tests.test_evaluate_model import write_found
from tests.tiny_detector import tiny_detector, tiny_head, write_photos, write_tiny_detector

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_proof")]

CPU_STATUS = "Operation is working on an unsupported data type"


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> tuple[Path, Path, Path]:
    """The float detector, its photos, and the int8 model that convert makes of it."""
    folder = tmp_path_factory.mktemp("detector")
    model, photos = write_tiny_detector(folder), write_photos(folder / "photos")
    coralsmith.convert(model, photos, folder / "int8", compiler="none")
    return model, photos, folder / "int8" / "tiny_int8.tflite"


@pytest.fixture
def maps_the_detector(detector, pair, behave, tmp_path) -> Behave:
    """Let the stand-in map all of the detector but its last operator."""
    graph = read_tflite(detector[2])
    output = tmp_path / "as if compiled.tflite"
    package = package_of(pair / "model_edgetpu.tflite")
    output.write_bytes(serialize_for_interpreter(with_packages(graph, [(0, len(graph.ops) - 1)], package))[0])
    counts = Counter(op.kind for op in graph.ops[:-1])
    rows = [[kind, count, MAPPED] for kind, count in counts.items()] + [[graph.ops[-1].kind, 1, CPU_STATUS]]

    def choose(scenario: str, **variables: object) -> None:
        behave(scenario, rows=rows, output=output, **variables)

    return choose


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command_line(tmp_path, monkeypatch, capsys) -> Callable[..., Ended]:
    """The command line, run in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Ended:
        monkeypatch.setattr("sys.argv", ["coralsmith", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        return Ended(int(end.value.code or 0), shown.out, shown.err)

    return call


def test_convert_compiles_where_it_is_told(detector, maps_the_detector, stand_in, tmp_path):
    maps_the_detector("counted_success")
    model, photos, _ = detector
    report = coralsmith.convert(model, photos, tmp_path / "out", compiler=str(stand_in))
    assert report.verdict.status == "compiled"
    assert report.compiler.where == str(stand_in)
    assert report.compiler.unmapped == 1 and [a.step for a in report.compiler.attempts] == ["plain"]
    assert (tmp_path / "out" / "tiny_int8_edgetpu.tflite").is_file()
    assert "0 of its 0 layers were found in it" in report.verdict.text
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["compiler"]["attempts"] == to_document(report.compiler.attempts)
    coralsmith.convert(model, photos, tmp_path / "out", compiler=str(stand_in))
    assert len(list((stand_in.parent / "state").glob("run-*"))) == 1, "the second run takes the first one's result"
    coralsmith.convert(model, photos, tmp_path / "out", compiler=str(stand_in), resume=False)
    assert len(list((stand_in.parent / "state").glob("run-*"))) == 2


class TestTheCompiledModelInTheLedger:
    """With a stand-in for the Edge TPU, which computes what the int8 model of the same conversion computes."""

    @pytest.fixture
    def convert(
        self, detector, maps_the_detector, stand_in, tmp_path, monkeypatch
    ) -> Callable[..., ConversionReport]:
        maps_the_detector("counted_success")
        model, _, _ = detector
        data = write_found(tmp_path / "data", Detector(tiny_detector(), tiny_head()))
        others = write_photos(tmp_path / "others", 9)  # six of them are those of the data set

        def run(*, doubt: str = "", is_plugged_in: bool = True) -> ConversionReport:
            coralsmith.convert(model, others, tmp_path / "out", compiler="none", dataset=data)
            device = StandInEdgeTpu(read_tflite(tmp_path / "out" / "tiny_int8.tflite"), monkeypatch)
            device.is_plugged_in = is_plugged_in
            monkeypatch.setattr(conversion_accuracy, "reason_for_doubt", lambda _: doubt)
            return coralsmith.convert(model, others, tmp_path / "out", compiler=str(stand_in), dataset=data)

        return run

    def test_it_is_the_last_line_where_an_edge_tpu_is(self, convert, tmp_path):
        report = convert()
        assert [row.form for row in report.accuracy.ledger] == ["float", "int8", "edgetpu"]
        _, int8, compiled = report.accuracy.ledger
        assert compiled.name.endswith("tiny_int8_edgetpu.tflite")
        assert (compiled.ap, compiled.drop, compiled.agreement) == (int8.ap, int8.drop, int8.agreement)
        written = json.loads((tmp_path / "out" / "report.json").read_text())
        assert [row["form"] for row in written["accuracy"]["ledger"]] == ["float", "int8", "edgetpu"]
        assert "Measure accuracy on the Edge TPU" in {stage.name for stage in report.stages}

    @pytest.mark.parametrize(
        ("how", "reason"),
        [({"is_plugged_in": False}, "the stand-in is unplugged"), ({"doubt": "It may crash."}, "It may crash.")],
    )
    def test_where_it_cannot_be_measured_that_is_said_and_the_conversion_is_whole(self, convert, how, reason):
        report = convert(**how)
        assert [row.form for row in report.accuracy.ledger] == ["float", "int8"]
        (finding,) = (finding for finding in report.findings if finding.rule == "edgetpu-not-measured")
        assert reason in finding.reason and "coralsmith evaluate" in finding.fix
        assert report.verdict.status == "compiled"


@pytest.mark.slow
def test_convert_shows_the_attempts_that_it_took(detector, maps_the_detector, stand_in, tmp_path):
    maps_the_detector("fails_twice")
    model, photos, _ = detector
    report = coralsmith.convert(model, photos, tmp_path / "out", compiler=str(stand_in))
    assert [attempt.title for attempt in report.compiler.attempts] == ["as asked"] + ["as asked, again"] * 2
    assert "Every attempt to compile" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_convert_is_blocked_where_the_compiler_fails(detector, maps_the_detector, stand_in, tmp_path):
    maps_the_detector("says", says="Invalid model: m\nModel not quantized")
    model, photos, _ = detector
    report = coralsmith.convert(model, photos, tmp_path / "out", compiler=str(stand_in))
    assert report.verdict.status == "blocked"
    assert not (tmp_path / "out" / "tiny_int8_edgetpu.tflite").exists()


@pytest.mark.parametrize("place", ["ssh:nobody@nowhere.invalid", "podman:no/such:image", "/bin/false"])
def test_convert_says_at_once_that_a_compiler_cannot_be_reached(detector, place, tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("ssh", "podman"):
        (programs / name).write_text("#!/bin/sh\necho no way >&2\nexit 125\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    model, photos, _ = detector
    with pytest.raises(CompilerError):
        coralsmith.convert(model, photos, tmp_path / "out", compiler=place)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_broken_compiler_that_nobody_named_only_costs_the_compilation(detector, tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "edgetpu_compiler").write_text("#!/bin/sh\necho no such library >&2\nexit 127\n")
    (programs / "edgetpu_compiler").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    model, photos, _ = detector
    report = coralsmith.convert(model, photos, tmp_path / "out")
    assert report.verdict.status == "int8-ready"
    assert "does not answer" in report.verdict.text
    assert "compiler-unusable" in [finding.rule for finding in report.findings]


def test_the_command_shows_what_came_of_it(command_line, detector, maps_the_detector, stand_in, tmp_path):
    maps_the_detector("fails_twice")
    done = command_line("compile", detector[2], "--compiler", stand_in, "--out", "my out")
    assert done.returncode == 0, done.stderr
    assert "operators run on the Edge TPU" in done.stdout and "as asked, again" in done.stdout
    assert "attempt 3, as asked, again:" in done.stderr
    assert (tmp_path / "my out" / "tiny_int8_edgetpu.tflite").is_file()


def test_json_of_a_failure_is_one_document_with_the_attempts(
    command_line, detector, maps_the_detector, stand_in, tmp_path
):
    maps_the_detector("crash")
    done = command_line("compile", detector[2], "--compiler", stand_in, "--attempts", "2", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["model"]) == (1, None)
    assert [attempt["failure"] for attempt in document["attempts"]] == ["compiler-crash"] * 2


def test_several_models_are_only_compiled_together_when_asked(
    command_line, detector, maps_the_detector, stand_in, tmp_path
):
    maps_the_detector("several_models")
    other = tmp_path / "other.tflite"
    other.write_bytes(detector[2].read_bytes())
    arguments = ["compile", detector[2], other, "--compiler", stand_in, "--out", tmp_path / "out"]
    refused = command_line(*arguments)
    assert refused.returncode == 2 and "--together" in refused.stderr
    assert command_line(*arguments, "--together").returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tflite")) == [
        "other_edgetpu.tflite",
        "tiny_int8_edgetpu.tflite",
    ]


@pytest.mark.parametrize("content", [None, b"", b"\x1c\x00\x00\x00TFL3 and nothing behind it"])
def test_what_is_no_model_ends_with_2(command_line, content, stand_in, behave, tmp_path):
    behave("success")
    if content is not None:
        (tmp_path / "model.tflite").write_bytes(content)
    done = command_line("compile", "model.tflite", "--compiler", stand_in)
    assert done.returncode == 2 and done.stderr.startswith(("Error:", "[")) and "Traceback" not in done.stderr


def test_without_a_compiler_compile_ends_with_3_and_the_way_to_one(command_line, detector, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = command_line("compile", detector[2])
    assert done.returncode == 3
    assert "coralsmith doctor" in done.stderr and "edgetpu_compiler -s" in done.stderr


@pytest.mark.slow
def test_convert_does_not_take_what_was_made_from_another_model(
    detector, maps_the_detector, stand_in, tmp_path, monkeypatch
):
    monkeypatch.setattr("coralsmith.pipeline.prove_origin", prove_origin)
    maps_the_detector("success")
    model, photos, _ = detector
    report = coralsmith.convert(model, photos, tmp_path / "out", compiler=str(stand_in))
    assert report.verdict.status == "blocked"
    assert not (tmp_path / "out" / "tiny_int8_edgetpu.tflite").exists()
    assert report.compiler.origins[0].verdict == "mismatch"
