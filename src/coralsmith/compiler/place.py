"""What all places where the Edge TPU compiler can run have in common: one interface, one result, own folders."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from coralsmith.compiler.log import CompileResult, parse_log
from coralsmith.errors import CompilerError

PROGRAM: Final = "edgetpu_compiler"
OUTPUT_FOLDER: Final = "out"
VERSION_ARGUMENTS: Final = ("--version",)
VERSION_SECONDS: Final = 60.0

# The launcher breaks on paths with spaces, and container engines give meaning to other characters.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._/@=+-]+")


@dataclass(frozen=True)
class Execution:
    """How one run of the compiler ended, wherever it ran.

    Attributes:
        command: What was run, in a private folder.
        exit_code: Its exit code; negative is the signal that ended it; None where the time limit did.
        stdout: Standard output, its middle left out where it is very long.
        stderr: Standard error, likewise.
        blocks: All of standard output, read while it came.
        seconds: Wall time, transfers included.
    """

    command: tuple[str, ...]
    exit_code: int | None
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    blocks: tuple[CompileResult, ...] = field(repr=False)
    seconds: float


@dataclass(frozen=True)
class Identity:
    """Which compiler it is: two with the same identity are taken to compile alike.

    Attributes:
        version: What it calls itself, e.g. "16.0.384591198".
        fingerprint: Hash of its program file or image.
    """

    version: str
    fingerprint: str

    @property
    def major(self) -> int:
        """The first number of the version; 0 where it is none."""
        first = self.version.partition(".")[0]
        return int(first) if first.isascii() and first.isdigit() else 0


class Compiler(Protocol):
    """An Edge TPU compiler somewhere.

    Attributes:
        found_by: How it was found: "option", "EDGETPU_COMPILER" or "PATH".
    """

    @property
    def found_by(self) -> str:
        """How it was found."""

    @property
    def name(self) -> str:
        """How the user names it: a path, "docker:IMAGE", "ssh:HOST"."""

    @property
    def identity(self) -> Identity:
        """Which compiler it is; asked once.

        Raises:
            CompilerError: It cannot be reached or started, or is no Edge TPU compiler.
        """

    def execute(self, folder: Path, arguments: Sequence[str], timeout_s: float) -> Execution:
        """Run the compiler on the files of a folder.

        Args:
            folder: A folder from `work_folder`, with the models; the arguments name files in it.
            arguments: The compiler's arguments; no shell ever interprets them.
            timeout_s: Seconds before the compiler and its children are killed.

        Returns:
            How it ended. Its files lie in the folder `OUTPUT_FOLDER` inside `folder`.

        Raises:
            CompilerError: The place cannot be reached, or the compiler cannot be started there.
        """


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only the caller may enter, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="coralsmith-", dir=_plain_folder()) as name:
        yield Path(name)


def work_folder(parent: Path) -> Path:
    """A fresh folder for one run of the compiler, with an empty output folder, in a folder of its own.

    Without an output folder the compiler ends with an internal error (google-coral/edgetpu #400).
    """
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent)) / "work"
    (folder / OUTPUT_FOLDER).mkdir(parents=True)
    return folder


def is_plain(path: Path) -> bool:
    """Whether a path has no character that the compiler's launcher or a container engine could misread."""
    return _PLAIN.fullmatch(str(path)) is not None


def ask_version(compiler: Compiler, seconds: float = VERSION_SECONDS) -> str:
    """What `edgetpu_compiler --version` says within some seconds.

    Raises:
        CompilerError: It does not start, or answers like no Edge TPU compiler.
    """
    with private_folder() as parent:
        answer = compiler.execute(work_folder(parent), VERSION_ARGUMENTS, seconds)
    return version_in(answer, compiler.name)


def version_in(answer: Execution, name: str) -> str:
    """The version in an answer to `--version`.

    Raises:
        CompilerError: It is not the answer of an Edge TPU compiler.
    """
    version = parse_log(answer.stdout).version
    if answer.exit_code != 0 or version is None:
        said = (answer.stdout + answer.stderr).strip()[:500] or "nothing"
        raise CompilerError(
            f"{name} does not answer --version like an Edge TPU compiler.", hint=f"It said: {said}"
        )
    return version


def _plain_folder() -> str | None:
    """Where temporary folders go: where the system says, unless that path is one the compiler would break on."""
    usual = Path(tempfile.gettempdir())
    fallback = Path("/tmp")  # a folder of a random name that only the user may enter is made in it
    return None if is_plain(usual) or not fallback.is_dir() else str(fallback)
