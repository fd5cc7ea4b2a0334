"""Folds per-channel factors and offsets (batch normalisation left unfused, say) into convolutions.

A convolution, depthwise convolution or fully connected layer is linear: a factor on its input or output can
stand in its weights, an offset in its bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import (
    LINEAR,
    NO_ACTIVATION,
    arithmetic,
    float_weights,
    fused_activation,
    input_channels,
    is_float,
    pads_with_zeros,
    per_channel,
    with_attributes,
    with_constant,
)
from coralsmith.repair.rewriter import Rewriter

Vector = NDArray[np.float64]
_OUTPUT_AXIS: Final = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3}


@dataclass(frozen=True)
class _Affine:
    """An operator that computes ``factor * source + offset`` for each channel, and its activation."""

    op: Op
    source: Tensor
    factor: Vector
    offset: Vector

    @staticmethod
    def of(op: Op) -> _Affine | None:
        """`op` in that form; None where it has another."""
        operands = with_constant(op) if is_float(op) else None
        if operands is None or not operands[0].shape or operands[0].shape != op.output.shape:
            return None
        source, constant = operands
        values = per_channel(constant, source.shape[-1])
        if values is None:
            return None
        ones, zeros = np.ones_like(values), np.zeros_like(values)
        factor, offset = {"MUL": (values, zeros), "ADD": (ones, values), "SUB": (ones, -values)}[op.kind]
        return _Affine(op, source, factor, offset)

    @property
    def shifts(self) -> bool:
        """Whether the offset matters."""
        return bool(np.any(self.offset))


@dataclass(frozen=True)
class FoldIntoProducer(RepairPass):
    """A per-channel MUL, ADD or SUB behind a convolution goes into its weights and bias."""

    name = "fold-scale-into-producer"
    reason = "a convolution is linear: a factor or offset of its output can stand in its weights and bias"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        changes: list[Change | Refusal] = []
        for op in rewriter.ops("MUL", "ADD", "SUB"):
            affine = _Affine.of(op)
            producer = rewriter.producer(affine.source) if affine else None
            if affine is None or producer is None or not _is_free(rewriter, producer):
                continue
            folded = _after(rewriter, producer, affine)
            if folded is not None:
                rewriter.replace(op, folded)
                changes.append(self.change([producer, op], [folded]))
        return changes


@dataclass(frozen=True)
class FoldIntoReaders(RepairPass):
    """A per-channel MUL, ADD or SUB before convolutions goes into the weights and bias of each.

    An offset can do so only where the convolution adds no zeros around its input.
    """

    name = "fold-scale-into-readers"
    reason = "a convolution is linear: a factor or offset of its input can stand in its weights and bias"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        outcomes: list[Change | Refusal] = []
        for op in rewriter.ops("MUL", "ADD", "SUB"):
            affine = _Affine.of(op)
            readers = rewriter.readers(op.output)
            if affine is None or fused_activation(op) != NO_ACTIVATION or not _all_linear(rewriter, op):
                continue
            if affine.shifts and any(pads_with_zeros(reader) for reader in readers):
                outcomes.append(self.refusal(op, "a convolution behind it pads with zeros, which it would shift"))
                continue
            folded = [_before(rewriter, reader, affine) for reader in readers]
            for reader, replacement in zip(readers, folded, strict=True):
                rewriter.replace(reader, replacement)
            outcomes.append(self.change([op, *readers], folded))
        return outcomes


@dataclass(frozen=True)
class DeferFactor(RepairPass):
    """``a * (b * c)`` with a constant c becomes ``(a * b) * c`` where convolutions behind can absorb c.

    A hard-swish written out by hand, x * (relu6(x + 3) / 6), has this form.
    """

    name = "defer-factor"
    reason = "a constant factor may be applied after a product as well as before"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        changes: list[Change | Refusal] = []
        for op in rewriter.ops("MUL"):
            if not is_float(op) or fused_activation(op) != NO_ACTIVATION or not _all_linear(rewriter, op):
                continue
            for position, other in ((0, 1), (1, 0)):
                inner, factor = rewriter.producer(op.inputs[position]), op.inputs[other]
                affine = _Affine.of(inner) if inner is not None and inner.kind == "MUL" else None
                if inner is None or affine is None or factor is None or not _is_free(rewriter, inner):
                    continue
                if factor.shape != op.output.shape or affine.source.shape != op.output.shape:
                    continue
                product = rewriter.tensor(op.output, "product")
                constant = next(tensor for tensor in inner.inputs if tensor is not None and tensor.is_constant)
                plain = {"fused_activation_function": NO_ACTIVATION}
                multiply = Op("MUL", [factor, affine.source], [product], dict(plain))
                scale = Op("MUL", [product, constant], op.outputs, dict(plain))
                rewriter.replace(op, multiply, scale)
                changes.append(self.change([inner, op], [multiply, scale]))
                break
        return changes


@dataclass(frozen=True)
class AdvanceOffset(RepairPass):
    """``(a + b) + c`` with a constant c becomes ``(a + c) + b`` where the layer that makes a can absorb c.

    TensorFlow's graph optimiser moves the offset of a batch normalisation behind the sum of a residual block.
    """

    name = "advance-offset"
    reason = "a constant may be added before a sum as well as after"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        changes: list[Change | Refusal] = []
        for op in rewriter.ops("ADD", "SUB"):
            affine = _Affine.of(op)
            total = rewriter.producer(affine.source) if affine else None
            if affine is None or total is None or total.kind != "ADD" or not _is_free(rewriter, total):
                continue
            for position, other in ((0, 1), (1, 0)):
                summand, rest = total.inputs[position], total.inputs[other]
                maker = rewriter.producer(summand)
                if summand is None or rest is None or maker is None or maker.kind not in LINEAR:
                    continue
                if not _is_free(rewriter, maker) or summand.shape != op.output.shape:
                    continue
                offset = rewriter.constant(op.name, "offset", affine.offset.astype(np.float32))
                shifted = rewriter.tensor(summand, "shifted")
                first = arithmetic("ADD", summand, offset, shifted)
                second = arithmetic("ADD", shifted, rest, op.output, fused_activation(op))
                rewriter.replace(op, first, second)
                changes.append(self.change([total, op], [first, second]))
                break
        return changes


def _is_free(rewriter: Rewriter, op: Op) -> bool:
    """Whether the output of `op` may be scaled: nobody else reads it and no activation limits it."""
    return fused_activation(op) == NO_ACTIVATION and rewriter.has_one_reader(op.output)


def _all_linear(rewriter: Rewriter, op: Op) -> bool:
    """Whether every reader of the output of `op` is linear in it, with constant weights per input channel."""
    readers = rewriter.readers(op.output)
    if not readers or rewriter.is_output(op.output):
        return False
    return all(
        reader.kind in LINEAR
        and is_float(reader)
        and reader.inputs[0] is op.output
        and float_weights(reader) is not None
        and input_channels(reader) == op.output.shape[-1]
        for reader in readers
    )


def _after(rewriter: Rewriter, conv: Op, affine: _Affine) -> Op | None:
    """`conv` with the affine operator behind it inside."""
    constants = float_weights(conv) if conv.kind in LINEAR and is_float(conv) else None
    if constants is None:
        return None
    weights, bias = constants
    shape = [1] * weights.ndim
    shape[_OUTPUT_AXIS[conv.kind]] = -1
    scaled, shifted = weights * affine.factor.reshape(shape), bias * affine.factor + affine.offset
    inputs = [conv.inputs[0], *_parameters(rewriter, affine.op, scaled, shifted)]
    attributes = with_attributes(conv, fused_activation_function=fused_activation(affine.op))
    return Op(conv.kind, inputs, affine.op.outputs, attributes, options_table=conv.options_table)


def _before(rewriter: Rewriter, conv: Op, affine: _Affine) -> Op:
    """`conv` with the affine operator before it inside."""
    constants = float_weights(conv)
    assert constants is not None, "the caller has looked"
    weights, bias = constants
    factor, offset = affine.factor, affine.offset
    if conv.kind == "DEPTHWISE_CONV_2D":
        multiplier = weights.shape[3] // factor.size
        factor, offset = np.repeat(factor, multiplier), np.repeat(offset, multiplier)
        shift = weights.sum((0, 1, 2), np.float64) * offset
    else:
        shift = (weights * offset).reshape(weights.shape[0], -1).sum(1)
    inputs = [affine.source, *_parameters(rewriter, conv, weights * factor, bias + shift)]
    return Op(conv.kind, inputs, conv.outputs, dict(conv.attributes), options_table=conv.options_table)


def _parameters(rewriter: Rewriter, op: Op, weights: Vector, bias: Vector) -> list[Tensor | None]:
    return [
        rewriter.constant(op.name, "weights", weights.astype(np.float32)),
        rewriter.constant(op.name, "bias", bias.astype(np.float32)),
    ]
