"""Parameter bytes of one operator with weights: what is the model's own, and what the packing adds to it.

Source: the packing rules that reproduce the parameter blobs of published compiled models to the byte
(`edgetpu/blocks.py`), and for the cache that a layer takes the on-chip and off-chip columns of 821 published
compilations, which whole groups of 64 outputs reproduce to every printed digit. Depthwise layers fill no
groups, as the 6.52 MiB of SSD MobileNetV2 320 show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from coralsmith.edgetpu.blocks import (
    GROUP_ROWS,
    LANES,
    anchor_classes,
    expanded_rows,
    kept_taps,
    multiple,
    padded_lanes,
    padded_rows,
)
from coralsmith.graph.model import Op, Tensor

PACKED: Final = "measured on pairs: the packing reproduces the compiled bytes"

_DROPS_ZERO_BIAS: Final = 12  # files for older runtimes were seen with all-zero biases stored
_FILTER_RANK: Final = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 2}
_BIAS_BYTES: Final = 4
_CHANNEL_BYTES: Final = 8  # a float32 multiplier and an int32 zero point of the weights
_LEAST_WEIGHTS: Final = 64  # constants smaller than this are operands, not weights

_DROPPED_TAPS: Final = (
    "inferred: taps that only see padding are dropped from convolutions, maybe from depthwise ones"
)
_EQUAL_SCALES: Final = "measured on one pair: equal scales of all channels need no multiplier for each"
_ZERO_BIAS: Final = "compiler 1.0 stores a bias that is all zero, later ones for runtime 12 and up do not"
_MULTIPLIER: Final = "unknown: a depth multiplier above 1 was seen packed only for one input channel"
_NOT_SEEN: Final = "unknown: the packing of this operator's weights was not seen; from its bare weights to 4 times"


@dataclass(frozen=True)
class LayerBytes:
    """Parameter bytes of one operator: a known number where `low` equals `high`.

    Attributes:
        weights: The model's own weights, one byte each.
        header: Biases, and multipliers and zero points of per-channel weights, padding included.
        channel_padding: Zeros that fill input channels to a multiple of 4.
        output_padding: Zeros that fill outputs to a group of 16 or 64, and depthwise channels to a multiple of 4.
        diagonal: Zeros beside the diagonal of depthwise weights, which are stored as 4x4 matrices.
        inserted: Constants of the compiler's own, such as the matrix that flattens a map.
        uncertain: Bytes that may come on top.
        occupied: Cache that the layer takes on the chip, where the outputs of convolutions and dense layers fill
            whole groups of 64.
        evidence: How that is known.
    """

    weights: int = 0
    header: int = 0
    channel_padding: int = 0
    output_padding: int = 0
    diagonal: int = 0
    inserted: int = 0
    uncertain: int = 0
    occupied: int = 0
    evidence: str = PACKED

    @property
    def wasted(self) -> int:
        """Bytes that are neither weights nor belong to an output: padding, and what the compiler inserts."""
        return self.channel_padding + self.output_padding + self.diagonal + self.inserted

    @property
    def low(self) -> int:
        """Least number of bytes."""
        return self.weights + self.header + self.wasted

    @property
    def high(self) -> int:
        """Greatest number of bytes."""
        return self.low + self.uncertain


@dataclass(frozen=True)
class _Header:
    """Bytes for each output beside its weights."""

    low: int
    high: int
    evidence: str


def weight_bytes(
    op: Op, readers: Mapping[Tensor, list[Op]], *, as_if_quantized: bool = False, min_runtime: int = 14
) -> LayerBytes:
    """Parameter bytes of an operator's own weights.

    Args:
        op: Any operator; one without weights has none.
        readers: `Graph.consumers()`.
        as_if_quantized: Take float weights as they will be quantized: per channel, dense layers per tensor.
        min_runtime: Oldest runtime that the compiled model must run on.

    Returns:
        The bytes of the packing rules, as a band where the rules are not settled.
    """
    if not _is_known(op):
        return _unknown_weights(op)
    header = _header(op, as_if_quantized, min_runtime)
    if op.kind == "FULLY_CONNECTED":
        outputs, inputs = op.required_input("filter").shape
        return _rows(outputs, outputs, 1, inputs, header)
    if op.kind == "CONV_2D":
        return _convolution(op, readers, header)
    return _depthwise(op, header)


def outputs_of(op: Op) -> int:
    """Outputs of a layer: the innermost size of what it computes."""
    return op.output.shape[-1] if op.output.shape else 1


def matrix_bytes(rows: int, columns: int) -> int:
    """Bytes of a matrix of constants that the compiler inserts: packed as weights, with a bias for each row."""
    return padded_rows(rows) * (padded_lanes(columns) + _BIAS_BYTES)


def _convolution(op: Op, readers: Mapping[Tensor, list[Op]], header: _Header) -> LayerBytes:
    outputs, height, width, inputs = op.required_input("filter").shape
    if outputs == inputs == 1 and height * width > 1:
        return _diagonal(1, height * width, height * width, header)
    taps = len(kept_taps(op, 1)) * len(kept_taps(op, 2))
    return _rows(outputs, expanded_rows(outputs, anchor_classes(op, readers)), taps, inputs, header)


def _depthwise(op: Op, header: _Header) -> LayerBytes:
    _, height, width, channels = op.required_input("filter").shape
    taps, inputs = height * width, op.required_input("input").shape[-1]
    if inputs == channels:
        kept = len(kept_taps(op, 1)) * len(kept_taps(op, 2))
        return _diagonal(channels, kept, taps, header)
    if inputs == 1:
        return _rows(channels, channels, taps, 1, header)
    low = _diagonal(channels, taps, taps, header)
    high = _rows(channels, channels, taps, inputs, header)
    return replace(low, uncertain=max(high.high - low.low, 0), evidence=_MULTIPLIER)


def _rows(outputs: int, expanded: int, taps: int, inputs: int, header: _Header) -> LayerBytes:
    """A matrix of `outputs` rows, in groups of 16 or 64."""
    row, rows = taps * padded_lanes(inputs), padded_rows(expanded)
    return LayerBytes(
        weights=outputs * taps * inputs,
        header=rows * header.low,
        channel_padding=outputs * (row - taps * inputs),
        output_padding=(rows - outputs) * row,
        uncertain=rows * (header.high - header.low),
        occupied=multiple(expanded, GROUP_ROWS) * (row + header.low),
        evidence=header.evidence,
    )


def _diagonal(channels: int, kept: int, taps: int, header: _Header) -> LayerBytes:
    """Depthwise weights: for 4 channels and each tap the diagonal of a 4x4 matrix; the whole fills 64 bytes."""
    padded = padded_lanes(channels)
    size = padded * (LANES * kept + header.low)
    return LayerBytes(
        weights=channels * kept,
        header=padded * header.low,
        output_padding=(padded - channels) * kept + multiple(size, GROUP_ROWS) - size,
        diagonal=padded * (LANES - 1) * kept,
        uncertain=padded * (LANES * (taps - kept) + header.high - header.low),
        occupied=multiple(size, GROUP_ROWS),
        evidence=header.evidence if kept == taps else _DROPPED_TAPS,
    )


def _header(op: Op, as_if_quantized: bool, min_runtime: int) -> _Header:
    """The bias if it is not all zero, and a multiplier and a zero point if per channel."""
    bias, quant = op.input("bias"), op.required_input("filter").quant
    low, spare, evidence = 0, 0, PACKED
    if bias is not None and (bias.data is None or bool(np.any(bias.data))):
        low = _BIAS_BYTES
    elif bias is not None and min_runtime < _DROPS_ZERO_BIAS:
        spare, evidence = _BIAS_BYTES, _ZERO_BIAS
    if quant.is_per_channel if quant else as_if_quantized and op.kind != "FULLY_CONNECTED":
        low += _CHANNEL_BYTES
        if quant is not None and bool(np.all(quant.scale == quant.scale[0])):
            low, spare, evidence = low - _CHANNEL_BYTES // 2, spare + _CHANNEL_BYTES // 2, _EQUAL_SCALES
    return _Header(low, low + spare, evidence)


def _unknown_weights(op: Op) -> LayerBytes:
    size = 0 if op.kind == "CUSTOM" else sum(tensor.elements for tensor in _weights(op))
    if size < _LEAST_WEIGHTS:
        return LayerBytes()
    padded = multiple(LANES * size, GROUP_ROWS)
    return LayerBytes(
        weights=size, uncertain=padded - size, occupied=multiple(size, GROUP_ROWS), evidence=_NOT_SEEN
    )


def _weights(op: Op) -> Iterator[Tensor]:
    """Constants that are computed with: 8-bit ones, and float ones that will be quantized to 8 bits."""
    for tensor in op.inputs:
        if tensor is not None and tensor.is_constant and (tensor.is_float or tensor.dtype.itemsize == 1):
            yield tensor


def _is_known(op: Op) -> bool:
    """Whether the operator is one whose packing is known; files with dynamic shapes may contradict themselves."""
    rank = _FILTER_RANK.get(op.kind)
    if rank is None or len(op.required_input("filter").shape) != rank:
        return False
    if 0 in op.required_input("filter").shape:
        return False
    return rank == 2 or len(op.required_input("input").shape) == len(op.output.shape) == rank
