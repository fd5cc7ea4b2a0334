"""`coralsmith doctor` says where the compiler is, which it is and whether it works; else how to get one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from coralsmith.cli import main
from coralsmith.compat.check import check_graph
from coralsmith.compiler.doctor import examine_compiler, how_to_get_it
from coralsmith.compiler.probe_model import probe_model
from coralsmith.doctor import examine
from coralsmith.graph.executor import Executor
from coralsmith.graph.reader import parse_tflite
from coralsmith.graph.writer import serialize, serialize_for_interpreter
from tests.compiler.breaking_stand_in import package_of, with_packages
from tests.runtime.recorded_machine import GOOGLE, LIBRARY, RecordedMachine, debian_package, usb_device

NODE = "/dev/bus/usb/002/004"
WELL = RecordedMachine(
    debian_package("libedgetpu1-std", "16.0tf2.19.1-1") | usb_device("2-1", "18d1", "9302", 2, 4, "5000"),
    {NODE},
    {"ai-edge-litert": "2.2.0"},
    {LIBRARY: GOOGLE},
)


@pytest.fixture(autouse=True)
def _no_compiler_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{tmp_path / 'empty'}:/usr/bin:/bin")


@pytest.fixture
def works(behave, pair, tmp_path):
    """Let the stand-in compile the probe: it hands out one custom operator in place of the convolution."""
    package = package_of(pair / "model_edgetpu.tflite")
    output = tmp_path / "probe_edgetpu.tflite"
    output.write_bytes(serialize_for_interpreter(with_packages(probe_model(), [(0, 1)], package))[0])

    def choose(**variables) -> None:
        behave("success", rows=[["CONV_2D", 1, "Mapped to Edge TPU"]], output=output, **variables)

    return choose


def states(choice: str) -> list[tuple[str, str]]:
    return [(fact.name, fact.state) for fact in examine_compiler(choice)]


# The model of one convolution.


def test_the_probe_is_a_model_that_the_edge_tpu_takes():
    graph = probe_model()
    graph.verify("probe")
    report = check_graph(graph)
    assert (report.ops_edgetpu, report.ops_total, report.is_refused) == (1, 1, False)


def test_the_probe_is_the_same_every_time_and_runs():
    content = serialize(probe_model())
    assert content == serialize(probe_model())
    graph = parse_tflite(content)
    (result,) = Executor(graph).run(np.random.default_rng(0).integers(-128, 128, (1, 16, 16, 3), np.int8))
    assert result.shape == (1, 16, 16, 16) and len(np.unique(result)) > 10


# What is said.


def test_a_compiler_that_works(stand_in, works):
    works()
    facts = examine_compiler(str(stand_in))
    assert [(fact.name, fact.state) for fact in facts] == [("found", "ok"), ("version", "ok"), ("works", "ok")]
    assert facts[0].value == f"{stand_in} (by option)"
    assert facts[1].value == "16.0.384591198" and facts[1].fix == ""
    assert "one convolution compiles" in facts[2].value


def test_an_older_version_is_advised_against(stand_in, works):
    works(version="14.1.317412892")
    (version,) = [fact for fact in examine_compiler(str(stand_in)) if fact.name == "version"]
    assert (version.state, version.value) == ("ok", "14.1.317412892")
    assert "Version 16" in version.fix


def test_a_compiler_that_does_not_compile(stand_in, behave):
    behave("crash")
    works = examine_compiler(str(stand_in))[-1]
    assert (works.name, works.state) == ("works", "fail")
    assert "crashed" in works.value and works.fix


def test_a_program_that_is_no_compiler():
    assert states("/bin/true") == [("found", "ok"), ("version", "fail"), ("works", "unknown")]


@pytest.mark.parametrize("choice", ["auto", "/nowhere/edgetpu_compiler", "ssh:-oProxyCommand=x", "podman:-v"])
def test_no_compiler_comes_with_the_steps_to_one(choice):
    found, *others = examine_compiler(choice)
    assert found.state == "fail" and how_to_get_it() in found.fix
    assert [fact.state for fact in others] == ["unknown", "unknown"]


@pytest.mark.parametrize(
    ("system", "machine", "words"),
    [
        ("Linux", "x86_64", ["dpkg -i", "EDGETPU_COMPILER", "docker build", "ssh:USER@HOST"]),
        ("Linux", "aarch64", ["another processor", "binfmt", "docker build", "ssh:USER@HOST"]),
        ("Darwin", "arm64", ["macOS", "Rosetta", "docker build", "ssh:USER@HOST"]),
        ("Windows", "AMD64", ["WSL 2", "docker build", "ssh:USER@HOST"]),
    ],
)
def test_every_operating_system_has_its_steps(system, machine, words):
    steps = how_to_get_it(system, machine)
    assert [word for word in words if word not in steps] == []


def test_the_dockerfile_that_the_steps_name_is_there(request):
    assert (request.config.rootpath / "docs" / "compiler" / "Dockerfile").is_file()
    assert "docs/compiler" in how_to_get_it("Linux", "x86_64")


def test_an_examination_is_well_only_if_nothing_failed(stand_in, works):
    works()
    assert examine(str(stand_in), machine=WELL).is_well
    assert not examine("/nowhere", machine=WELL).is_well
    assert not examine(str(stand_in), machine=RecordedMachine()).is_well


def test_the_command_ends_with_3_where_something_is_missing(stand_in, works, monkeypatch, capsys):
    def doctor(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr("sys.argv", ["coralsmith", "doctor", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr().out

    code, shown = doctor("--json")
    assert code == 3
    assert json.loads(shown)["schema"] == "coralsmith/doctor/1"
    works()
    monkeypatch.setattr("coralsmith.doctor.ThisMachine", lambda: WELL)
    code, shown = doctor("--compiler", str(stand_in))
    assert code in (0, None)
    assert "compiler works: a model of one convolution compiles" in shown
