"""How many bytes of parameters a compiled model brings along, layer by layer, and whether they fit on the chip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from coralsmith.edgetpu.inserted import inserted_bytes, loaded_tensors
from coralsmith.edgetpu.layer_bytes import LayerBytes, outputs_of, weight_bytes
from coralsmith.edgetpu.placement import Block, Placement, Placements, either, least_room, place
from coralsmith.graph.model import Graph, Op, Tensor

# Compiler 16 reports 7.7 MiB for SSD 300/320 (used + remaining); less is left with larger activations.
ON_CHIP_BYTES: Final = int(7.7 * 1024 * 1024)

EVIDENCE: Final = (
    "packing rules measured on compiled models, exact for convolution, depthwise and dense layers; what is cached "
    "is inferred from published compilations"
)


@dataclass(frozen=True)
class LayerMemory:
    """Parameters of one operator.

    Attributes:
        index: Position of the operator in execution order.
        kind: Operator kind, "CONV_2D".
        name: Name of its first output.
        low: Least number of bytes.
        high: Greatest number of bytes.
        exact: Whether the packing is known to the byte, so that `low` is `high`.
        wasted: Of `low`, the bytes that hold no weight and no bias of the model.
        weights: Of `low`, the model's own weights.
        header: Of `low`, biases and per-channel constants.
        channel_padding: Of `low`, what fills input channels to a multiple of 4.
        output_padding: Of `low`, what fills outputs to a multiple of 16 or 64.
        diagonal: Of `low`, what stands beside the diagonal of depthwise weights, which are stored as 4x4 matrices.
        inserted: Of `low`, the compiler's own constants, such as a matrix that flattens a map.
        occupied: Cache that it takes: outputs of convolutions and dense layers fill whole groups of 64 there. The
            compiler's "used" counts these.
        placement: "cached" on the chip, "streamed" with every inference, or "unknown".
        evidence: How the bytes are known.
    """

    index: int
    kind: str
    name: str
    low: int
    high: int
    exact: bool
    wasted: int
    weights: int
    header: int
    channel_padding: int
    output_padding: int
    diagonal: int
    inserted: int
    occupied: int
    placement: Placement
    evidence: str


@dataclass(frozen=True)
class ParameterMemory:
    """Parameter bytes of the operators on the Edge TPU.

    Attributes:
        on_chip_bytes: Bytes loaded once and kept on the chip; None where it is not known what fits.
        streamed_bytes: Bytes sent with every inference; None where it is not known whether any.
        low: Least number of bytes in all.
        high: Greatest number of bytes in all.
        evidence: How that is known.
        streamed_low: Least number of bytes sent with every inference.
        streamed_high: Greatest number of bytes sent with every inference.
        occupied: Cache that all of them take, as the compiler's "used"; more than the bytes where groups of 64
            outputs are not full.
        room: Cache that there was in every published compilation with such an input.
        wasted: Bytes that hold no weight and no bias of the model.
        layers: The operators with parameters, in execution order.
    """

    on_chip_bytes: int | None
    streamed_bytes: int | None
    low: int
    high: int
    evidence: str = EVIDENCE
    streamed_low: int = 0
    streamed_high: int = 0
    occupied: int = 0
    room: int = ON_CHIP_BYTES
    wasted: int = 0
    layers: tuple[LayerMemory, ...] = field(default=())


def parameter_memory(
    graph: Graph, mapped: Iterable[int], *, as_if_quantized: bool = False, min_runtime: int = 14
) -> ParameterMemory:
    """Predict the parameter bytes of a compiled model.

    Args:
        graph: The model.
        mapped: Indices of the operators on the Edge TPU.
        as_if_quantized: Take float weights as they will be quantized: per channel, dense layers per tensor.
        min_runtime: Oldest runtime that the compiled model must run on.

    Returns:
        The best estimate, split into cached and streamed where that is known, and the band it lies in.
    """
    indices = sorted(mapped)
    ops, readers = [graph.ops[index] for index in indices], graph.consumers()
    loaded = loaded_tensors(ops)
    found: list[tuple[int, LayerBytes]] = []
    for index, op in zip(indices, ops, strict=True):
        size = weight_bytes(op, readers, as_if_quantized=as_if_quantized, min_runtime=min_runtime)
        size = size if size.high else inserted_bytes(op, loaded)
        if size.high:
            found.append((index, size))
    placements = _placements(graph, found, _pixels(loaded))
    low = sum(size.low for _, size in found)
    return ParameterMemory(
        on_chip_bytes=None if placements.streamed is None else low - placements.streamed,
        streamed_bytes=placements.streamed,
        low=low,
        high=sum(size.high for _, size in found),
        streamed_low=placements.streamed_low,
        streamed_high=placements.streamed_high,
        occupied=sum(size.occupied for _, size in found),
        room=least_room(_pixels(loaded)),
        wasted=sum(size.wasted for _, size in found),
        layers=tuple(
            _layer(index, graph.ops[index], size, placement)
            for (index, size), placement in zip(found, placements.layers, strict=True)
        ),
    )


def _placements(graph: Graph, found: Sequence[tuple[int, LayerBytes]], input_pixels: int) -> Placements:
    """What becomes of the layers, whether they take their least or their greatest number of bytes."""
    sizes = [(size, outputs_of(graph.ops[index])) for index, size in found]
    least = [Block(size.low, size.occupied, outputs) for size, outputs in sizes]
    most = [Block(size.high, size.occupied + size.uncertain, outputs) for size, outputs in sizes]
    placements = place(least, input_pixels)
    return placements if most == least else either(placements, place(most, input_pixels))


def _layer(index: int, op: Op, size: LayerBytes, placement: Placement) -> LayerMemory:
    return LayerMemory(
        index=index,
        kind=op.kind,
        name=op.name,
        low=size.low,
        high=size.high,
        exact=size.low == size.high,
        wasted=size.wasted,
        weights=size.weights,
        header=size.header,
        channel_padding=size.channel_padding,
        output_padding=size.output_padding,
        diagonal=size.diagonal,
        inserted=size.inserted,
        occupied=size.occupied,
        placement=placement,
        evidence=size.evidence,
    )


def _pixels(loaded: Iterable[Tensor]) -> int:
    """Height times width of the largest map that the Edge TPU is given."""
    maps = (tensor for tensor in loaded if len(tensor.shape) == 4)
    return max((tensor.shape[1] * tensor.shape[2] for tensor in maps), default=0)
