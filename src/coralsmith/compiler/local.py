"""The Edge TPU compiler as a program of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from coralsmith.compiler.log import LogReader
from coralsmith.compiler.place import Execution, Identity, ask_version, is_plain
from coralsmith.compiler.process import run_bounded
from coralsmith.errors import CompilerError

_LINK: Final = "compiler"


@dataclass(frozen=True)
class LocalCompiler:
    """A compiler on this machine.

    Attributes:
        path: The program, absolute.
        found_by: How it was found: "option", "EDGETPU_COMPILER" or "PATH".
    """

    path: Path
    found_by: str

    @property
    def name(self) -> str:
        """The path of the program."""
        return str(self.path)

    @cached_property
    def identity(self) -> Identity:
        """Version, and hash of the program file (of a Debian package that is its launcher)."""
        version = ask_version(self)
        try:
            with self.path.open("rb") as stream:
                return Identity(version, hashlib.file_digest(stream, "sha256").hexdigest())
        except OSError as error:
            raise CompilerError(f"{self.path} cannot be read: {error.strerror}.") from error

    def execute(self, folder: Path, arguments: Sequence[str], timeout_s: float) -> Execution:
        """Run it in the folder; see `Compiler.execute`."""
        command = (str(self._program(folder)), *arguments)
        reader = LogReader()
        ended = run_bounded(command, folder=folder, timeout_s=timeout_s, take=reader.feed)
        return Execution(
            command, ended.exit_code, ended.stdout, ended.stderr, tuple(reader.blocks()), ended.seconds
        )

    def _program(self, folder: Path) -> Path:
        """The program's path, through a link where its launcher would break on the true one."""
        if is_plain(self.path):
            return self.path
        link = folder / _LINK
        if not link.is_symlink():
            link.symlink_to(self.path.parent, target_is_directory=True)
        return link / self.path.name
