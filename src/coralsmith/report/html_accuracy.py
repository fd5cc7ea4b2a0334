"""The part of the page about accuracy on labelled images: the ledger, the gate, the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from coralsmith.evaluation.ledger import LedgerRow
from coralsmith.report import wording
from coralsmith.report.accuracy import AccuracyRecord, ClassLoss, GateRecord, RungRecord
from coralsmith.report.document import ConversionReport
from coralsmith.report.html_elements import (
    Markup,
    bar,
    basis_chip,
    chip,
    details,
    element,
    facts,
    joined,
    row,
    section,
    table,
)

_CLASSES_SHOWN: Final = 12


def accuracy_section(report: ConversionReport) -> Markup | None:
    """Average precision of all forms; None where there were no labelled images."""
    record = report.accuracy
    if record is None:
        return None
    lead = (
        "Average precision on labelled images, all forms on the same images and decoded alike. Intervals are 95 % "
        "bootstrap intervals over images; those of drops are paired."
    )
    return section(
        "accuracy",
        "Accuracy",
        _ledger(record.ledger),
        _gate(record.gate) if record.gate else None,
        _classes(record.classes),
        _conditions(record),
        lead=lead,
    )


def _ledger(rows: Sequence[LedgerRow]) -> Markup:
    head = ("Form", "AP", "Interval", "AP50", "Drop", "Interval of the drop", "Agreement")
    title = element("h3", "Ledger ", basis_chip("measured"))
    return joined(title, table(head, map(_form, rows), caption="Accuracy of each form", classes="ledger"))


def _form(entry: LedgerRow) -> Markup:
    return row(
        element("th", wording.FORMS[entry.form], " ", element("small", entry.name), scope="row"),
        _precision(entry.ap),
        _figure(wording.interval(entry.ap_interval)),
        _figure(wording.precision(entry.ap50)),
        _figure(wording.drop(entry.drop)),
        _figure(wording.drop_interval(entry.drop_interval)),
        _figure(wording.precision(entry.agreement)),
    )


def _gate(gate: GateRecord) -> Markup:
    which = "the upper end of its interval" if gate.strict else "it"
    verdict = "passed" if gate.passed else "not passed"
    text = f"AP may drop by {gate.max_ap_drop:g}; {which} is held against that. "
    text += f"Taken: {gate.chosen}." if gate.passed else f"Nothing stays inside; {gate.chosen} loses least."
    head = ("Way", "Drop", "Interval", "Agreement", "Time", "")
    return joined(
        element("h3", "Gate ", chip(verdict, "edgetpu" if gate.passed else "error")),
        element("p", text),
        table(head, (_rung(rung, gate) for rung in gate.rungs), caption="Ways to quantize that were tried"),
    )


def _rung(rung: RungRecord, gate: GateRecord) -> Markup:
    name = element("th", rung.name, " ", element("small", rung.title), scope="row")
    if rung.skipped:
        return row(name, element("td", f"not tried: {rung.skipped}", colspan="5"))
    outcome = "inside" if rung.passed else "outside"
    return row(
        name,
        _figure(wording.drop(rung.drop)),
        _figure(wording.drop_interval(rung.drop_interval)),
        _figure(wording.precision(rung.agreement)),
        _figure(wording.duration(rung.seconds)),
        element("td", f"{outcome}, taken" if rung.name == gate.chosen else outcome),
    )


def _classes(classes: Sequence[ClassLoss]) -> Markup | None:
    """Each class that the images hold objects of; where there are many, those that lose most."""
    present = [loss for loss in classes if loss.objects]
    ordered = sorted(present, key=_lost, reverse=True)
    shown, others = ordered[:_CLASSES_SHOWN], ordered[_CLASSES_SHOWN:]
    if not shown:
        return None
    rest = details(wording.count(len(others), "other class", "other classes"), _class_table(others))
    return joined(
        element("h3", "Classes, those that lose most first ", basis_chip("measured")),
        _class_table(shown),
        rest if others else None,
    )


def _class_table(classes: Sequence[ClassLoss]) -> Markup:
    rows = (
        row(
            element("th", loss.label, scope="row"),
            _figure(str(loss.objects)),
            _figure(wording.precision(loss.float_ap)),
            _precision(loss.int8_ap),
            _figure(wording.drop(_lost(loss)) if loss.float_ap is not None else ""),
        )
        for loss in classes
    )
    return table(("Class", "Objects", "AP float", "AP int8", "Drop"), rows, caption="Average precision by class")


def _lost(loss: ClassLoss) -> float:
    return (loss.float_ap or 0.0) - (loss.int8_ap or 0.0) if loss.float_ap is not None else 0.0


def _conditions(record: AccuracyRecord) -> Markup:
    decoding = record.decoding
    pairs = [
        ("data", record.data if record.split is None else f"{record.data}, split {record.split}"),
        ("images", f"{record.images}"),
        ("boxes suppressed", decoding.suppression),
        ("overlap", f"{decoding.iou:g}"),
        ("lowest score", f"{decoding.score:g}"),
        ("most detections", f"{decoding.max_detections}"),
    ]
    return joined(element("h3", "Measured on"), facts(pairs, across=True))


def _precision(value: float | None) -> Markup:
    if value is None:
        return element("td", "")
    return element("td", bar(value), element("span", wording.precision(value), class_="figure beside"))


def _figure(text: str) -> Markup:
    return element("td", text, class_="figure")
