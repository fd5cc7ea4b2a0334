"""What `coralsmith doctor` may ask of a machine: a narrow door, so that recorded machines can stand in."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final, Protocol

from coralsmith.errors import MachineError

MAX_TEXT_BYTES: Final = 64 << 20  # dpkg's list of a large system has about 10 MB
_LIBRARY_SECONDS: Final = 20.0

# Runs in a process of its own: a library of another system or build may crash the process that loads it.
_ASK_LIBRARY: Final = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.edgetpu_version.restype = ctypes.c_char_p
print(library.edgetpu_version().decode())
"""


class Machine(Protocol):
    """A machine as far as the doctor looks at it. Paths are absolute, as on that machine."""

    @property
    def system(self) -> str:
        """Its operating system: "Linux", "Darwin" or "Windows"."""

    @property
    def processor(self) -> str:
        """The processor, e.g. "x86_64"."""

    @property
    def python(self) -> str:
        """The version of Python, e.g. "3.11.7"."""

    def entries(self, folder: str) -> list[str]:
        """Names in a folder, sorted; empty where there is no such folder."""

    def text(self, path: str) -> str | None:
        """A text file, or None where it cannot be read."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file or device."""

    def may_use(self, path: str) -> bool:
        """Whether this user may read and write a device."""

    def distribution(self, name: str) -> str | None:
        """The version of an installed Python distribution."""

    def library_version(self, path: str) -> str:
        """What the library's own `edgetpu_version()` says.

        Raises:
            MachineError: It cannot be loaded.
        """


class ThisMachine:
    """The machine that coralsmith runs on."""

    system = platform.system()
    processor = platform.machine()
    python = platform.python_version()

    def entries(self, folder: str) -> list[str]:
        """See `Machine.entries`."""
        try:
            return sorted(path.name for path in Path(folder).iterdir())
        except OSError:
            return []

    def text(self, path: str) -> str | None:
        """See `Machine.text`."""
        try:
            with Path(path).open("rb") as file:
                return file.read(MAX_TEXT_BYTES).decode("utf-8", "replace")
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        """See `Machine.exists`."""
        try:
            return Path(path).exists()
        except OSError:
            return False

    def may_use(self, path: str) -> bool:
        """See `Machine.may_use`."""
        return os.access(path, os.R_OK | os.W_OK)

    def distribution(self, name: str) -> str | None:
        """See `Machine.distribution`."""
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    def library_version(self, path: str) -> str:
        """See `Machine.library_version`."""
        command = [sys.executable, "-c", _ASK_LIBRARY, path]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LIBRARY_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise MachineError(f"'{path}' did not answer within {_LIBRARY_SECONDS:.0f} s.") from error
        if done.returncode < 0:
            raise MachineError(f"'{path}' crashes when it is loaded (signal {-done.returncode}).")
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise MachineError(f"'{path}' cannot be loaded: {reason[0]}.")
        return done.stdout.strip()
