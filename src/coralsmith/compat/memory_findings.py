"""What is worth knowing of a model's memory: what is streamed or cut into pieces, and which layers to change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from coralsmith.compat.memory_advice import as_size, layer_advice
from coralsmith.edgetpu.activations import ActivationMemory
from coralsmith.edgetpu.inserted import flattened_remainder
from coralsmith.edgetpu.latency_constants import streaming_ms_per_mib
from coralsmith.edgetpu.layer_bytes import outputs_of
from coralsmith.edgetpu.memory import LayerMemory, ParameterMemory
from coralsmith.edgetpu.placement import LARGEST_KEPT, LARGEST_NARROW_KEPT, NARROW_OUTPUTS
from coralsmith.edgetpu.rules import rule
from coralsmith.findings import Finding
from coralsmith.graph.model import Graph

_MEBIBYTE: Final = 1 << 20

# A matrix smaller than this is no reason to change a model: it is a tenth of a percent of the room on the chip.
_NOTABLE_MATRIX: Final = 8_192

_NAMED: Final = 3

# Operators that the models had which the compiler refused for their activations.
_REFUSED_KINDS: Final = frozenset({"TRANSPOSE", "TRANSPOSE_CONV", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"})

_LARGEST_MAPPED: Final = 1_067_016
"""Predicted bytes on one tile of PoseNet 721x1281, the most of any model that is known to be mapped."""


def memory_findings(graph: Graph, parameters: ParameterMemory, activations: ActivationMemory) -> list[Finding]:
    """All findings about memory.

    Args:
        graph: The model.
        parameters: Its parameter memory.
        activations: Its activation memory.
    """
    return [
        *_activations(graph, activations),
        *_streaming(graph, parameters),
        *_blow_ups(graph, parameters),
        *(advice.finding for advice in layer_advice(graph, parameters)),
    ]


def _activations(graph: Graph, activations: ActivationMemory) -> Iterator[Finding]:
    if activations.tile_bytes <= activations.limit:
        return
    kinds = {graph.ops[index].kind for index in activations.cut}
    refused = activations.tile_bytes > _LARGEST_MAPPED or kinds & _REFUSED_KINDS
    yield rule("large-activations" if refused else "activations-cut").finding(
        op=activations.op,
        measured=f"{as_size(activations.tile_bytes)} on one tile of 16: {', '.join(activations.tensors[:_NAMED])}",
    )


def _streaming(graph: Graph, parameters: ParameterMemory) -> Iterator[Finding]:
    """Parameters that do not stay on the chip, and what to shrink so that they do."""
    if parameters.streamed_high == 0:
        return
    largest = max(_not_kept(parameters), key=lambda layer: layer.occupied)
    if parameters.streamed_low == 0:
        worst = _cost(parameters.streamed_high)
        measured = f"{as_size(parameters.occupied)} of cache, if all is kept; else up to {worst}"
        yield rule("parameters-may-be-streamed").finding(
            op=largest.name, measured=measured, fix=_shrink(graph, parameters)
        )
        return
    amount = parameters.streamed_bytes or parameters.streamed_low
    yield rule("parameters-streamed").finding(
        op=largest.name, measured=_cost(amount) + _band(parameters), fix=_shrink(graph, parameters)
    )


def _cost(streamed: int) -> str:
    milliseconds = streaming_ms_per_mib("usb") * streamed / _MEBIBYTE
    return f"{as_size(streamed)} streamed, {milliseconds:.1f} ms of every inference over USB 3"


def _band(parameters: ParameterMemory) -> str:
    low, high = parameters.streamed_low, parameters.streamed_high
    return "" if low == high else f" (between {as_size(low)} and {as_size(high)})"


def _shrink(graph: Graph, parameters: ParameterMemory) -> str:
    """What to make smaller so that all fits for certain: layers too large for any room, then all together."""
    narrow = [layer for layer in _not_kept(parameters) if _is_narrow(graph, layer)]
    too_narrow = [layer for layer in narrow if layer.low > LARGEST_NARROW_KEPT]
    too_large = [layer for layer in _not_kept(parameters) if layer.occupied > LARGEST_KEPT and layer not in narrow]
    excess = parameters.occupied - sum(layer.occupied for layer in (*too_narrow, *too_large)) - parameters.room
    advice = []
    if too_narrow:
        limit, largest = as_size(LARGEST_NARROW_KEPT), _largest(too_narrow, "low")
        outputs = f"A layer of at most {NARROW_OUTPUTS} outputs"
        advice.append(f"{outputs} is kept up to {limit}: reduce the inputs of {largest}.")
    if too_large:
        limit, largest = as_size(LARGEST_KEPT), _largest(too_large, "occupied")
        advice.append(f"A single layer is kept up to {limit}: make {largest} smaller.")
    if excess > 0:
        narrower = 1 - math.sqrt(parameters.room / (parameters.room + excess))
        advice.append(
            f"To be sure that all fits, save {as_size(excess)} of the {as_size(parameters.occupied)} of cache "
            f"that the layers take: the largest are {_largest(parameters.layers, 'occupied')}; or make every "
            f"layer {100 * narrower:.0f} % narrower."
        )
    return " ".join(advice)


def _not_kept(parameters: ParameterMemory) -> list[LayerMemory]:
    return [layer for layer in parameters.layers if layer.placement != "cached"]


def _is_narrow(graph: Graph, layer: LayerMemory) -> bool:
    return outputs_of(graph.ops[layer.index]) <= NARROW_OUTPUTS


def _largest(layers: Sequence[LayerMemory], size: Literal["low", "occupied"]) -> str:
    """The names of the largest layers, with their sizes."""
    largest = sorted(layers, key=lambda layer: -getattr(layer, size))[:_NAMED]
    return ", ".join(f"{_short(layer)} ({as_size(getattr(layer, size))})" for layer in largest)


def _short(layer: LayerMemory) -> str:
    return layer.name.split(";")[0]


def _blow_ups(graph: Graph, parameters: ParameterMemory) -> Iterator[Finding]:
    for layer in parameters.layers:
        channels = flattened_remainder(graph.ops[layer.index])
        if channels is not None and layer.low >= _NOTABLE_MATRIX:
            counted = "1 channel adds" if channels == 1 else f"{channels} channels add"
            yield rule("reshape-blow-up").finding(
                op=layer.name,
                measured=f"{counted} {as_size(layer.low)}",
                fix=_other_channels(channels),
                evidence=layer.evidence,
            )


def _other_channels(channels: int) -> str:
    fewer, more = channels // 4 * 4, channels // 4 * 4 + 4
    known = f"{fewer} or {more}" if fewer else f"{more}"
    return f"With {known} channels before the flatten nothing is added."
