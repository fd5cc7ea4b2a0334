"""What `coralsmith verify` says: the verdict, how many layers are exact, and each one that is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from coralsmith.report import wording
from coralsmith.report.terminal_parts import findings, headline, pairs_table, safe, standard_output

if TYPE_CHECKING:
    from coralsmith.compiled.verification.report import (
        Difference,
        LayerVerdict,
        OperatorVerdict,
        Verdict,
        VerifyReport,
    )

_TITLES: Final[dict[Verdict, tuple[str, str]]] = {
    "match": ("Match", "green"),
    "mismatch": ("Mismatch: not compiled from this source", "red"),
    "unverified": ("Unverified: neither proved nor disproved", "yellow"),
}
_COLOURS: Final = {"exact": "green", "mismatch": "red", "unverified": "yellow"}
_SHOWN: Final = 8
_TOLD_ABOVE: Final = frozenset({"layer-mismatch", "layer-unverified", "operator-mismatch", "operator-unverified"})


def print_verification(report: VerifyReport, *, verbose: bool = False, console: Console | None = None) -> None:
    """The verdict on compiled files, with each layer that is not exact; all of them on demand."""
    console = console or standard_output()
    title, colour = _TITLES[report.verdict]
    headline(console, title, report.text, name=Path(report.source).name, colour=colour)
    pairs_table(console, _counts(report))
    verdicts: list[LayerVerdict | OperatorVerdict] = [*report.layers, *report.other_ops]
    for status, heading in (("mismatch", "Differ"), ("unverified", "Not verified"), ("exact", "Exact")):
        if status != "exact" or verbose:
            _list(console, heading, [one for one in verdicts if one.status == status], verbose=verbose)
    findings(console, (f for f in report.findings if f.rule not in _TOLD_ABOVE), verbose=verbose)


def _counts(report: VerifyReport) -> Iterator[tuple[str, ...]]:
    others = [other.status for other in report.other_ops]
    layers = (
        f"{report.layers_exact} of {report.layers_total} exact",
        _not_exact(report.layers_mismatched, report.layers_unverified),
    )
    yield ("Layers with weights", *layers)
    if others:
        counts = _not_exact(others.count("mismatch"), others.count("unverified"))
        yield ("Operators without weights", f"{others.count('exact')} of {len(others)} exact", counts)
    for number, account in enumerate(report.parameters, 1):
        rest = sum(remainder.bytes for remainder in account.remainders)
        unexplained = sum(r.bytes for r in account.remainders if r.what == "unexplained")
        remarks = [f"{wording.count(account.layers, 'layer')} {wording.size(account.layer_bytes)}"]
        if account.program == "EXECUTION_ONLY":
            remarks.append("streamed")
        if rest - unexplained:
            remarks.append(f"added by the compiler {wording.size(rest - unexplained)}")
        if unexplained:
            remarks.append(f"unexplained {wording.size(unexplained)}")
        name = f"Parameters {number}" if len(report.parameters) > 1 else "Parameters"
        yield (name, wording.size(account.bytes), ", ".join(remarks))


def _not_exact(mismatched: int, unverified: int) -> str:
    parts = (f"{mismatched} differ" if mismatched else "", f"{unverified} not verified" if unverified else "")
    return ", ".join(filter(None, parts))


def _list(
    console: Console, heading: str, verdicts: Sequence[LayerVerdict | OperatorVerdict], *, verbose: bool
) -> None:
    """Operators of one status: what they are, and what differs or why nothing is proved."""
    if not verdicts:
        return
    console.print(Text(f"\n{heading}", f"bold {_COLOURS[verdicts[0].status]}"))
    for verdict in verdicts if verbose else verdicts[:_SHOWN]:
        name = safe(console, wording.short_name(verdict.name))
        console.print(Padding(Text.assemble(f"{verdict.index:>3}  {verdict.kind}  ", name), (0, 0, 0, 2)))
        for line in _details(verdict, verbose=verbose):
            console.print(Padding(safe(console, line, "dim"), (0, 0, 0, 7), expand=False))
    if not verbose and len(verdicts) > _SHOWN:
        console.print(Text(f"  and {len(verdicts) - _SHOWN} more; --verbose tells.", "dim"))


def _details(verdict: LayerVerdict | OperatorVerdict, *, verbose: bool) -> Iterator[str]:
    if verdict.status != "exact":
        yield verdict.reason
        for difference in verdict.differences if verbose else verdict.differences[:2]:
            yield _difference(difference)
    place = _place(verdict)
    if verbose and place:
        yield place


def _difference(difference: Difference) -> str:
    """One value in both files, and where it is."""
    where = (
        f"output channel {difference.channel}" if difference.channel is not None else "",
        "tap {}, {}".format(*difference.tap) if difference.tap is not None else "",
        f"input channel {difference.input_channel}" if difference.input_channel is not None else "",
    )
    place = ", ".join(filter(None, where))
    more = f"; {difference.count:,} values differ" if difference.count > 1 else ""
    values = f"{difference.expected} in the source, {difference.found} compiled"
    return f"{difference.what}{f' at {place}' if place else ''}: {values}{more}"


def _place(verdict: LayerVerdict | OperatorVerdict) -> str:
    bundle = "" if verdict.bundle is None else f"constants in bundle {verdict.bundle:,}"
    offset = getattr(verdict, "offset", None)
    parameters = "" if offset is None else f"parameters at byte {offset:,}"
    return ", ".join(filter(None, (parameters, bundle)))
