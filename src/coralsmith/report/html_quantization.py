"""The part of the page that shows how the model became int8, and what that cost layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from coralsmith.report import wording
from coralsmith.report.document import (
    ConversionReport,
    LayerFidelity,
    OutputFidelity,
    QuantizationRecord,
    TensorScale,
)
from coralsmith.report.html_elements import (
    Markup,
    bar,
    basis_chip,
    details,
    element,
    facts,
    joined,
    row,
    section,
    table,
    tensor_name,
)

_WORST_SHOWN: Final = 12
# A full bar: int8 with well chosen ranges rarely exceeds it, 6 dB a bit.
_FULL_BAR_DB: Final = 48.0


def quantization_section(report: ConversionReport) -> Markup:
    """Method, fidelity of the outputs and of every layer, and every activation's scale."""
    record = report.quantization
    return section(
        "quantization",
        "Quantization",
        _method(record),
        _outputs(record.outputs) if record.outputs else None,
        _layers(record.layers) if record.layers else None,
        _tensors(record.tensors) if record.tensors else None,
    )


def _method(record: QuantizationRecord) -> Markup:
    images = "none: the model came quantized" if record.images is None else f"{record.images}"
    return facts(
        [("calibration images", images), ("ranges", record.ranges), ("weights", record.weights)], across=True
    )


def _outputs(outputs: Sequence[OutputFidelity]) -> Markup:
    rows = (
        row(
            element("th", tensor_name(output.name), scope="row"),
            element("td", _sqnr(output.sqnr_db)),
            element("td", wording.number(output.worst_difference), class_="figure"),
        )
        for output in outputs
    )
    head = ("Output", "SQNR", "Worst difference")
    title = element("h3", "Outputs, int8 against float ", basis_chip("measured"))
    return joined(title, table(head, rows, caption="Signal to quantization noise of each output"))


def _layers(layers: Sequence[LayerFidelity]) -> Markup:
    ordered = sorted(layers, key=lambda layer: layer.sqnr_db)
    worst, others = ordered[:_WORST_SHOWN], ordered[_WORST_SHOWN:]
    title = element("h3", "Layers, int8 against float ", basis_chip("measured"))
    rest = details(f"{wording.count(len(others), 'other layer')}", _layer_table(others)) if others else None
    return joined(title, _profile(layers), _layer_table(worst), rest)


def _profile(layers: Sequence[LayerFidelity]) -> Markup:
    """One column a layer in execution order, so that the eye sees where noise comes in."""
    columns = (
        element(
            "i",
            style=f"--share:{100 * _share(layer.sqnr_db):.1f}%",
            title=f"{wording.short_name(layer.name)} · {layer.kind} · {wording.decibels(layer.sqnr_db)}",
        )
        for layer in layers
    )
    text = (
        "Signal to quantization noise from the first layer to the last; the table below lists the noisiest first."
    )
    return joined(
        element("div", *columns, class_="profile", aria_hidden="true"),
        element("p", text, class_="evidence"),
    )


def _layer_table(layers: Sequence[LayerFidelity]) -> Markup:
    rows = (
        row(
            element("td", _sqnr(layer.sqnr_db)),
            element("td", layer.kind, class_="kind"),
            element("td", tensor_name(layer.name)),
        )
        for layer in layers
    )
    return table(
        ("SQNR", "Operator", "Output"), rows, caption="Signal to quantization noise by layer", classes="sqnr"
    )


def _sqnr(value: float) -> Markup:
    return joined(bar(_share(value)), element("span", wording.decibels(value), class_="figure beside"))


def _share(value: float) -> float:
    """The part of a full bar, 0 to 1."""
    return min(max(value / _FULL_BAR_DB, 0.0), 1.0)


def _tensors(tensors: Sequence[TensorScale]) -> Markup:
    rows = (
        row(
            element("td", tensor_name(tensor.name)),
            element("td", "×".join(map(str, tensor.shape)), class_="figure"),
            element("td", wording.number(tensor.scale), class_="figure"),
            element("td", str(tensor.zero_point), class_="figure"),
            element("td", _range(tensor), class_="figure"),
        )
        for tensor in tensors
    )
    head = ("Activation", "Shape", "Scale", "Zero point", "Range seen")
    summary = f"Scales of {wording.count(len(tensors), 'activation')}"
    return details(summary, table(head, rows, caption="How each activation is quantized"))


def _range(tensor: TensorScale) -> str:
    if tensor.low is None or tensor.high is None:
        return wording.NOT_KNOWN
    return f"{tensor.low:.3g} to {tensor.high:.3g}"
