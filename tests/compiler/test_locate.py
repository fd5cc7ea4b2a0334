"""The compiler is the one that the user named, or else the one on the PATH."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from coralsmith.compiler.locate import Compiler, find_compiler, manual_command
from coralsmith.errors import CompilerError, UsageError


@pytest.fixture(autouse=True)
def _no_compiler_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGETPU_COMPILER", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'empty'}:/usr/bin:/bin")


def test_auto_finds_nothing_where_there_is_nothing():
    assert find_compiler("auto") is None


def test_none_means_none_even_where_there_is_one(stand_in, monkeypatch):
    monkeypatch.setenv("EDGETPU_COMPILER", str(stand_in))
    assert find_compiler("none") is None


def test_the_search_order_is_option_then_environment_then_path(stand_in, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(stand_in.read_bytes())
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(stand_in.parent))
    assert find_compiler("auto") == Compiler(stand_in, "PATH")
    monkeypatch.setenv("EDGETPU_COMPILER", str(other))
    assert find_compiler("auto") == Compiler(other, "EDGETPU_COMPILER")
    assert find_compiler(str(stand_in)) == Compiler(stand_in, "option")


def test_the_version_is_asked_of_the_program(compiler):
    assert compiler.version == "16.0.384591198"


def test_another_program_is_not_taken_for_the_compiler():
    with pytest.raises(CompilerError, match="does not answer --version"):
        _ = find_compiler("/bin/true").version


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_named_compiler_that_is_missing_is_an_error(by, monkeypatch, tmp_path):
    missing = str(tmp_path / "nowhere")
    if by == "environment":
        monkeypatch.setenv("EDGETPU_COMPILER", missing)
    with pytest.raises(CompilerError, match="not there or may not be executed") as caught:
        find_compiler(missing if by == "option" else "auto")
    assert caught.value.exit_code == 3


def test_a_file_that_may_not_be_executed_is_not_a_compiler(tmp_path):
    (tmp_path / "edgetpu_compiler").write_text("")
    with pytest.raises(CompilerError):
        find_compiler(str(tmp_path / "edgetpu_compiler"))


@pytest.mark.parametrize("choice", ["docker:coral", "ssh:pi@coral"])
def test_remote_compilers_are_refused_with_the_command_to_run_by_hand(choice):
    with pytest.raises(UsageError, match="not there yet") as caught:
        find_compiler(choice)
    assert manual_command(Path("MODEL_int8.tflite"), choice) in caught.value.hint


def test_the_manual_command_runs_in_the_folder_of_the_model():
    assert manual_command(Path("out/bccd_int8.tflite")) == "cd out && edgetpu_compiler -s bccd_int8.tflite"
    assert manual_command(Path("bccd_int8.tflite")) == "edgetpu_compiler -s bccd_int8.tflite"


def test_the_manual_command_over_ssh_and_docker():
    assert manual_command(Path("m_int8.tflite"), "ssh:me@host") == (
        "scp m_int8.tflite me@host:model_int8.tflite"
        " && ssh me@host edgetpu_compiler -s model_int8.tflite"
        " && scp me@host:model_int8_edgetpu.tflite m_int8_edgetpu.tflite"
    )
    assert manual_command(Path("m_int8.tflite"), "docker:coral") == (
        'docker run --rm -v "$PWD":/model -w /model coral edgetpu_compiler -s m_int8.tflite'
    )


@pytest.mark.parametrize("name", ["plain.tflite", "with space.tflite", "it's $(odd); really.tflite"])
def test_a_shell_runs_the_manual_command_on_any_name(name, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / name).write_text("model")
    program = tmp_path / "edgetpu_compiler"
    program.write_text('#!/bin/sh\nfor last; do :; done\ncp "$last" "${last%.tflite}_edgetpu.tflite"\n')
    program.chmod(0o755)
    command = f"PATH={shlex.quote(str(tmp_path))}:$PATH; {manual_command(folder / name)}"
    subprocess.run(["sh", "-c", command], check=True)
    assert (folder / f"{Path(name).stem}_edgetpu.tflite").read_text() == "model"
