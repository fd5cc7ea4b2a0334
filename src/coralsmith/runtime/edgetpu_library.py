"""libedgetpu on a machine: where it is, which it is, and with which interpreters it is known to work."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal

from coralsmith.errors import MachineError
from coralsmith.runtime.edgetpu_delegate import LIBRARIES
from coralsmith.runtime.machine import Machine

PACKAGES: Final = ("libedgetpu1-std", "libedgetpu1-max")
"""Debian packages that hold the library; "max" runs the chip at its full clock, and hot."""

_DPKG_STATUS: Final = "/var/lib/dpkg/status"
_FOLDERS: Final = {
    "Linux": (
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib/arm-linux-gnueabihf",
        "/usr/lib64",
        "/usr/lib",
    ),
    "Darwin": ("/usr/local/lib", "/opt/homebrew/lib", "/opt/local/lib"),
    "Windows": ("C:/Windows/System32",),
}
_RUNTIME_VERSION: Final = re.compile(r"RuntimeVersion\((\d+)\)")


@dataclass(frozen=True)
class Library:
    """An installed libedgetpu.

    Attributes:
        path: The file.
        package: The Debian package that brought it, e.g. "libedgetpu1-std", where one did.
        version: That package's version without its Debian revision, e.g. "16.0tf2.19.1"; "16.0" is Google's own
            build, against TensorFlow 2.5.
        runtime: The runtime version by which compiled models say what they need, 10 to 14; None where the library
            could not be loaded.
        trouble: Why it could not be loaded.
    """

    path: str
    package: str | None
    version: str | None
    runtime: int | None
    trouble: str = ""


@dataclass(frozen=True)
class Pair:
    """A libedgetpu and an interpreter that somebody ran together.

    Attributes:
        library: As `Library.version`.
        interpreter: Name of the interpreter's Python distribution.
        first: First version of the interpreter of which it is known.
        before: First version of which it is not known; None for all later ones.
        works: Whether they work together; else the process crashes or the model is refused.
        evidence: Who says so.
    """

    library: str
    interpreter: str
    first: str
    before: str | None
    works: bool
    evidence: str


@cache
def known_pairs() -> tuple[Pair, ...]:
    """What is known of pairs; an unlisted pair is unknown, not well."""
    text = files("coralsmith.runtime").joinpath("pairs.json").read_text("utf-8")
    return tuple(Pair(**entry) for entry in json.loads(text))


def judge_pair(
    library: str | None, interpreter: str, version: str
) -> tuple[Literal["ok", "fail", "unknown"], str]:
    """Whether a library works with an interpreter, and who says so.

    Args:
        library: As `Library.version`.
        interpreter: Name of the interpreter's Python distribution.
        version: Its version.
    """
    for pair in known_pairs():
        inside = _numbers(pair.first) <= _numbers(version)
        inside &= pair.before is None or _numbers(version) < _numbers(pair.before)
        if inside and (pair.library, pair.interpreter) == (library, interpreter):
            return ("ok" if pair.works else "fail"), pair.evidence
    return "unknown", ""


def reason_for_doubt(machine: Machine, interpreter: str = "ai-edge-litert") -> str:
    """Why a compiled model is not run without being asked for; empty where the installed pair is known to work.

    A library and an interpreter that do not fit crash the process at the first inference.
    """
    library, version = find_library(machine), machine.distribution(interpreter)
    if library is None or version is None:
        return "libedgetpu is not installed." if library is None else f"{interpreter} is not installed."
    state, _ = judge_pair(library.version, interpreter, version)
    both = f"libedgetpu {library.version or 'of unknown origin'} with {interpreter} {version}"
    told = {"ok": "", "fail": "are known to crash.", "unknown": "may crash: nobody is known to have tried them."}
    return told[state] and f"{both} {told[state]}"


def find_library(machine: Machine) -> Library | None:
    """The libedgetpu that a program on this machine would load."""
    places = (f"{folder}/{LIBRARIES[machine.system]}" for folder in _FOLDERS.get(machine.system, ()))
    path = next(filter(machine.exists, places), None)
    if path is None:
        return None
    package, version = _debian_package(machine)
    try:
        told = _RUNTIME_VERSION.search(machine.library_version(path))
    except MachineError as error:
        return Library(path, package, version, None, error.message)
    runtime = int(told[1]) if told else None
    return Library(path, package, version, runtime, "" if told else "it does not tell its runtime version")


def _debian_package(machine: Machine) -> tuple[str | None, str | None]:
    for paragraph in (machine.text(_DPKG_STATUS) or "").split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if ": " in line[1:] and line[0] != " "
        )
        if fields.get("Package") in PACKAGES and fields.get("Status", "").endswith(" installed"):
            return fields["Package"], fields.get("Version", "").rpartition("-")[0] or fields.get("Version")
    return None, None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
