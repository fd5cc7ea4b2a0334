"""The compiler is the one that the user named, or else the one on the PATH."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from coralsmith.compiler.container import ContainerCompiler
from coralsmith.compiler.local import LocalCompiler
from coralsmith.compiler.locate import find_compiler, manual_command
from coralsmith.compiler.remote import RemoteCompiler
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
    assert find_compiler("auto") == LocalCompiler(stand_in, "PATH")
    monkeypatch.setenv("EDGETPU_COMPILER", str(other))
    assert find_compiler("auto") == LocalCompiler(other, "EDGETPU_COMPILER")
    assert find_compiler(str(stand_in)) == LocalCompiler(stand_in, "option")


def test_the_version_is_asked_of_the_program(compiler):
    assert (compiler.identity.version, compiler.identity.major) == ("16.0.384591198", 16)


def test_programs_of_one_version_are_still_told_apart(compiler, stand_in, tmp_path):
    other = tmp_path / "other" / "edgetpu_compiler"
    other.parent.mkdir()
    other.write_bytes(stand_in.read_bytes() + b"# patched\n")
    other.chmod(0o755)
    assert LocalCompiler(other, "option").identity.version == compiler.identity.version
    assert LocalCompiler(other, "option").identity != compiler.identity


def test_another_program_is_not_taken_for_the_compiler():
    with pytest.raises(CompilerError, match="does not answer --version"):
        _ = find_compiler("/bin/true").identity


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_named_compiler_that_is_missing_is_an_error(by, monkeypatch, tmp_path):
    missing = str(tmp_path / "nowhere")
    if by == "environment":
        monkeypatch.setenv("EDGETPU_COMPILER", missing)
    with pytest.raises(CompilerError, match="not there or may not be executed") as caught:
        find_compiler(missing if by == "option" else "auto")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "name", ["./edgetpu_compiler", "edgetpu_compiler", "../bin/edgetpu_compiler", "~/bin/edgetpu_compiler"]
)
def test_a_relative_path_and_the_home_folder_work(name, stand_in, tmp_path, monkeypatch):
    monkeypatch.chdir(stand_in.parent)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = find_compiler(name)
    assert found.path.is_absolute() and found.path.samefile(stand_in)


def test_a_program_on_the_path_comes_before_one_in_this_folder(stand_in, tmp_path, monkeypatch):
    (tmp_path / "edgetpu_compiler").write_bytes(b"another")
    (tmp_path / "edgetpu_compiler").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(stand_in.parent))
    assert find_compiler("edgetpu_compiler").path == stand_in


def test_a_file_that_may_not_be_executed_is_not_a_compiler(tmp_path):
    (tmp_path / "edgetpu_compiler").write_text("")
    with pytest.raises(CompilerError):
        find_compiler(str(tmp_path / "edgetpu_compiler"))


def program(folder: Path, name: str) -> None:
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """An empty PATH, to be filled by a test."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.parametrize(
    "host", ["coral", "pi@coral", "DOMAIN\\me@coral.lan", "//pi@coral:2222", "pi@[fe80::1%eth0]"]
)
@pytest.mark.parametrize("by", ["option", "EDGETPU_COMPILER"])
def test_another_machine_is_named_by_its_host(host, by, programs, monkeypatch):
    program(programs, "ssh")
    monkeypatch.setenv("EDGETPU_COMPILER", f"ssh:{host}")
    found = find_compiler(f"ssh:{host}" if by == "option" else "auto")
    assert found == RemoteCompiler(host, by)
    assert found.name == f"ssh:{host}"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "-oProxyCommand=touch pwned",
        "me@-oProxyCommand=x",
        "-l",
        "a b",
        "a;b",
        "$(touch pwned)",
        "a`b`",
        "a'b",
        "a\nb",
    ],
)
def test_a_host_that_could_be_an_option_or_a_command_is_refused(host, programs):
    program(programs, "ssh")
    with pytest.raises(UsageError, match="not a host"):
        find_compiler(f"ssh:{host}")


@pytest.mark.parametrize("image", ["", "-v", "--privileged", "a b", "a;b", "$(x)", "a\nb", "/etc"])
def test_an_image_that_could_be_an_option_is_refused(image, programs):
    program(programs, "docker")
    with pytest.raises(UsageError, match="not the name"):
        find_compiler(f"docker:{image}")


def test_podman_stands_in_for_docker_but_not_the_other_way_round(programs):
    with pytest.raises(CompilerError, match="Neither docker nor podman"):
        find_compiler("docker:edgetpu:16")
    program(programs, "podman")
    assert find_compiler("docker:edgetpu:16") == ContainerCompiler("podman", "edgetpu:16", "option")
    program(programs, "docker")
    assert find_compiler("docker:edgetpu:16") == ContainerCompiler("docker", "edgetpu:16", "option")
    assert find_compiler("podman:edgetpu:16") == ContainerCompiler("podman", "edgetpu:16", "option")


def test_another_machine_needs_ssh(programs):
    with pytest.raises(CompilerError, match="no ssh"):
        find_compiler("ssh:coral")


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
