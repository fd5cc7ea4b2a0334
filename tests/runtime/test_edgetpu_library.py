"""libedgetpu is found with its version, and an unlisted pair with an interpreter is unknown."""

from __future__ import annotations

import sys

import pytest

from coralsmith.errors import MachineError
from coralsmith.runtime.edgetpu_library import find_library, judge_pair, known_pairs, reason_for_doubt
from coralsmith.runtime.machine import ThisMachine
from tests.runtime.recorded_machine import GOOGLE, LIBRARY, RecordedMachine, debian_package


def test_no_library():
    assert find_library(RecordedMachine()) is None


def test_the_package_and_the_runtime_version_are_told():
    files = debian_package("libedgetpu1-std", "16.0tf2.19.1-1")
    library = find_library(RecordedMachine(files, libraries={LIBRARY: GOOGLE}))
    assert library is not None
    assert (library.path, library.package, library.version) == (LIBRARY, "libedgetpu1-std", "16.0tf2.19.1")
    assert library.runtime == 14 and not library.trouble


def test_googles_own_package_has_no_revision():
    files = debian_package("libedgetpu1-max", "16.0")
    library = find_library(RecordedMachine(files, libraries={LIBRARY: GOOGLE}))
    assert library is not None and library.version == "16.0"


def test_a_removed_package_brought_nothing():
    files = debian_package("libedgetpu1-std", "16.0")
    files = {
        path: text.replace("install ok installed", "deinstall ok config-files") for path, text in files.items()
    }
    library = find_library(RecordedMachine(files, libraries={LIBRARY: GOOGLE}))
    assert library is not None and (library.package, library.version) == (None, None)


def test_a_library_that_does_not_load_says_why():
    library = find_library(RecordedMachine(libraries={LIBRARY: ""}))
    assert library is not None and library.runtime is None
    assert "libusb-1.0.so.0" in library.trouble


@pytest.mark.parametrize(
    ("library", "interpreter", "version", "state"),
    [
        ("16.0tf2.19.1", "ai-edge-litert", "2.2.0", "ok"),
        ("16.0tf2.19.1", "ai-edge-litert", "2.3.0", "unknown"),
        ("16.0", "ai-edge-litert", "2.3.0", "fail"),
        ("16.0", "tflite-runtime", "2.5.0.post1", "ok"),
        ("16.0", "tflite-runtime", "2.14.0", "fail"),
        ("16.0", "tflite-runtime", "2.8.0", "unknown"),
        ("16.0tf2.17.1", "tflite-runtime", "2.17.1", "ok"),
        (None, "ai-edge-litert", "2.2.0", "unknown"),
    ],
)
def test_pairs(library, interpreter, version, state):
    found, evidence = judge_pair(library, interpreter, version)
    assert found == state
    assert bool(evidence) == (state != "unknown")


@pytest.mark.parametrize(
    ("version", "interpreter", "doubt"),
    [
        ("16.0tf2.19.1-1", "2.2.0", ""),
        ("16.0", "2.2.0", "are known to crash"),
        ("17.0-1", "2.2.0", "may crash: nobody is known to have tried them"),
    ],
)
def test_only_a_pair_that_is_known_to_work_is_run_without_being_asked_for(version, interpreter, doubt):
    machine = RecordedMachine(
        debian_package("libedgetpu1-std", version),
        distributions={"ai-edge-litert": interpreter},
        libraries={LIBRARY: GOOGLE},
    )
    found = reason_for_doubt(machine)
    assert doubt in found and bool(found) == bool(doubt)


def test_what_is_not_installed_is_told():
    assert reason_for_doubt(RecordedMachine()) == "libedgetpu is not installed."
    machine = RecordedMachine(
        debian_package("libedgetpu1-std", "16.0"), distributions={}, libraries={LIBRARY: GOOGLE}
    )
    assert reason_for_doubt(machine) == "ai-edge-litert is not installed."


def test_every_pair_says_who_says_so():
    assert all(pair.evidence.startswith(("documented:", "measured:")) for pair in known_pairs())


def test_a_file_that_is_no_library_is_told_without_a_crash(tmp_path):
    path = tmp_path / "libedgetpu.so.1"
    path.write_text("no library")
    with pytest.raises(MachineError, match="cannot be loaded"):
        ThisMachine().library_version(str(path))


@pytest.mark.skipif(sys.platform != "linux", reason="names a library of Linux")
def test_another_library_is_told_apart():
    with pytest.raises(MachineError, match="edgetpu_version"):
        ThisMachine().library_version("libc.so.6")
