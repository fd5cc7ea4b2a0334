"""Packs the parameters of one layer as the Edge TPU compiler does, and unpacks them again.

All weights are in the uint8 domain: an int8 weight with its top bit flipped, and 128 more as the zero point. A
layer is a sequence of groups of outputs; each group is a header of columns (multipliers, bias, zero points of the
weights; one entry for each row) and then the weights. Little-endian throughout.

Source: the layout found on published pairs, which it reproduces to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.packed_layer import PackedLayer
from coralsmith.edgetpu.blocks import LANES, multiple
from coralsmith.graph.model import Array, Op

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

INT8_OFFSET: Final = 128
"""What int8 numbers are raised by to be in the uint8 domain."""

_FULL_GROUP: Final = 64


class PackingError(ValueError):
    """Bytes that no layer of the expected form has."""


@dataclass(frozen=True, eq=False)
class LayerParameters:
    """The parameters of one layer, as integers.

    Attributes:
        weights: uint8, in the filter's shape.
        weight_zero_point: In the uint8 domain; 128 for symmetric int8 weights.
        bias: int32 [outputs]; None where there is none, or none is stored.
        multipliers: float32 [outputs], what accumulators are multiplied by; None for per-tensor weights, whose one
            multiplier stands in the instructions.
    """

    weights: Bytes
    weight_zero_point: int
    bias: Integers | None = None
    multipliers: Floats | None = None


def layer_parameters(op: Op, layer: PackedLayer, multipliers: Floats | None = None) -> LayerParameters:
    """The parameters of a quantized operator with constant weights.

    Args:
        op: CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED with int8 or uint8 weights.
        layer: Its form.
        multipliers: One for each output, for per-channel weights.
    """
    weights, bias = op.required_input("filter"), op.input("bias")
    if weights.data is None or weights.quant is None:
        raise PackingError(f"'{op.name}' has no quantized constant weights")
    return LayerParameters(
        weights=uint8_domain(weights.data),
        weight_zero_point=int(weights.quant.zero_point[0]) + (INT8_OFFSET if weights.dtype == np.int8 else 0),
        bias=None if not layer.has_bias or bias is None else bias.data,
        multipliers=multipliers if layer.per_channel else None,
    )


def uint8_domain(integers: Array) -> Bytes:
    """int8 numbers raised by 128; uint8 numbers as they are."""
    raised: Bytes = integers.view(np.uint8) ^ np.uint8(INT8_OFFSET if integers.dtype == np.int8 else 0)
    return raised


def pack(layer: PackedLayer, parameters: LayerParameters) -> bytes:
    """The bytes of a layer in a compiled file."""
    header = _header(layer, parameters)
    weights = _pack_diagonal(layer, parameters) if layer.depthwise else _pack_blocks(layer, parameters)
    return np.concatenate([header, weights], axis=1).tobytes()


def unpack(
    layer: PackedLayer, content: bytes | memoryview, weight_zero_point: int | None = None
) -> LayerParameters:
    """The parameters in the bytes of a layer.

    Taps that are not stored get the zero point, which is what the hardware sees of them.

    Args:
        layer: Its form.
        content: Exactly `layer.size` bytes.
        weight_zero_point: Of per-tensor weights, uint8 domain, as the instructions have it; per-channel weights
            bring theirs along.

    Raises:
        PackingError: The bytes are not those of any parameters: padding does not have its value.
    """
    if len(content) != layer.size:
        raise PackingError(f"{len(content)} bytes where the layer has {layer.size}")
    groups = np.frombuffer(content, np.uint8).reshape(-1, layer.group_bytes)
    columns = groups[:, : layer.header_bytes].copy().view("<i4")
    columns = columns.reshape(layer.groups, layer.columns, layer.group).transpose(1, 0, 2)
    rows = columns.reshape(layer.columns, layer.rows)[:, layer.row_of_output]
    zero_point = int(rows[-1, 0]) if layer.per_channel else weight_zero_point
    if zero_point is None or not 0 <= zero_point <= 255:
        raise PackingError("the zero point of the weights is not known")
    body = groups[:, layer.header_bytes :]
    weights = _unpack_diagonal(layer, body) if layer.depthwise else _unpack_blocks(layer, body, zero_point)
    parameters = LayerParameters(
        weights=weights,
        weight_zero_point=zero_point,
        bias=rows[1 if layer.per_channel else 0].astype(np.int32) if layer.has_bias else None,
        multipliers=rows[0].astype("<i4").view("<f4").astype(np.float32) if layer.per_channel else None,
    )
    if pack(layer, parameters) != bytes(content):
        raise PackingError("padding does not have its value")
    return parameters


def _header(layer: PackedLayer, parameters: LayerParameters) -> Bytes:
    """The headers of all groups, [groups, header bytes]."""
    columns: list[Array] = []
    if parameters.multipliers is not None:
        beyond = 1.0 if layer.real_rows > _FULL_GROUP and not layer.depthwise else 0.0
        columns.append(_column(layer, parameters.multipliers.astype("<f4"), parameters.multipliers[0], beyond))
    if parameters.bias is not None:
        columns.append(_column(layer, parameters.bias.astype("<i4"), 0, 0))
    if parameters.multipliers is not None:
        zero_points = np.full(layer.outputs, parameters.weight_zero_point, "<i4")
        columns.append(_column(layer, zero_points, parameters.weight_zero_point, 0))
    table = np.array([column.view("<i4") for column in columns], "<i4")
    table = table.reshape(layer.columns, layer.groups, layer.group).transpose(1, 0, 2)
    return table.reshape(layer.groups, layer.columns * layer.group).view(np.uint8)


def _column(layer: PackedLayer, values: Array, near: float, beyond: float) -> Array:
    """One column over all rows: `near` where rows pad anchors and up to a multiple of 4, `beyond` behind them."""
    column = np.full(layer.rows, beyond, values.dtype)
    column[: multiple(layer.real_rows, LANES)] = near
    column[layer.row_of_output] = values
    return column


def _pack_blocks(layer: PackedLayer, parameters: LayerParameters) -> Bytes:
    """Weights as [groups, blocks/f, tap, f, row, 4 channels]."""
    kept = _kernel(layer, parameters.weights)[:, layer.kept_rows][:, :, layer.kept_columns]
    rows = np.zeros((layer.rows, layer.taps, layer.channel_blocks * LANES), np.uint8)
    rows[: multiple(layer.real_rows, LANES)] = parameters.weight_zero_point
    rows[layer.row_of_output, :, : layer.inputs] = kept.reshape(layer.outputs, layer.taps, layer.inputs)
    together = layer.blocks_together
    shape = (layer.groups, layer.group, layer.taps, layer.channel_blocks // together, together, LANES)
    return rows.reshape(shape).transpose(0, 3, 2, 4, 1, 5).reshape(layer.groups, -1)


def _unpack_blocks(layer: PackedLayer, body: Bytes, zero_point: int) -> Bytes:
    together = layer.blocks_together
    shape = (layer.groups, layer.channel_blocks // together, layer.taps, together, layer.group, LANES)
    rows = body.reshape(shape).transpose(0, 4, 2, 1, 3, 5).reshape(layer.rows, layer.taps, -1)
    kept = rows[layer.row_of_output, :, : layer.inputs]
    weights = np.full(layer.filter_shape, zero_point, np.uint8)
    kernel = _kernel(layer, weights)
    kernel[np.ix_(range(layer.outputs), layer.kept_rows, layer.kept_columns)] = kept.reshape(
        layer.outputs, len(layer.kept_rows), len(layer.kept_columns), layer.inputs
    )
    return weights


def _kernel(layer: PackedLayer, weights: Bytes) -> Bytes:
    """A view of the weights as [outputs, height, width, inputs]; a dense layer has a kernel of one tap."""
    return weights.reshape(layer.outputs, *(layer.filter_shape[1:-1] or (1, 1)), layer.inputs)


def _pack_diagonal(layer: PackedLayer, parameters: LayerParameters) -> Bytes:
    """Weights as [groups, tap, 4, 4], with those of the four channels on the diagonal."""
    channels = np.full((layer.taps, layer.rows), parameters.weight_zero_point, np.uint8)
    channels[:, : layer.outputs] = parameters.weights.reshape(layer.taps, layer.outputs)
    blocks = np.full((layer.groups, layer.taps, LANES, LANES), parameters.weight_zero_point, np.uint8)
    diagonal = np.arange(LANES)
    blocks[:, :, diagonal, diagonal] = channels.reshape(layer.taps, layer.groups, LANES).transpose(1, 0, 2)
    return blocks.reshape(layer.groups, -1)


def _unpack_diagonal(layer: PackedLayer, body: Bytes) -> Bytes:
    diagonal = np.arange(LANES)
    channels = body.reshape(layer.groups, layer.taps, LANES, LANES)[:, :, diagonal, diagonal]
    return channels.transpose(1, 0, 2).reshape(layer.taps, -1)[:, : layer.outputs].reshape(layer.filter_shape)
