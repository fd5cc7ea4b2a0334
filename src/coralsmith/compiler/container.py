"""The Edge TPU compiler inside an image that the user built: by Docker or Podman, without network or rights.

The container sees one private folder and nothing else of the machine. docs/compiler.md tells how to build the
image.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from coralsmith.compiler.log import LogReader
from coralsmith.compiler.place import OUTPUT_FOLDER, PROGRAM, Execution, Identity, ask_version
from coralsmith.compiler.process import ProcessResult, run_bounded
from coralsmith.errors import CompilerError, UsageError

ENGINES: Final = ("docker", "podman")

_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_MOUNT: Final = "/work"
_PLATFORM: Final = "linux/amd64"  # the compiler exists for x86-64 only; elsewhere the engine emulates it
_ENGINE_SECONDS: Final = 60.0
_FETCH_SECONDS: Final = 900.0
_SELINUX: Final = Path("/sys/fs/selinux/enforce")

_NOT_REACHED: Final = "Is the engine running, and may you use it? `{engine} run --rm hello-world` tells."
_REMEDIES: Final = {
    125: _NOT_REACHED,
    126: f"{PROGRAM} in the image may not be executed.",
    127: f"The image has no {PROGRAM} on its PATH; docs/compiler.md tells how to build one that has.",
}


@dataclass(frozen=True)
class ContainerCompiler:
    """A compiler in a container image.

    Attributes:
        engine: "docker" or "podman", found on the PATH.
        image: Name of the image, of which `edgetpu_compiler` is on the PATH.
        found_by: How it was found.
    """

    engine: str
    image: str
    found_by: str

    @property
    def name(self) -> str:
        """As the user names it."""
        return f"{self.engine}:{self.image}"

    @cached_property
    def identity(self) -> Identity:
        """Version, and the hash that the engine gives the image."""
        version = ask_version(self, _FETCH_SECONDS)  # first, since it fetches an image that is not there yet
        command = (self.engine, "image", "inspect", "--format", "{{.Id}}", self.image)
        answer = run_bounded(command, folder=Path.cwd(), timeout_s=_ENGINE_SECONDS)
        if answer.exit_code != 0:
            raise CompilerError(f"{self.engine} does not know the image {self.image}.", hint=_said(answer))
        return Identity(version, answer.stdout.strip())

    def execute(self, folder: Path, arguments: Sequence[str], timeout_s: float) -> Execution:
        """Run it on a folder that is all the container sees; see `Compiler.execute`."""
        container = f"coralsmith-{secrets.token_hex(8)}"
        _open_to_container(folder)
        command = (*self._command(folder, container), *arguments)
        reader = LogReader()
        ended: ProcessResult | None = None
        try:
            ended = run_bounded(command, folder=folder, timeout_s=timeout_s, take=reader.feed)
        finally:
            if (
                ended is None or ended.exit_code is None
            ):  # killing the engine's client leaves the container running
                self._remove(container)
        self._require_started(ended)
        exit_code = ended.exit_code if ended.exit_code is None or ended.exit_code < 129 else 128 - ended.exit_code
        return Execution(command, exit_code, ended.stdout, ended.stderr, tuple(reader.blocks()), ended.seconds)

    def _command(self, folder: Path, container: str) -> tuple[str, ...]:
        label = ":Z" if _SELINUX.exists() else ""
        limits = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "512")
        places = ("--read-only", "--tmpfs", "/tmp", "--volume", f"{folder}:{_MOUNT}{label}", "--workdir", _MOUNT)
        return (
            *(self.engine, "run", "--rm", "--name", container, "--platform", _PLATFORM, "--network", "none"),
            *limits,
            *places,
            *self._user(),
            *("--entrypoint", PROGRAM, self.image),
        )

    def _user(self) -> tuple[str, ...]:
        """The container's user is the caller, so that the results belong to the caller."""
        if sys.platform == "win32":
            return ()
        user = ("--user", f"{os.getuid()}:{os.getgid()}")
        return ("--userns", "keep-id", *user) if self.engine == "podman" and os.getuid() else user

    def _remove(self, container: str) -> None:
        with contextlib.suppress(CompilerError):
            run_bounded((self.engine, "rm", "--force", container), folder=Path.cwd(), timeout_s=_ENGINE_SECONDS)

    def _require_started(self, ended: ProcessResult) -> None:
        """Tell the engine's own failures from the compiler's.

        Raises:
            CompilerError: The engine could not start the compiler.
        """
        if ended.exit_code in _REMEDIES:
            hint = f"{_said(ended)} {_REMEDIES[ended.exit_code].format(engine=self.engine)}"
            raise CompilerError(f"{self.engine} cannot start the compiler in {self.image}.", hint=hint)


def find_container(kind: str, image: str, found_by: str) -> ContainerCompiler:
    """The compiler in an image.

    Args:
        kind: "docker", which Podman may stand in for, or "podman".
        image: Name of the image.
        found_by: How it was found.

    Raises:
        UsageError: This can be no image's name.
        CompilerError: No engine is installed.
    """
    if _IMAGE.fullmatch(image) is None:
        raise UsageError(
            f"{image!r} is not the name of a container image.", hint=f"Write {kind}:IMAGE or {kind}:IMAGE:TAG."
        )
    engines = ENGINES if kind == "docker" else ("podman",)
    for engine in engines:
        if shutil.which(engine) is not None:
            return ContainerCompiler(engine, image, found_by)
    raise CompilerError(
        f"Neither {' nor '.join(engines)} is on the PATH." if len(engines) > 1 else f"{kind} is not on the PATH.",
        hint="Install Docker or Podman, or name a compiler on another machine: --compiler ssh:HOST.",
    )


def _open_to_container(folder: Path) -> None:
    """Let whatever user the engine maps to write here; the private folder around it keeps everybody else out."""
    for path in (folder, folder / OUTPUT_FOLDER):
        path.chmod(0o777)


def _said(answer: ProcessResult) -> str:
    lines = (answer.stderr or answer.stdout).strip().splitlines()
    return " ".join(lines[-4:])[:600] or "It said nothing."
