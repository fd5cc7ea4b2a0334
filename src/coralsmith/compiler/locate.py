"""Where the Edge TPU compiler is: by argument, by environment variable, or on the PATH.

It is a closed program for x86-64 Linux that may not be redistributed, so coralsmith only ever looks for it: on
this machine, in a container image that the user built, or on another machine.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Final

from coralsmith.compiler.container import ENGINES, find_container
from coralsmith.compiler.local import LocalCompiler
from coralsmith.compiler.place import PROGRAM, Compiler
from coralsmith.compiler.remote import find_remote
from coralsmith.errors import CompilerError
from coralsmith.findings import Finding

ENVIRONMENT_VARIABLE: Final = "EDGETPU_COMPILER"
COMPILER_UNUSABLE: Final = "compiler-unusable"


def find_compiler(choice: str = "auto") -> Compiler | None:
    """Find the compiler that the user means; no other machine is asked yet.

    Args:
        choice: "auto" (environment variable EDGETPU_COMPILER, then PATH), "none", a path or program name,
            "docker:IMAGE", "podman:IMAGE" or "ssh:[USER@]HOST". The variable takes the same forms.

    Returns:
        The compiler; None for "none", and for "auto" where there is none.

    Raises:
        CompilerError: A compiler was named but is not there.
        UsageError: The name of an image or a host is none.
    """
    if choice == "none":
        return None
    if choice != "auto":
        return _named(choice, "option", "--compiler")
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return _named(named, ENVIRONMENT_VARIABLE, ENVIRONMENT_VARIABLE)
    found = shutil.which(PROGRAM)
    return LocalCompiler(Path(found).absolute(), "PATH") if found else None


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


def _named(choice: str, found_by: str, named_by: str) -> Compiler:
    kind, separator, place = choice.partition(":")
    if separator and kind == "ssh":
        return find_remote(place, found_by)
    if separator and kind in ENGINES:
        return find_container(kind, place, found_by)
    return LocalCompiler(_executable(choice, named_by), found_by)


def _executable(name: str, named_by: str) -> Path:
    path = Path(name).expanduser()
    found = (shutil.which(name) if path.name == name else None) or shutil.which(path.absolute())
    if found is None:
        raise CompilerError(
            f"{named_by} names {name!r}, which is not there or may not be executed.",
            hint=f"Give the path of {PROGRAM}, docker:IMAGE or ssh:HOST; `coralsmith doctor` tells how to get it.",
        )
    return Path(found).absolute()


def reachable_compiler(choice: str) -> tuple[Compiler | None, Finding | None]:
    """The compiler, asked at once whether it answers, which is no news for the end of a long run.

    Raises:
        CompilerError: One was named, and does not answer.
    """
    compiler = find_compiler(choice)
    if compiler is None:
        return None, None
    try:
        _ = compiler.identity
    except CompilerError as error:
        if compiler.found_by != "PATH":
            raise
        return None, Finding(COMPILER_UNUSABLE, "warning", error.message, error.hint, evidence="compiler output")
    return compiler, None
