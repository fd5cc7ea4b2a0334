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

FORMS: Final = {"source": "source", "float": "float", "int8": "int8", "edgetpu": "Edge TPU"}
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
                ("AP", precision(report.ap), f"95 % interval {interval(report.ap_interval)}"),
                ("AP50", precision(report.ap50), "overlap at least 0.50"),
                ("AP75", precision(report.ap75), "overlap at least 0.75"),
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
            safe(console, f"  {FORMS[row.form]}"),
            precision(row.ap),
            precision(row.ap50),
            signed(row.drop),
            interval(row.drop_interval, signed=True),
            precision(row.agreement),
        )
    console.print(table)


def precision(value: float | None) -> str:
    """An average precision, 0 to 1: ".523"."""
    return "" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """A drop of average precision with its sign, "+0.0012"."""
    return "" if value is None else f"{value:+.4f}"


def interval(ends: tuple[float, float] | None, *, signed: bool = False) -> str:
    """The two ends of an interval."""
    if ends is None:
        return ""
    low, high = ends
    return f"{low:+.4f} to {high:+.4f}" if signed else f"{low:.3f} to {high:.3f}"


def _headline(report: EvaluationReport) -> tuple[str, str]:
    images = wording.count(report.images, "image")
    if report.ap is None:
        assert report.agreement is not None, "without labels there is an agreement"
        agreed = report.agreement
        return (
            f"Agreement {agreed.ap:.3f}",
            f"AP against {wording.count(agreed.objects, 'detection')} of the other model in {images}; "
            f"95 % interval {interval(agreed.ap_interval)}",
        )
    text = f"{images} of {report.data}; 95 % interval {interval(report.ap_interval)}"
    if report.drop is not None and report.against is not None:
        text += f"\n{signed(report.drop)} lost against {report.against.model}, "
        text += f"95 % interval {interval(report.drop_interval, signed=True)}"
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
    cells = [str(score.objects), precision(score.ap), precision(score.ap50)]
    return cells if other is None else [*cells, precision(other.ap)]
