"""Turns a float graph and a solution of its scales into an int8 graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.quantization.ranges import quant_for
from coralsmith.quantization.rules import SAME_SCALE, WEIGHTED, value_inputs
from coralsmith.quantization.scales import Scales, constant_range
from coralsmith.quantization.weights import quantize_layer, quantize_operand

INT8: Final = np.dtype(np.int8)


def materialize(
    graph: Graph,
    scales: Scales,
    *,
    per_channel: bool = True,
    means: Mapping[Tensor, Array] = MappingProxyType({}),
    input_shift: Mapping[Tensor, float] = MappingProxyType({}),
    moments: Mapping[Op, Array] = MappingProxyType({}),
) -> Graph:
    """An int8 copy of `graph`.

    Args:
        graph: A float graph of supported operators; it is not changed.
        scales: The solution of `solve_scales` for this graph.
        per_channel: One weight scale per output channel where the operator allows it.
        means: Channel means of activations, with which biases take back what rounding the weights shifts.
        input_shift: Real value by which an input's integers lie above the truth; taken out of the biases.
        moments: Covariance of the inputs of layers (`layer_moments`) whose weights are to be rounded together.

    Returns:
        The same operators over int8 tensors, with a QUANTIZE wherever `scales.rescaled` asks for one.
    """
    return _Materializer(graph, scales, per_channel, means, input_shift, moments).graph()


class _Materializer:
    def __init__(
        self,
        graph: Graph,
        scales: Scales,
        per_channel: bool,
        means: Mapping[Tensor, Array],
        input_shift: Mapping[Tensor, float],
        moments: Mapping[Op, Array],
    ) -> None:
        self.source = graph
        self.scales = scales
        self.per_channel = per_channel
        self.means = means
        self.input_shift = input_shift
        self.moments = moments
        self.activation = {tensor: self.quantized(tensor) for tensor in graph.tensors() if not tensor.is_constant}
        self.rescaled: dict[tuple[Tensor, Tensor], Tensor] = {}
        self.wanted: dict[Op, set[int]] = defaultdict(set)
        for op, position in scales.rescaled:
            self.wanted[op].add(position)
        self.ops: list[Op] = []

    def quantized(self, tensor: Tensor) -> Tensor:
        """The int8 form of an activation; integer activations (shapes, indices) stay as they are."""
        quant = self.scales.quants.get(tensor)
        return Tensor(tensor.name, tensor.shape, INT8 if quant else tensor.dtype, quant=quant)

    def graph(self) -> Graph:
        for op in self.source.ops:
            inputs = self.layer_inputs(op) if op.kind in WEIGHTED else self.operands(op)
            outputs = [self.activation[tensor] for tensor in op.outputs]
            self.ops.append(Op(op.kind, inputs, outputs, dict(op.attributes), options_table=op.options_table))
        return Graph(
            self.ops,
            [self.activation[tensor] for tensor in self.source.inputs],
            [self.activation[tensor] for tensor in self.source.outputs],
        )

    def layer_inputs(self, op: Op) -> list[Tensor | None]:
        """Activation, integer weights and integer bias of a convolution or dense layer."""
        rule = WEIGHTED[op.kind]
        source, weights = op.inputs[rule.input], op.inputs[rule.weights]
        assert source is not None and weights is not None and weights.data is not None
        given = op.inputs[rule.bias] if len(op.inputs) > rule.bias else None
        channels = weights.shape[rule.channel_axis]
        bias = np.zeros(channels) if given is None or given.data is None else given.data.astype(np.float64)
        bias = bias - self.input_shift.get(source, 0.0) * _sum_per_channel(weights.data, rule.channel_axis)
        layer = quantize_layer(
            weights,
            bias,
            self.scales.quants[source],
            rule.channel_axis,
            per_channel=self.per_channel and rule.per_channel,
            bias_name=given.name if given is not None else f"{op.name}/bias",
            input_mean=self.input_mean(source, weights),
            moments=self.moments.get(op),
        )
        inputs = [*op.inputs, *[None] * (rule.bias + 1 - len(op.inputs))]
        inputs[rule.input] = self.activation[source]
        inputs[rule.weights], inputs[rule.bias] = layer.weights, layer.bias
        return inputs

    def input_mean(self, source: Tensor, weights: Tensor) -> Array | None:
        """The mean input behind each element of the last dimension of `weights`."""
        mean = self.means.get(source)
        if mean is None or weights.shape[-1] % mean.size:
            return None
        return np.repeat(mean, weights.shape[-1] // mean.size)  # depthwise: outputs of one channel stand together

    def operands(self, op: Op) -> list[Tensor | None]:
        """Inputs of an operator without weights: activations, rescaled ones, quantized constants."""
        inputs = [self.activation.get(tensor, tensor) if tensor else None for tensor in op.inputs]
        output_quant = self.scales.quants.get(op.output)
        for position, tensor in value_inputs(op):
            if tensor.data is not None and tensor.is_float:
                shared = op.kind in SAME_SCALE and output_quant is not None
                quant = output_quant if shared else quant_for(constant_range(tensor.data))
                assert quant is not None
                inputs[position] = quantize_operand(tensor, quant)
            elif position in self.wanted[op]:
                inputs[position] = self.rescale(tensor, op.output)
        return inputs

    def rescale(self, tensor: Tensor, like: Tensor) -> Tensor:
        """`tensor` behind a QUANTIZE that gives it the scale of `like`; one QUANTIZE serves all readers."""
        quant = self.scales.quants[like]
        for (source, _), existing in self.rescaled.items():
            if source is tensor and quant.same_as(existing.quant):
                return existing
        result = Tensor(f"{tensor.name}/rescaled_for/{like.name}", tensor.shape, INT8, quant=quant)
        self.rescaled[tensor, like] = result
        self.ops.append(Op("QUANTIZE", [self.activation[tensor]], [result]))
        return result


def _sum_per_channel(weights: Array, axis: int) -> Array:
    total: Array = weights.astype(np.float64).sum(axis=tuple(i for i in range(weights.ndim) if i != axis))
    return total
