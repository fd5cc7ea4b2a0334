"""What `coralsmith evaluate` says, and the accuracy ledger wherever it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coralsmith.report import wording
from coralsmith.report.terminal_parts import findings, headline, pairs_table, safe, standard_output

if TYPE_CHECKING:
    from coralsmith.evaluation.document import EvaluationReport
    from coralsmith.evaluation.evaluate import ClassScore
    from coralsmith.evaluation.ledger import LedgerRow
    from coralsmith.report.accuracy import GateRecord

_CLASSES_SHOWN: Final = 12


def print_evaluation(report: EvaluationReport, *, verbose: bool = False, console: Console | None = None) -> None:
    """The numbers of a model, beside those of the others."""
    console = console or standard_output()
    title, text = _headline(report)
    headline(console, title, text, name=report.model, colour="cyan")
    if len(report.ledger) > 1:
        ledger_table(console, report.ledger)
    else:
        pairs_table(
            console,
            [
                ("AP", wording.precision(report.ap), f"95 % interval {wording.interval(report.ap_interval)}"),
                ("AP50", wording.precision(report.ap50), "overlap at least 0.50"),
                ("AP75", wording.precision(report.ap75), "overlap at least 0.75"),
            ],
        )
    if report.per_class:
        console.print()
        _class_table(console, report, verbose=verbose)
    findings(console, report.findings, verbose=verbose)


def ledger_table(console: Console, rows: Sequence[LedgerRow]) -> None:
    """One line for each form of the model; drops and agreement are against the first."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("  Form", "AP", "AP50", "Drop", "95 % interval", "Agreement"):
        table.add_column(title, justify="left" if title == "  Form" else "right", overflow="fold")
    for row in rows:
        table.add_row(
            safe(console, f"  {wording.FORMS[row.form]}"),
            wording.precision(row.ap),
            wording.precision(row.ap50),
            wording.drop(row.drop),
            wording.drop_interval(row.drop_interval),
            wording.precision(row.agreement),
        )
    console.print(table)


def gate_lines(console: Console, gate: GateRecord) -> None:
    """What each way to quantize gave and cost."""
    console.print(Text("Ways to quantize", "bold"))
    rows = []
    for rung in gate.rungs:
        if rung.skipped:
            rows.append((rung.name, "not tried", rung.skipped))
            continue
        outcome = "inside" if rung.passed else "outside"
        taken = ", taken" if rung.name == gate.chosen else ""
        interval = wording.drop_interval(rung.drop_interval)
        rows.append(
            (rung.name, wording.drop(rung.drop), f"{interval}, {wording.duration(rung.seconds)}: {outcome}{taken}")
        )
    pairs_table(console, rows)


def _headline(report: EvaluationReport) -> tuple[str, str]:
    images = wording.count(report.images, "image")
    if report.ap is None:
        assert report.agreement is not None, "without labels there is an agreement"
        agreed = report.agreement
        return (
            f"Agreement {agreed.ap:.3f}",
            f"AP against {wording.count(agreed.objects, 'detection')} of the other model in {images}; "
            f"95 % interval {wording.interval(agreed.ap_interval)}",
        )
    data = report.data if report.split is None else f"{report.data}, split {report.split}"
    text = f"{images} of {data}; 95 % interval {wording.interval(report.ap_interval)}"
    if report.drop is not None and report.against is not None:
        text += f"\n{wording.drop(report.drop)} lost against {report.against.model}, "
        text += f"95 % interval {wording.drop_interval(report.drop_interval)}"
    return f"AP {report.ap:.3f}", text


def _class_table(console: Console, report: EvaluationReport, *, verbose: bool) -> None:
    """AP of each class, those with most objects first; beside it the other model's."""
    other = report.against.per_class if report.against else {}
    ordered = sorted(report.per_class.items(), key=lambda item: -item[1].objects)
    present = [(label, score) for label, score in ordered if score.objects]
    shown = present if verbose else present[:_CLASSES_SHOWN]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("  Class", overflow="fold")
    for title in ("Objects", "AP", "AP50", *(["Reference AP"] if other else [])):
        table.add_column(title, justify="right")
    for label, score in shown:
        table.add_row(safe(console, f"  {label}"), *_cells(score, other.get(label)))
    console.print(table)
    if len(shown) < len(present):
        console.print(Text(f"  and {len(present) - len(shown)} more classes; --verbose tells.", "dim"))


def _cells(score: ClassScore, other: ClassScore | None) -> list[str]:
    cells = [str(score.objects), wording.precision(score.ap), wording.precision(score.ap50)]
    return cells if other is None else [*cells, wording.precision(other.ap)]
