"""A compiler in a container: what the engine is told, what the container may do, and what is left of it.

Engine and compiler are stand-ins; where a real engine answers, one real container runs too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coralsmith.compiler.container import ContainerCompiler
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.run import compile_model
from coralsmith.errors import CompilerError
from tests.compiler.conftest import behaviour_of, errors, write_stand_in
from tests.compiler.test_run import ends

pytestmark = pytest.mark.slow

ENGINE = Path(__file__).with_name("stand_in_engine.py")
IMAGE = "my/edgetpu:16"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Where the stand-in engine keeps its records; Docker and Podman on the PATH are that engine."""
    home = tmp_path / "engine"
    (home / "bin").mkdir(parents=True)
    write_stand_in(home / "bin" / "edgetpu_compiler")
    (home / "image").write_text(IMAGE)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("docker", "podman"):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{ENGINE}" "{home}" "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return home


@pytest.fixture
def behave(home, pair):
    return behaviour_of(home / "bin" / "edgetpu_compiler", pair)


def calls(home: Path) -> list[list[str]]:
    return [json.loads(line) for line in (home / "calls").read_text().splitlines()]


def compile_in(image: str, pair: Path, out: Path, *, engine: str = "docker", **options):
    options = {"attempts": 1, **options}
    return compile_model(pair / "model.tflite", ContainerCompiler(engine, image, "option"), out, **options)


def test_the_container_gives_the_compilers_own_bytes(home, behave, pair, tmp_path):
    behave("success")
    compilation = compile_in(IMAGE, pair, tmp_path / "out")
    assert compilation.succeeded and compilation.findings == []
    assert compilation.model.read_bytes() == (pair / "model_edgetpu.tflite").read_bytes()
    assert compilation.compiler == f"docker:{IMAGE}"


def test_the_engine_is_told_exactly_this(home, behave, pair, tmp_path, monkeypatch):
    behave("success")
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "getgid", lambda: 1001)
    monkeypatch.setattr("coralsmith.compiler.container._SELINUX", tmp_path / "none")
    compile_in(IMAGE, pair, tmp_path / "out", options=CompilerOptions(cut=("a;b", "$(c)")))
    version, inspection, run = calls(home)
    name, folder = run[3], run[run.index("--volume") + 1].removesuffix(":/work")
    assert run == [
        *("run", "--rm", "--name", name, "--platform", "linux/amd64", "--network", "none"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "512"),
        *("--read-only", "--tmpfs", "/tmp", "--volume", f"{folder}:/work", "--workdir", "/work"),
        *("--user", "1000:1001", "--entrypoint", "edgetpu_compiler", IMAGE),
        *("-s", "-i", "a;b,$(c)", "-t", "600", "-o", "out", "model.tflite"),
    ]
    assert name.startswith("coralsmith-") and name != version[3]
    assert Path(folder).name == "work" and not Path(folder).exists()
    assert version[-2:] == [IMAGE, "--version"]
    assert inspection == ["image", "inspect", "--format", "{{.Id}}", IMAGE]


@pytest.mark.parametrize(
    ("engine", "uid", "kept"), [("podman", 1000, True), ("podman", 0, False), ("docker", 1000, False)]
)
def test_rootless_podman_keeps_the_callers_id(home, behave, pair, tmp_path, monkeypatch, engine, uid, kept):
    behave("success")
    monkeypatch.setattr(os, "getuid", lambda: uid)
    assert compile_in(IMAGE, pair, tmp_path / "out", engine=engine).succeeded
    assert ("keep-id" in calls(home)[-1]) == kept


def test_selinux_needs_a_label(home, behave, pair, tmp_path, monkeypatch):
    behave("success")
    (tmp_path / "enforce").write_text("1")
    monkeypatch.setattr("coralsmith.compiler.container._SELINUX", tmp_path / "enforce")
    assert compile_in(IMAGE, pair, tmp_path / "out").succeeded
    run = calls(home)[-1]
    assert run[run.index("--volume") + 1].endswith(":/work:Z")


def test_an_image_is_known_by_its_own_hash(home, behave):
    behave("success", version="15.0.340273435")
    identity = ContainerCompiler("docker", IMAGE, "option").identity
    assert (identity.version, identity.fingerprint) == ("15.0.340273435", "sha256:0123abcd")


