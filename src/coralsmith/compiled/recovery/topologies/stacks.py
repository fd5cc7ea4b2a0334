"""Plain stacks of one kind of layer, whose sizes follow from what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from coralsmith.compiled.recovery.topologies.outline import Outline
from coralsmith.graph.model import Graph

_MOST_LAYERS: Final = 10
_KERNELS: Final = (3, 5, 1)


def dense(input_shape: tuple[int, ...], outputs: int) -> Iterator[tuple[str, Graph]]:
    """One dense layer."""
    outline = Outline(input_shape)
    yield "one dense layer", outline.graph(outline.fully_connected(outline.input, outputs, "dense"))


def convolutions(input_shape: tuple[int, ...], channels: int) -> Iterator[tuple[str, Graph]]:
    """Convolutions that keep the size of the map, all with as many channels; their clamps show a RELU."""
    for layers in range(1, _MOST_LAYERS + 1):
        for kernel in _KERNELS:
            outline = Outline(input_shape)
            features = outline.input
            for number in range(layers):
                features = outline.convolution(features, channels, kernel, f"conv_{number}")
            yield f"{layers} {kernel}x{kernel} convolutions", outline.graph(features)
