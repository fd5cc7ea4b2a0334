"""Only a result about which everything agrees becomes a file named as a compiled model."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from coralsmith.compiler.locate import Compiler
from coralsmith.compiler.run import Compilation, compile_model
from coralsmith.errors import CompilerError, InputError, OutputError


@pytest.fixture
def pair(shared: Path) -> Path:
    return shared / "edgetpu" / "pairs" / "libredge__dense_256"


@pytest.fixture
def run(compiler, pair, tmp_path, monkeypatch):
    """Compile the pair's source by the stand-in in a given scenario."""

    def compile_in(scenario: str, **options) -> Compilation:
        monkeypatch.setenv("STAND_IN_SCENARIO", scenario)
        monkeypatch.setenv("STAND_IN_OUTPUT", str(pair / "model_edgetpu.tflite"))
        return compile_model(pair / "model.tflite", compiler, tmp_path / "out", **options)

    return compile_in


def errors(compilation: Compilation) -> list[str]:
    return [finding.rule for finding in compilation.findings if finding.severity == "error"]


def test_a_success_keeps_the_compilers_own_bytes(run, pair, tmp_path):
    compilation = run("success")
    assert compilation.succeeded and compilation.findings == []
    assert compilation.model == tmp_path / "out" / "model_edgetpu.tflite"
    assert compilation.model.read_bytes() == (pair / "model_edgetpu.tflite").read_bytes()
    assert "Mapped to Edge TPU" in compilation.log.read_text()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model_edgetpu.tflite", "model_edgetpu.log"}


def test_memory_lines_come_from_standard_output_and_the_table_from_the_log(run):
    result = run("success").result
    assert (result.mapped, result.operations_total, result.subgraphs) == (3, 3, 1)
    assert result.on_chip_used_bytes == 66 * 1024
    assert result.streamed_bytes == 0


def test_the_compiler_never_sees_a_name_with_a_space(run, compiler, pair, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_SCENARIO", "success")
    monkeypatch.setenv("STAND_IN_OUTPUT", str(pair / "model_edgetpu.tflite"))
    model = tmp_path / "my model; $(touch pwned).tflite"
    model.write_bytes((pair / "model.tflite").read_bytes())
    compilation = compile_model(model, compiler, tmp_path / "my out")
    assert compilation.model == tmp_path / "my out" / "my model; $(touch pwned)_edgetpu.tflite"
    assert not list(tmp_path.rglob("pwned"))


def test_the_minimum_runtime_is_handed_on(run):
    assert run("success", min_runtime=13).command[2:4] == ("-m", "13")
    assert "-m" not in run("success").command


@pytest.mark.parametrize(
    ("scenario", "rule"),
    [
        ("zero_mapped", "nothing-mapped"),
        ("no_custom_operator", "no-custom-operator"),
        ("stub", "stub-output"),
        ("refused", "operation-version"),
        ("crash", "unknown-compiler-failure"),
        ("silent", "unknown-compiler-failure"),
        ("garbage", "unknown-compiler-failure"),
    ],
)
def test_a_failure_leaves_no_file_and_says_why(run, tmp_path, scenario, rule):
    compilation = run(scenario)
    assert not compilation.succeeded
    assert errors(compilation) == [rule]
    assert not (tmp_path / "out").exists()


def test_zero_mapped_also_explains_the_statuses(run):
    findings = run("zero_mapped").findings
    assert [finding.rule for finding in findings] == [
        "nothing-mapped",
        "unsupported-data-type",
        "unsupported-data-type",
    ]


def test_a_failure_leaves_an_older_result_alone(run, tmp_path):
    before = run("success").model.read_bytes()
    assert not run("crash").succeeded
    assert (tmp_path / "out" / "model_edgetpu.tflite").read_bytes() == before


def test_a_hang_ends_at_the_time_limit_with_all_its_children(run, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_CHILD", str(tmp_path / "child"))
    compilation = run("hang", timeout_s=1.0)
    assert errors(compilation) == ["compiler-timeout"]
    assert compilation.seconds < 20
    assert _ends(int((tmp_path / "child").read_text()))


def test_output_without_end_is_bounded(run):
    compilation = run("garbage")
    assert len(compilation.stdout) < 5 * 1024 * 1024
    assert "bytes left out" in compilation.stdout


def test_a_missing_program_is_an_environment_error(pair, tmp_path):
    with pytest.raises(CompilerError, match="cannot be started"):
        compile_model(pair / "model.tflite", Compiler(tmp_path / "nowhere", "option"), tmp_path)


def test_a_missing_model_is_an_input_error(compiler, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        compile_model(tmp_path / "nothing.tflite", compiler, tmp_path)


def test_a_folder_that_cannot_be_made_is_an_output_error(compiler, pair, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_SCENARIO", "success")
    monkeypatch.setenv("STAND_IN_OUTPUT", str(pair / "model_edgetpu.tflite"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        compile_model(pair / "model.tflite", compiler, tmp_path / "file" / "out")


def _ends(pid: int) -> bool:
    """Whether a process is gone, or dead and waiting to be reaped, within a few seconds."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
