"""Layers whose shape wastes parameter memory, with what another shape would save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from coralsmith.edgetpu.blocks import (
    GROUP_ROWS,
    LANES,
    TILE_ROWS,
    anchor_classes,
    expanded_rows,
    padded_lanes,
    padded_rows,
)
from coralsmith.edgetpu.memory import LayerMemory, ParameterMemory
from coralsmith.edgetpu.rules import rule
from coralsmith.findings import Finding
from coralsmith.graph.model import Graph, Op, Tensor

# Advice is given where it saves enough to be worth training a model again: a fiftieth of its parameters, and what
# would take a tenth of a millisecond to send to the chip.
_LEAST_SHARE: Final = 0.02
_LEAST_BYTES: Final = 40_000

# Outputs are only worth giving up where the layer gets smaller by three times their share: 65 to 64 halves it,
# while 1,001 to 960 saves little more than the 41 classes are worth.
_LEAST_GAIN: Final = 3

_MOST_ADVICE: Final = 5
_KIBIBYTE: Final = 1 << 10
_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True)
class Advice:
    """One layer worth changing.

    Attributes:
        saved: Bytes that the change would save.
        finding: What to say of it.
    """

    saved: int
    finding: Finding


def layer_advice(graph: Graph, parameters: ParameterMemory) -> list[Advice]:
    """The layers worth changing, those that save most first; at most five.

    Args:
        graph: The model.
        parameters: Its parameter memory.
    """
    readers = graph.consumers()
    least = max(_LEAST_BYTES, int(_LEAST_SHARE * parameters.low))
    found = [
        advice
        for layer in parameters.layers
        for advise in _ADVISERS
        for advice in advise(graph.ops[layer.index], layer, readers)
        if advice.saved >= least
    ]
    return sorted(found, key=lambda advice: -advice.saved)[:_MOST_ADVICE]


def as_size(size: int) -> str:
    """Bytes in words: "1.10 MiB", "72 KiB"."""
    return f"{size / _MEBIBYTE:.2f} MiB" if size >= _MEBIBYTE // 2 else f"{size / _KIBIBYTE:.0f} KiB"


_Readers = Mapping[Tensor, list[Op]]


def _group_of_outputs(op: Op, layer: LayerMemory, readers: _Readers) -> Iterator[Advice]:
    """Outputs, or classes of each anchor, that just need one more group of 64 or 16."""
    if not _has_rows(op):
        return
    outputs = op.required_input("filter").shape[0]
    classes = anchor_classes(op, readers) if op.kind == "CONV_2D" else None
    rows = padded_rows(expanded_rows(outputs, classes))
    fewer = _fewer_outputs(rows) if classes is None else _fewer_classes(outputs, classes, rows)
    if fewer is None:
        return
    unit, kept = ("outputs", fewer) if classes is None else ("classes", fewer // (outputs // classes))
    needed = padded_rows(expanded_rows(fewer, None if classes is None else kept))
    if (rows - needed) / rows < _LEAST_GAIN * (outputs - fewer) / outputs:
        return
    saved = layer.low * (rows - needed) // rows
    anchors = "" if classes is None else f" ({classes} classes of {outputs // classes} anchors)"
    yield Advice(
        saved,
        rule("outputs-above-group").finding(
            op=layer.name,
            measured=f"{outputs} outputs{anchors} cost as much as {rows}",
            fix=f"{kept} {unit} would save {as_size(saved)}.",
        ),
    )


def _fewer_outputs(rows: int) -> int | None:
    """The most outputs that need one group less."""
    return rows - (GROUP_ROWS if rows > GROUP_ROWS else TILE_ROWS) or None


def _fewer_classes(outputs: int, classes: int, rows: int) -> int | None:
    """Outputs with the most classes that need fewer rows."""
    anchors = outputs // classes
    for kept in range(classes - 1, 0, -1):
        if padded_rows(anchors * padded_lanes(kept)) < rows:
            return anchors * kept
    return None


def _few_outputs(op: Op, layer: LayerMemory, readers: _Readers) -> Iterator[Advice]:
    """Layers of fewer than 16 outputs; several that read one tensor could be one."""
    if not _has_rows(op):
        return
    outputs = op.required_input("filter").shape[0]
    if outputs >= TILE_ROWS:
        return
    alike = _reading_the_same(op, readers)
    padded = padded_rows(outputs)
    if len(alike) > 1 and sum(other.required_input("filter").shape[0] for other in alike) <= padded:
        if op is alike[0]:
            yield _merging(layer, len(alike), padded)
        return
    costs = "output costs" if outputs == 1 else "outputs cost"
    yield Advice(
        layer.output_padding,
        rule("few-outputs").finding(
            op=layer.name, measured=f"{outputs} {costs} {as_size(layer.low)}, as {padded} would"
        ),
    )


def _reading_the_same(op: Op, readers: _Readers) -> list[Op]:
    """The layers with one row for each output that read what this one reads, and could be one layer with it."""
    others = readers.get(op.required_input("input"), [])
    shape = op.required_input("filter").shape[1:]
    alike = [o for o in others if o.kind == op.kind and o.attributes == op.attributes]
    return [o for o in alike if o.required_input("filter").shape[1:] == shape]


def _merging(layer: LayerMemory, count: int, padded: int) -> Advice:
    saved = (count - 1) * layer.low
    return Advice(
        saved,
        rule("few-outputs").finding(
            op=layer.name,
            measured=f"{count} layers that read the same cost {as_size(layer.low)} each, as one of {padded} would",
            fix=f"One layer in place of these {count} would save {as_size(saved)}.",
        ),
    )


def _input_channels(op: Op, layer: LayerMemory, readers: _Readers) -> Iterator[Advice]:
    """Input channels that are no multiple of 4."""
    del readers
    if not _has_rows(op) or layer.channel_padding == 0:
        return
    inputs = op.required_input("filter").shape[-1]
    fewer = inputs // LANES * LANES
    if fewer == 0:
        return
    row = (layer.low - layer.header) * LANES // padded_lanes(inputs)
    yield Advice(
        row,
        rule("input-channels").finding(
            op=layer.name,
            measured=f"{inputs} input channels cost as much as {padded_lanes(inputs)}",
            fix=f"{fewer} would save {as_size(row)}.",
        ),
    )


def _depth_multiplier(op: Op, layer: LayerMemory, readers: _Readers) -> Iterator[Advice]:
    """Depthwise layers whose packing is not known."""
    del readers
    if op.kind == "DEPTHWISE_CONV_2D" and layer.high > layer.low and op.attributes.get("depth_multiplier", 1) != 1:
        yield Advice(
            layer.high - layer.low,
            rule("depth-multiplier").finding(
                op=layer.name,
                measured=f"{as_size(layer.low)} to {as_size(layer.high)}",
            ),
        )


def _has_rows(op: Op) -> bool:
    """Whether the weights are a matrix of one row for each output."""
    return op.kind in ("CONV_2D", "FULLY_CONNECTED")


_ADVISERS: Final[tuple[Callable[[Op, LayerMemory, _Readers], Iterator[Advice]], ...]] = (
    _group_of_outputs,
    _few_outputs,
    _input_channels,
    _depth_multiplier,
)
