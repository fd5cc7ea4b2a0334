"""A bundle in the making: its files, what its host does with them, and what is worth knowing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np

from coralsmith.deploy.deployable import plain_pixels
from coralsmith.deploy.record import BundleCheck
from coralsmith.deploy.replay import Detecting, Host, Pixels
from coralsmith.detection.detections import Detections
from coralsmith.findings import Finding
from coralsmith.graph.interpreter import load_interpreter

_PROGRAMS: Final = "device"


@dataclass(frozen=True, eq=False)
class Bundle:
    """The files of a bundle by their path in it.

    Attributes:
        files: Contents by path.
        host: Who runs the model, for the replay.
        checks: What was checked of the files themselves.
        findings: What is worth knowing.
    """

    files: Mapping[str, bytes]
    host: Host
    checks: tuple[BundleCheck, ...]
    findings: tuple[Finding, ...]


def program(name: str) -> str:
    """The text of a program for the device."""
    return (files("coralsmith.deploy") / _PROGRAMS / name).read_text("utf-8")


def label_check(host: str, read: Mapping[int, str], labels: Sequence[str]) -> BundleCheck:
    """Whether a host that reads the label file names every class as coralsmith does."""
    name = f"{host} reads the labels"
    wrong = [(number, label) for number, label in enumerate(labels) if read.get(number) != label]
    if wrong:
        number, label = wrong[0]
        return BundleCheck(name, "fail", f"class {number} is '{label}', read as '{read.get(number)}'")
    return BundleCheck(name, "pass", f"{len(labels)} in all, the first is class 0")


def opened(content: bytes, read: Any) -> Detecting:
    """A model's file on the interpreter, fed with plain pixels and read by `read(interpreter)`."""
    interpreter = load_interpreter(content)
    image = interpreter.get_input_details()[0]

    def detect(pixels: Pixels) -> Detections:
        interpreter.set_tensor(image["index"], plain_pixels(pixels[None], np.dtype(image["dtype"])))
        interpreter.invoke()
        found: Detections = read(interpreter)
        return found

    return detect
