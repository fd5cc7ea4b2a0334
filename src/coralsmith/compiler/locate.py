"""Where the Edge TPU compiler is: by argument, by environment variable, or on the PATH.

It is a closed program for x86-64 Linux that may not be redistributed, so coralsmith only ever looks for it.
"""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from coralsmith.compiler.log import parse_log
from coralsmith.compiler.process import run_bounded
from coralsmith.errors import CompilerError, UsageError

PROGRAM: Final = "edgetpu_compiler"
ENVIRONMENT_VARIABLE: Final = "EDGETPU_COMPILER"

_REMOTE: Final = ("docker:", "ssh:")
_VERSION_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Compiler:
    """An Edge TPU compiler on this machine.

    Attributes:
        path: The program, absolute.
        found_by: How it was found: "option", "EDGETPU_COMPILER" or "PATH".
    """

    path: Path
    found_by: str

    @cached_property
    def version(self) -> str:
        """What `edgetpu_compiler --version` says, e.g. "16.0.384591198".

        Raises:
            CompilerError: The program does not start, or answers like no Edge TPU compiler.
        """
        answer = run_bounded([str(self.path), "--version"], folder=Path("/"), timeout_s=_VERSION_SECONDS)
        version = parse_log(answer.stdout).version
        if answer.exit_code != 0 or version is None:
            raise CompilerError(
                f"{self.path} does not answer --version like an Edge TPU compiler.",
                hint=f"It said: {(answer.stdout + answer.stderr).strip()[:500] or 'nothing'}",
            )
        return version


def find_compiler(choice: str = "auto") -> Compiler | None:
    """Find the compiler that the user means.

    Args:
        choice: "auto" (environment variable EDGETPU_COMPILER, then PATH), "none", or a path or program name.

    Returns:
        The compiler; None for "none", and for "auto" where there is none.

    Raises:
        CompilerError: A compiler was named but is not there.
        UsageError: `docker:` and `ssh:` compilers, which coralsmith cannot drive yet.
    """
    if choice == "none":
        return None
    if choice.startswith(_REMOTE):
        by_hand = manual_command(Path("MODEL_int8.tflite"), choice)
        raise UsageError(
            f"Compiling through {choice!r} is not there yet.",
            hint=f"Convert with --compiler none, then run by hand:\n{by_hand}",
        )
    if choice != "auto":
        return Compiler(_executable(choice, "--compiler"), "option")
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Compiler(_executable(named, ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE)
    found = shutil.which(PROGRAM)
    return Compiler(Path(found).absolute(), "PATH") if found else None


def manual_command(model: Path, where: str = "auto") -> str:
    """The exact shell command that compiles a model where the compiler is.

    The compiler breaks on paths with spaces, so it is run inside the model's folder, on a plain copy if need be.

    Args:
        model: The int8 model.
        where: "auto" for this machine; "docker:IMAGE" or "ssh:[USER@]HOST" for others.

    Returns:
        One line for a POSIX shell.
    """
    kind, _, place = where.partition(":")
    name, output = model.name, f"{model.stem}_edgetpu.tflite"
    plain = shlex.quote(name) == name
    local = name if plain else "model_int8.tflite"
    if kind == "ssh":
        host = shlex.quote(place)
        steps = [
            f"scp {shlex.quote(name)} {host}:model_int8.tflite",
            f"ssh {host} {PROGRAM} -s model_int8.tflite",
            f"scp {host}:model_int8_edgetpu.tflite {shlex.quote(output)}",
        ]
    else:
        compiler = PROGRAM
        if kind == "docker":
            compiler = f'docker run --rm -v "$PWD":/model -w /model {shlex.quote(place)} {PROGRAM}'
        steps = [f"{compiler} -s {local}"]
        if not plain:
            steps.insert(0, f"cp {shlex.quote(name)} {local}")
            steps.append(f"mv model_int8_edgetpu.tflite {shlex.quote(output)}")
    if model.parent != Path():
        steps.insert(0, f"cd {shlex.quote(str(model.parent))}")
    return " && ".join(steps)


def _executable(name: str, named_by: str) -> Path:
    found = shutil.which(Path(name).expanduser())
    if found is None:
        raise CompilerError(
            f"{named_by} names {name!r}, which is not there or may not be executed.",
            hint=f"Give the path of {PROGRAM}, or leave it out to look on the PATH.",
        )
    return Path(found).absolute()
