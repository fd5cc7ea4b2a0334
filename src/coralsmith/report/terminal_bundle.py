"""What `coralsmith bundle` says: the verdict, what was checked, what is worth knowing, the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from coralsmith.report import wording
from coralsmith.report.terminal_parts import findings, headline, labelled, pairs_table, standard_output

if TYPE_CHECKING:
    from coralsmith.deploy.record import BundleReport, Verdict

_TITLES: Final[dict[Verdict, str]] = {
    "pass": "Bundled for {target}, reading checked",
    "unverified": "Bundled for {target}; its reading is not verified",
    "fail": "Not bundled: {target} would misread this model",
}
_COLOURS: Final[dict[Verdict, str]] = {"pass": "green", "unverified": "yellow", "fail": "red"}
_TARGETS: Final = {"frigate": "Frigate", "pycoral": "pycoral", "plain": "programs of your own"}


def print_bundle(report: BundleReport, *, verbose: bool = False, console: Console | None = None) -> None:
    """The result of `coralsmith bundle`."""
    console = console or standard_output()
    title = _TITLES[report.verdict].format(target=_TARGETS[report.target])
    text = "compiled for the Edge TPU" if report.compiled else "NOT compiled for the Edge TPU: runs on the CPU"
    headline(console, title, text, name=Path(report.model).name, colour=_COLOURS[report.verdict])
    pairs_table(console, ((check.verdict, check.name, check.detail) for check in report.checks))
    findings(console, report.findings, verbose=verbose)
    if report.files:
        console.print(labelled(console, "\nWritten to ", report.output), soft_wrap=True)
        pairs_table(console, ((file.name, wording.size(file.bytes)) for file in report.files))
        console.print(labelled(console, "\nNext: ", "README.txt in it tells the steps."))
