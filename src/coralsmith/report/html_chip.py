"""The part of the page that shows what the model asks of the chip: parameter memory and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from coralsmith.edgetpu.memory import ON_CHIP_BYTES
from coralsmith.report import wording
from coralsmith.report.document import CompilerRecord, ConversionReport
from coralsmith.report.html_elements import Markup, basis_chip, element, facts, joined, row, section, table

_LAYERS_SHOWN: Final = 10


def chip_section(report: ConversionReport) -> Markup:
    """Parameter memory as predicted and as the compiler reported it, and predicted latency."""
    latency = report.check["latency_ms"]
    return section(
        "chip",
        "Memory and latency",
        _compiled_memory(report.compiler) if report.compiler.on_chip_bytes is not None else None,
        _predicted_memory(report.check["parameters"]),
        _layers(report.check["parameters"]["layers"]),
        _activations(report.check["activations"]),
        _latency(latency) if any(latency[bus] for bus in wording.DEVICES) else None,
    )


def _compiled_memory(compiler: CompilerRecord) -> Markup:
    used = compiler.on_chip_bytes or 0
    streamed = compiler.streamed_bytes or 0
    pairs = [("on chip", wording.size(used)), ("streamed per inference", wording.size(streamed))]
    title = element("h3", "Parameters ", basis_chip("compiler"))
    return joined(title, _gauge(used, streamed, None), facts(pairs, across=True))


def _predicted_memory(parameters: Mapping[str, Any]) -> Markup:
    low, high = parameters["low"], parameters["high"]
    cached, streamed = parameters["on_chip_bytes"], parameters["streamed_bytes"]
    least, most = parameters["streamed_low"], parameters["streamed_high"]
    sent = wording.size(streamed) if least == most else wording.size_band(least, most)
    pairs = [
        ("on chip", wording.size(cached)),
        ("streamed per inference", sent),
        ("all parameters", wording.size_band(low, high)),
        ("room on the chip", f"about {wording.size(ON_CHIP_BYTES)}"),
    ]
    return joined(
        element("h3", "Parameters ", basis_chip("predicted")),
        _gauge(cached or 0, streamed or 0, (low, high)),
        facts(pairs, across=True),
        element("p", parameters["evidence"], class_="evidence"),
    )


def _layers(layers: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The layers with most parameters, and what of them holds nothing of the model."""
    if not layers:
        return None
    shown = sorted(layers, key=lambda layer: -layer["high"])[:_LAYERS_SHOWN]
    rows = (
        row(
            element("th", element("code", wording.short_name(layer["name"])), scope="row"),
            element("td", wording.size_band(layer["low"], layer["high"]), class_="figure"),
            element("td", wording.size(layer["wasted"]) if layer["wasted"] else "none", class_="figure"),
            element("td", layer["placement"]),
        )
        for layer in shown
    )
    rest = f"The largest {len(shown)} of {len(layers)}." if len(shown) < len(layers) else ""
    return joined(
        element("h3", "Layers with most parameters ", basis_chip("predicted")),
        table(("Layer", "Bytes", "Of it padding", "Kept"), rows, caption="Predicted parameters by layer"),
        element("p", rest, class_="evidence") if rest else None,
    )


def _activations(activations: Mapping[str, Any]) -> Markup | None:
    if not activations["tile_bytes"]:
        return None
    pairs = [
        ("on the fullest tile", wording.size(activations["tile_bytes"])),
        ("room on each of 16 tiles", wording.size(activations["limit"])),
    ]
    fullest = element("code", wording.short_name(activations["op"] or ""))
    return joined(
        element("h3", "Activations ", basis_chip("predicted")),
        facts(pairs, across=True),
        element("p", "Most are live while ", fullest, " runs."),
        element("p", activations["evidence"], class_="evidence"),
    )


def _gauge(cached: int, streamed: int, band: tuple[int, int] | None) -> Markup:
    """On-chip and streamed bytes against the room there is; the numbers stand beside it as text."""
    full = 1.08 * max(ON_CHIP_BYTES, cached + streamed, band[1] if band else 0)

    def part(kind: str, start: float, length: float) -> Markup:
        style = f"--start:{100 * start / full:.2f}%;--length:{100 * length / full:.2f}%"
        return element("i", class_=kind, style=style)

    return element(
        "div",
        part("cached", 0, cached),
        part("streamed", cached, streamed) if streamed else None,
        part("band", band[0], band[1] - band[0]) if band and band[1] > band[0] else None,
        part("budget", ON_CHIP_BYTES, 0),
        element(
            "span", "room on the chip", class_="budget-name", style=f"--start:{100 * ON_CHIP_BYTES / full:.2f}%"
        ),
        class_="gauge",
        aria_hidden="true",
    )


def _latency(latency: Mapping[str, Any]) -> Markup:
    rows = (
        row(
            element("th", name, scope="row"),
            element("td", f"{wording.milliseconds(latency[bus]['estimate'])} ms", class_="figure"),
            element("td", wording.latency_band(latency[bus]["low"], latency[bus]["high"]), class_="figure"),
        )
        for bus, name in wording.DEVICES.items()
        if latency[bus]
    )
    return joined(
        element("h3", "Latency of one inference ", basis_chip("predicted")),
        table(("Device", "Estimate", "Low to high"), rows, caption="Predicted latency of one inference"),
        element("p", latency["evidence"], class_="evidence"),
    )
