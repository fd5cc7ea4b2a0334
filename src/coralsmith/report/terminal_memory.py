"""How the terminal shows which layers take the memory, and what of it holds nothing of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coralsmith.report import wording
from coralsmith.report.figures import BASES
from coralsmith.report.terminal_parts import labelled, safe

if TYPE_CHECKING:
    from coralsmith.compat.report import CheckReport
    from coralsmith.edgetpu.memory import LayerMemory
    from coralsmith.findings import Finding

_LAYERS_SHOWN: Final = 12
_COLOURS: Final = {"cached": "green", "streamed": "yellow", "unknown": "magenta"}
_ADVICE: Final = frozenset({"outputs-above-group", "few-outputs", "input-channels"})

WASTES: Final = (
    ("output_padding", "outputs"),
    ("channel_padding", "input channels"),
    ("diagonal", "depthwise"),
    ("inserted", "inserted"),
)
"""Parts of a layer's bytes that hold nothing of the model, and their names."""


def activation_lines(report: CheckReport) -> Iterator[tuple[str, ...]]:
    """Activations beside the room on a tile."""
    activations = report.activations
    if activations.tile_bytes:
        fits = activations.tile_bytes <= activations.limit
        limit = f"{'of' if fits else 'more than the'} {wording.size(activations.limit)} on each of 16 tiles"
        yield ("Activations", wording.size(activations.tile_bytes), BASES["predicted"], limit)


def worth_changing(console: Console, found: Sequence[Finding]) -> None:
    """The change of a layer that would save most; the first, as advice is sorted by what it saves."""
    advice = next((finding for finding in found if finding.rule in _ADVICE), None)
    if advice is not None:
        text = f"{wording.short_name(advice.op or '')}: {advice.measured}. {advice.fix}"
        console.print(Padding(labelled(console, "Worth changing: ", text), (1, 0, 0, 2)))


def layer_table(console: Console, layers: Sequence[LayerMemory]) -> None:
    """The layers with most parameters, what of them is wasted, and where they are kept."""
    shown = sorted(layers, key=lambda layer: -layer.high)[:_LAYERS_SHOWN]
    if not shown:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("  Layer", overflow="fold", ratio=1)
    for title in ("Bytes", "Wasted"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("by", overflow="fold")
    table.add_column("Kept", no_wrap=True)
    for layer in shown:
        table.add_row(
            safe(console, f"  {wording.short_name(layer.name)}"),
            wording.size_band(layer.low, layer.high),
            wording.share(layer.wasted, layer.low) if layer.wasted else "",
            Text(largest_waste(layer), "dim"),
            Text(layer.placement, _COLOURS[layer.placement]),
        )
    if len(shown) < len(layers):
        rest = sum(layer.low for layer in layers) - sum(layer.low for layer in shown)
        table.add_row(Text(f"  {len(layers) - len(shown)} smaller ones", "dim"), wording.size(rest))
    console.print()
    console.print(table)


def largest_waste(layer: LayerMemory) -> str:
    """What wastes most of a layer's bytes."""
    field, name = max(WASTES, key=lambda waste: int(getattr(layer, waste[0])))
    return name if getattr(layer, field) else ""