@pytest.mark.slow
def test_a_hang_ends_with_its_container(home, behave, pair, tmp_path):
    behave("hang")
    compilation = compile_in(IMAGE, pair, tmp_path / "out", timeout_s=4.0)
    assert errors(compilation) == ["compiler-timeout"]
    run, removal = calls(home)[-2:]
    assert removal == ["rm", "--force", run[3]]
    assert ends(int((home / run[3]).read_text()))
    assert ends(int((home / "bin" / "state" / "child").read_text()))


@pytest.mark.parametrize(
    ("scenario", "rule"), [("killed_half_way", "compiler-killed"), ("crash", "compiler-crash")]
)
def test_signals_inside_the_container_are_recognised(home, behave, pair, tmp_path, scenario, rule):
    behave(scenario)
    assert errors(compile_in(IMAGE, pair, tmp_path / "out")) == [rule]


@pytest.mark.parametrize(
    ("code", "said", "fix"),
    [
        (125, "Cannot connect to the Docker daemon. Is it running?", "hello-world"),
        (126, "permission denied", "may not be executed"),
        (127, "exec: edgetpu_compiler: not found in $PATH", "docs/compiler.md"),
    ],
)
def test_failures_of_the_engine_are_not_the_compilers(home, pair, tmp_path, code, said, fix):
    (home / "failure").write_text(f"{code} {said}")
    with pytest.raises(CompilerError, match="docker cannot start the compiler") as caught:
        compile_in(IMAGE, pair, tmp_path / "out")
    assert said in caught.value.hint and fix in caught.value.hint
    assert caught.value.exit_code == 3


IN_THE_CONTAINER = """#!/bin/busybox sh
test "$1" = --version && echo "Edge TPU Compiler version 16.0.1" && exit
touch /intruder 2>/dev/null && echo "wrote outside of its folder"
ls /sys/class/net
cp /output out/model_edgetpu.tflite
cat /table
"""


@pytest.fixture
def real_image(pair, tmp_path) -> Iterator[ContainerCompiler]:
    """A stand-in compiler in an image of a real engine."""
    engine = next((name for name in ("docker", "podman") if _answers(name)), None)
    busybox = shutil.which("busybox")
    if engine is None or busybox is None:
        pytest.skip("neither Docker nor Podman answers on this machine, or there is no busybox for an image")
    folder = tmp_path / "image"
    folder.mkdir()
    shutil.copyfile(busybox, folder / "busybox")
    shutil.copyfile(pair / "model_edgetpu.tflite", folder / "output")
    (folder / "edgetpu_compiler").write_text(IN_THE_CONTAINER)
    (folder / "table").write_text(
        "Number of Edge TPU subgraphs: 1\n\nOperator   Count   Status\n\n"
        "QUANTIZE   2   Mapped to Edge TPU\nFULLY_CONNECTED   1   Mapped to Edge TPU\n"
    )
    for path in folder.iterdir():
        path.chmod(0o755)
    copies = "COPY busybox edgetpu_compiler /bin/\nCOPY output table /\n"
    (folder / "Dockerfile").write_text(f"FROM scratch\n{copies}ENV PATH=/bin\n")
    tag = f"coralsmith-test:{os.getpid()}"
    subprocess.run([engine, "build", "-q", "-t", tag, folder], check=True, capture_output=True)
    try:
        plain = [engine, "run", "--rm", tag, "edgetpu_compiler", "--version"]
        if subprocess.run(plain, capture_output=True, check=False).returncode != 0:
            pytest.skip(f"{engine} can run no containers on this machine")
        yield ContainerCompiler(engine, tag, "option")
    finally:
        subprocess.run([engine, "rmi", "-f", tag], check=False, capture_output=True)


@pytest.mark.slow
def test_a_real_engine_runs_it_in_a_cell(real_image, pair, tmp_path):
    compilation = compile_model(pair / "model.tflite", real_image, tmp_path / "out", attempts=1)
    assert compilation.succeeded, compilation.findings
    assert compilation.model.read_bytes() == (pair / "model_edgetpu.tflite").read_bytes()
    assert compilation.result.unrecognised == ["lo"]  # no network but its own, and nothing written elsewhere


def _answers(engine: str) -> bool:
    if shutil.which(engine) is None:
        return False
    return subprocess.run([engine, "version"], capture_output=True, timeout=30, check=False).returncode == 0
