"""The stand-in compiler as an executable file, and a way to choose what it does."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coralsmith.compiler.local import LocalCompiler
from coralsmith.compiler.proof import Origin
from coralsmith.compiler.run import Compilation, compile_model

SOURCE = Path(__file__).with_name("stand_in_compiler.py")


@pytest.fixture(autouse=True)
def _no_memory_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stand-in hands out never gets into the cache of the user who runs the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache of the user"))
    monkeypatch.delenv("EDGETPU_COMPILER", raising=False)


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """The stand-in as a program; its behaviour is in a file beside it, so that it needs no inherited variables."""
    program = tmp_path / "bin" / "edgetpu_compiler"
    program.parent.mkdir()
    write_stand_in(program)
    return program


# The version and the scenario "hang" (with a child, as version 16 has one) are answered by the shell, in no time.
_LAUNCHER = """#!/bin/sh
. {folder}/behaviour
test "$*" = --version && echo "Edge TPU Compiler version ${{STAND_IN_VERSION:-16.0.384591198}}" && exit
if test "$STAND_IN_SCENARIO" = hang; then
    sleep 600 &
    echo $! >{folder}/state/child
    pwd >{folder}/state/started
    wait
fi
exec "{python}" -I -S "{source}" "$@"
"""


def write_stand_in(program: Path) -> None:
    program.write_text(_LAUNCHER.format(folder=program.parent, python=sys.executable, source=SOURCE), "utf-8")
    program.chmod(0o755)
    program.with_name("behaviour").write_text("", "utf-8")
    program.with_name("state").mkdir(exist_ok=True)


@pytest.fixture
def compiler(stand_in: Path) -> LocalCompiler:
    return LocalCompiler(stand_in, "option")


@pytest.fixture
def pair(shared: Path) -> Path:
    """A published pair whose every operator is on the Edge TPU: 2 QUANTIZE, 1 FULLY_CONNECTED."""
    return shared / "edgetpu" / "pairs" / "libredge__dense_256"


@pytest.fixture
def partial_pair(shared: Path) -> Path:
    """A published pair with its log, whose first QUANTIZE stays on the CPU."""
    return shared / "edgetpu" / "pairs" / "jorgi__N32-nMACs41287680_quant"


Behave = Callable[..., None]


@pytest.fixture
def behave(stand_in: Path, pair: Path) -> Behave:
    """Choose what the stand-in does from now on."""
    return behaviour_of(stand_in, pair)


def behaviour_of(program: Path, pair: Path) -> Behave:
    def choose(scenario: str, *, rows: list[list[object]] | None = None, **variables: object) -> None:
        settings = {
            "STAND_IN_SCENARIO": scenario,
            "STAND_IN_OUTPUT": pair / "model_edgetpu.tflite",
            "STAND_IN_STATE": program.with_name("state"),
            **({} if rows is None else {"STAND_IN_ROWS": json.dumps(rows)}),
            **{f"STAND_IN_{name.upper()}": value for name, value in variables.items()},
        }
        lines = (f"export {name}={shlex.quote(str(value))}\n" for name, value in settings.items())
        program.with_name("behaviour").write_text("".join(lines), "utf-8")

    return choose


@pytest.fixture
def run(compiler, pair, tmp_path, behave) -> Callable[..., Compilation]:
    """Compile the pair's source by the stand-in in a given scenario, once unless asked otherwise."""

    def compile_in(scenario: str, *, variables: dict[str, object] | None = None, **options) -> Compilation:
        behave(scenario, **(variables or {}))
        options = {"attempts": 1, **options}
        return compile_model(pair / "model.tflite", compiler, tmp_path / "out", **options)

    return compile_in


def errors(compilation: Compilation) -> list[str]:
    return [finding.rule for finding in compilation.findings if finding.severity == "error"]


@pytest.fixture
def no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take what the stand-in hands out in place of a detector, though it was made from another model."""
    for module in ("api", "pipeline"):
        monkeypatch.setattr(f"coralsmith.{module}.prove_origin", lambda source, files: Origin("unverified", 0, 0))
