"""What `coralsmith bundle` says: the files, and what was checked of how their host reads the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from coralsmith.findings import Finding

SCHEMA: Final = "coralsmith/bundle/1"

Verdict = Literal["pass", "fail", "unverified"]


@dataclass(frozen=True)
class BundleCheck:
    """One thing that was checked.

    Attributes:
        name: What, in a few words.
        verdict: ``pass``, ``fail``, or ``unverified`` where it could not be looked at or proves nothing.
        detail: What was found, with numbers.
    """

    name: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class BundledFile:
    """One file of a bundle: its path in it, size in bytes and SHA-256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class BundleReport:
    """What `coralsmith bundle --json` prints.

    Attributes:
        model: The model that was bundled.
        target: Whom the bundle is for.
        compiled: Whether the model is compiled for the Edge TPU; if not, it runs on a CPU.
        verdict: The gravest of the checks; with ``fail`` nothing is written.
        checks: What was checked.
        images: Images that the model was run on.
        detections: Detections that were compared, as the host shows them.
        rows: All rows of the outputs that were compared, low scores included.
        output: The folder or zip file.
        files: What is in it.
        findings: What is worth knowing, the gravest first.
        schema: Name and version of this document.
    """

    model: str
    target: str
    compiled: bool
    verdict: Verdict
    checks: tuple[BundleCheck, ...]
    images: int
    detections: int
    rows: int
    output: Path
    files: tuple[BundledFile, ...]
    findings: tuple[Finding, ...]
    schema: str = field(default=SCHEMA)


def gravest(checks: tuple[BundleCheck, ...]) -> Verdict:
    """The verdict of several checks: that of the worst one."""
    verdicts = {check.verdict for check in checks}
    return "fail" if "fail" in verdicts else "unverified" if "unverified" in verdicts else "pass"
