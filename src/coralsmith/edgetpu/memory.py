"""How many bytes of parameters the compiled model brings along, and whether they fit on the chip.

Source: the packing rules that reproduce the parameter blobs of published compiled models to the byte
(MobileNet V1 and V2, PoseNet, DeepLab, the dense models; see docs/supported-ops.md). Where a rule is not known,
the estimate is a band.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.edgetpu.blocks import (
    GROUP_ROWS,
    LANES,
    TILE_ROWS,
    anchor_classes,
    expanded_rows,
    kept_taps,
    multiple,
    padded_lanes,
    padded_rows,
)
from coralsmith.graph.model import Graph, Op, Tensor

# Compiler 16 reports 7.7 MiB for SSD 300/320 (used + remaining); less is left with larger activations.
ON_CHIP_BYTES: Final = int(7.7 * 1024 * 1024)

EVIDENCE: Final = (
    "packing rules measured on compiled models: exact for convolution, depthwise and dense layers; "
    "inferred budget of 7.7 MiB"
)

_FILTER_RANK: Final = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 2}

# One layer of at most 16 outputs: 94 KB were seen cached, 152 KB and more streamed.
_CACHED_LAYER_BYTES: Final = 94_000
_STREAMED_LAYER_BYTES: Final = 152_000

_SOFTMAX_TABLE_BYTES: Final = 48_256  # seen behind the weights of re-compiled MobileNet V1, not in all models
_FLATTEN_BYTES: Final = 1_280  # constants seen beside a flatten: 0 to 1,280
_SMALLEST_LAYER_BYTES: Final = 64  # a convolution with one output was seen packed this small
_UNKNOWN_DEPTHWISE_FACTOR: Final = 4  # depth multipliers above 1: twice the formula was seen


@dataclass(frozen=True)
class LayerBytes:
    """Parameter bytes of one operator: a known number where `low` equals `high`."""

    low: int
    high: int


@dataclass(frozen=True)
class ParameterMemory:
    """Parameter bytes of the operators on the Edge TPU.

    Attributes:
        on_chip_bytes: Bytes loaded once and kept on the chip; None where it is not known what fits.
        streamed_bytes: Bytes sent with every inference; None where it is not known what fits.
        low: Least number of bytes in all.
        high: Greatest number of bytes in all.
        evidence: How that is known.
    """

    on_chip_bytes: int | None
    streamed_bytes: int | None
    low: int
    high: int
    evidence: str = EVIDENCE


def parameter_memory(graph: Graph, mapped: Iterable[int], *, as_if_quantized: bool = False) -> ParameterMemory:
    """Predict the parameter bytes of a compiled model.

    Args:
        graph: The model.
        mapped: Indices of the operators on the Edge TPU.
        as_if_quantized: Take float weights as they will be quantized: per channel, dense layers per tensor.

    Returns:
        The best estimate, split into cached and streamed where that is known, and the band it lies in.
    """
    readers = graph.consumers()
    ops = [graph.ops[index] for index in mapped]
    layers = [layer_bytes(op, readers, as_if_quantized=as_if_quantized) for op in ops]
    low = sum(layer.low for layer in layers)
    high = sum(layer.high for layer in layers) + sum(_added_bytes(op) for op in ops)
    narrow = [layer.low for op, layer in zip(ops, layers, strict=True) if _outputs(op) <= TILE_ROWS]
    cached, streamed = _placement(low, high, narrow)
    return ParameterMemory(cached, streamed, low, high)


def layer_bytes(op: Op, readers: Mapping[Tensor, list[Op]], *, as_if_quantized: bool = False) -> LayerBytes:
    """Parameter bytes of one operator, before anything the compiler adds.

    Args:
        op: Any operator; one without weights has no parameters.
        readers: `Graph.consumers()`.
        as_if_quantized: As in `parameter_memory`.

    Returns:
        The bytes of the packing rules, as a band where the rules are not settled.
    """
    if not _has_weights(op):
        return LayerBytes(0, 0)
    if op.kind == "FULLY_CONNECTED":
        outputs, inputs = op.required_input("filter").shape
        return _exactly(padded_rows(outputs) * (padded_lanes(inputs) + _header(op, as_if_quantized)))
    if op.kind == "CONV_2D":
        return _convolution(op, readers, as_if_quantized)
    return _depthwise(op, as_if_quantized)


def flattened_remainder(op: Op) -> int | None:
    """The innermost size of a map that an operator flattens, where it is no multiple of 4; else None.

    Such a flatten is done by a matrix, with up to megabytes of parameters (6x6x114 adds 2.13 MB). Maps of one
    channel count by their width.
    """
    source = op.inputs[0] if op.inputs else None
    if op.kind != "RESHAPE" or source is None or len(source.shape) != 4 or len(op.output.shape) != 2:
        return None
    _, height, width, channels = source.shape
    innermost = channels if channels > 1 else width
    return innermost if height * width > 1 and innermost % LANES else None


def _depthwise(op: Op, as_if_quantized: bool) -> LayerBytes:
    _, height, width, channels = op.required_input("filter").shape
    size = padded_lanes(channels) * (LANES * height * width + _header(op, as_if_quantized))
    if op.attributes.get("depth_multiplier", 1) == 1:
        return _exactly(size)
    return LayerBytes(size, _UNKNOWN_DEPTHWISE_FACTOR * size)


def _convolution(op: Op, readers: Mapping[Tensor, list[Op]], as_if_quantized: bool) -> LayerBytes:
    outputs, _, _, inputs = op.required_input("filter").shape
    taps = len(kept_taps(op, 1)) * len(kept_taps(op, 2))
    rows = padded_rows(expanded_rows(outputs, anchor_classes(op, readers)))
    size = rows * (taps * padded_lanes(inputs) + _header(op, as_if_quantized))
    return LayerBytes(min(size, _SMALLEST_LAYER_BYTES), size) if outputs == 1 else _exactly(size)


def _header(op: Op, as_if_quantized: bool) -> int:
    """Bytes for each output: the bias if it is not all zero, and a multiplier and zero point if per channel."""
    bias = op.input("bias")
    has_bias = bias is not None and (bias.data is None or bool(np.any(bias.data)))
    quant = op.required_input("filter").quant
    per_channel = quant.is_per_channel if quant else as_if_quantized and op.kind != "FULLY_CONNECTED"
    return (4 if has_bias else 0) + (8 if per_channel else 0)


def _added_bytes(op: Op) -> int:
    """The most that the compiler was seen, or is feared, to add for an operator without weights."""
    if op.kind == "SOFTMAX":
        return _SOFTMAX_TABLE_BYTES
    if op.kind == "RESHAPE" and len(op.output.shape) == 2:
        size = op.output.elements
        return (
            _FLATTEN_BYTES if flattened_remainder(op) is None else multiple(size, GROUP_ROWS) * padded_lanes(size)
        )
    return 0


def _placement(low: int, high: int, narrow: list[int]) -> tuple[int | None, int | None]:
    """What is cached on the chip and what is streamed; None where that is not known.

    `narrow` are the sizes of the layers with at most 16 outputs, which are streamed if they are large.
    """
    if high > ON_CHIP_BYTES or any(_CACHED_LAYER_BYTES < size < _STREAMED_LAYER_BYTES for size in narrow):
        return None, None
    streamed = sum(size for size in narrow if size >= _STREAMED_LAYER_BYTES)
    return low - streamed, streamed


def _has_weights(op: Op) -> bool:
    """Whether the operator is one whose packing is known; files with dynamic shapes may contradict themselves."""
    rank = _FILTER_RANK.get(op.kind)
    if rank is None or len(op.required_input("filter").shape) != rank:
        return False
    return rank == 2 or len(op.required_input("input").shape) == len(op.output.shape) == rank


def _outputs(op: Op) -> int:
    return op.output.shape[-1] if op.output.shape else 1


def _exactly(size: int) -> LayerBytes:
    return LayerBytes(size, size)
