"""The part of the page that explains int8's error: layers' shares, coordinates, classes, the worst tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from coralsmith.quantization.explanation import CoordinateError, TensorHistogram
from coralsmith.report import wording
from coralsmith.report.document import ConversionReport
from coralsmith.report.explanation import (
    AttributionRecord,
    ClassErrorRecord,
    ExplanationRecord,
    LayerShareRecord,
)
from coralsmith.report.html_elements import (
    Markup,
    bar,
    basis_chip,
    details,
    element,
    joined,
    row,
    section,
    table,
    tensor_name,
)

_SHOWN: Final = 12


def explanation_section(report: ConversionReport) -> Markup | None:
    """Where int8's error comes from and what it does; None where the model came quantized."""
    record = report.explanation
    if record is None:
        return None
    images = wording.count(record.images, "image")
    return section(
        "explanation",
        "Where int8 differs",
        _attribution(record.attribution) if record.attribution else _how_to_attribute(),
        _coordinates(record) if record.coordinates else None,
        _classes(record.classes) if record.classes else None,
        _tensors(record.tensors) if record.tensors else None,
        lead=f"The int8 model against the float model on {images}, without labels.",
    )


def _how_to_attribute() -> Markup:
    return element(
        "p", "Which layers cause it: convert with ", element("code", "--explain"), ".", class_="evidence"
    )


def _attribution(record: AttributionRecord) -> Markup:
    ordered = sorted(record.layers, key=lambda layer: -layer.share)
    largest = ordered[0].share if ordered else 0.0
    shown, others = ordered[:_SHOWN], ordered[_SHOWN:]
    sums = ", ".join(f"{value:.0%} of the error of {name}" for name, value in record.explained.items())
    text = (
        "Each layer alone in int8, all others in float: its part of the error of the heads, from the first layer "
        f"to the last. Added up, they make {sums}."
    )
    rest = details(wording.count(len(others), "other layer"), _share_table(others, largest)) if others else None
    return joined(
        element("h3", "Share of the error by layer ", basis_chip("measured")),
        _profile(record.layers, largest),
        element("p", text, class_="evidence"),
        _share_table(shown, largest),
        rest,
    )


def _profile(layers: Sequence[LayerShareRecord], largest: float) -> Markup:
    columns = (
        element(
            "i",
            style=f"--share:{100 * layer.share / (largest or 1):.1f}%",
            title=f"{wording.short_name(layer.name)} · {layer.kind} · {layer.share:.1%}",
        )
        for layer in layers
    )
    return element("div", *columns, class_="profile", aria_hidden="true")


def _share_table(layers: Sequence[LayerShareRecord], largest: float) -> Markup:
    rows = (
        row(
            element(
                "td",
                bar(layer.share / (largest or 1)),
                element("span", f"{layer.share:.1%}", class_="figure beside"),
            ),
            element("td", layer.kind, class_="kind"),
            element("td", tensor_name(layer.name)),
        )
        for layer in layers
    )
    return table(("Share", "Operator", "Output"), rows, caption="Share of the error by layer", classes="sqnr")


def _coordinates(record: ExplanationRecord) -> Markup:
    worst = max(coordinate.mean for coordinate in record.coordinates)
    rows = (_coordinate(coordinate, worst) for coordinate in record.coordinates)
    text = f"Of the {record.anchors:,} anchors that become detections, in parts of the box's own height or width."
    return joined(
        element("h3", "Box coordinates ", basis_chip("measured")),
        element("p", text, class_="evidence"),
        table(("Coordinate", "Mean difference", "Worst"), rows, caption="Error of each box coordinate"),
    )


def _coordinate(coordinate: CoordinateError, worst: float) -> Markup:
    return row(
        element("th", coordinate.name, scope="row"),
        element(
            "td",
            bar(coordinate.mean / (worst or 1)),
            element("span", f"{coordinate.mean:.2%}", class_="figure beside"),
        ),
        element("td", f"{coordinate.worst:.1%}", class_="figure"),
    )


def _classes(classes: Sequence[ClassErrorRecord]) -> Markup:
    shown, others = classes[:_SHOWN], classes[_SHOWN:]
    rest = details(wording.count(len(others), "other class", "other classes"), _class_table(others))
    return joined(
        element("h3", "Class probabilities, the worst first ", basis_chip("measured")),
        _class_table(shown),
        rest if others else None,
    )


def _class_table(classes: Sequence[ClassErrorRecord]) -> Markup:
    rows = (
        row(
            element("th", error.label, scope="row"),
            element("td", f"{error.anchors:,}", class_="figure"),
            element("td", f"{error.mean:.4f}", class_="figure"),
            element("td", f"{error.shift:+.4f}", class_="figure"),
        )
        for error in classes
    )
    head = ("Class", "Anchors", "Mean difference", "Shift")
    return table(head, rows, caption="Error of each class's probability")


def _tensors(tensors: Sequence[TensorHistogram]) -> Markup:
    text = (
        "How often the float values of the noisiest tensors fall where (logarithmic); what lies outside of int8's "
        "range is clipped."
    )
    return joined(
        element("h3", "Worst tensors ", basis_chip("measured")),
        element("p", text, class_="evidence"),
        element("div", *map(_histogram, tensors), class_="histograms"),
    )


def _histogram(tensor: TensorHistogram) -> Markup:
    most = math.log1p(max(tensor.counts, default=0)) or 1.0
    width = (tensor.high - tensor.low) / max(1, len(tensor.counts))
    columns = []
    for number, count in enumerate(tensor.counts):
        centre = tensor.low + (number + 0.5) * width
        held = tensor.held_low <= centre <= tensor.held_high
        share = f"--share:{100 * math.log1p(count) / most:.1f}%"
        columns.append(element("i", style=share, class_=None if held else "clipped"))
    facts = (
        f"{tensor.low:.3g} to {tensor.high:.3g}; int8 holds {tensor.held_low:.3g} to {tensor.held_high:.3g}; "
        f"{tensor.clipped:.2%} clipped; {wording.decibels(tensor.sqnr_db)}"
    )
    return element(
        "figure",
        element("div", *columns, class_="profile", aria_hidden="true"),
        element("figcaption", tensor_name(tensor.name), " ", element("small", f"{tensor.kind}. {facts}")),
    )
