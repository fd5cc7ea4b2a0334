"""An int8 graph as a trainable torch function that computes what the int8 kernels compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

from coralsmith.graph import Array, Graph, Op, Quant, Tensor
from coralsmith.quantization.adaptive_rounding import WEIGHT_LIMIT
from coralsmith.quantization.rules import SAME_SCALE, WEIGHTED, value_inputs
from coralsmith.quantization.weights import BIAS_LIMIT, quantize_operand
from coralsmith.tuning.fake_quantization import straight_through_round, whole_weights, with_gradient_of
from coralsmith.tuning.network import Network
from coralsmith.tuning.ranges import LearnedRanges

ROUNDING: Final = frozenset({"AVERAGE_POOL_2D", "RESIZE_BILINEAR", "MIRROR_PAD", "PADV2", "MAXIMUM", "MINIMUM"})
"""Operators of one scale whose results may lie between its integers; the others only move integers."""

NEARLY_HALF: Final = 0.499
"""The greatest distance from an integer at which rounding surely gives it back."""

MOST_GAIN: Final = 0.5
"""A weight scale changes by no more than this share of itself."""


class Layer:
    """Weights and bias of one convolution or dense layer as parameters, all in units of integer steps.

    In such units one learning rate suits every layer, however large its weights are.

    Attributes:
        steps: Weights in units of their scale; rounded, they are the int8 weights.
        gain: By what share of itself each weight scale has changed.
        bias: Real bias in units of the output's first scale.
    """

    def __init__(self, op: Op, real: Array | None, device: str) -> None:
        rule = WEIGHTED[op.kind]
        source, weights, bias = (op.inputs[i] for i in (rule.input, rule.weights, rule.bias))
        assert (
            source is not None and weights is not None and weights.data is not None and weights.quant is not None
        )
        assert bias is not None and bias.data is not None and bias.quant is not None
        assert op.output.quant is not None
        self.op = op
        self.source = source
        self.weights, self.biases = weights, bias
        self.axis = rule.channel_axis
        self.first_scale = torch.from_numpy(weights.quant.scale.copy()).to(device)
        self.unit = float(op.output.quant.scale[0])
        self.steps = torch.from_numpy(_start(weights.data, weights.quant, real)).to(device).requires_grad_()
        self.gain = torch.zeros_like(self.first_scale, requires_grad=True)
        start = torch.from_numpy(bias.quant.dequantize(bias.data) / self.unit)
        self.bias = start.float().to(device).requires_grad_()

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by their role."""
        return {"steps": self.steps, "gain": self.gain, "bias": self.bias}

    @property
    def scale(self) -> Any:
        """float32 [channels] or [1]."""
        return self.first_scale * (1.0 + self.gain)

    def integers(self, input_scale: Any, output_scale: Any) -> tuple[Any, Any, Any]:
        """Weights and bias as whole numbers, and the multiplier from accumulators to steps of the output.

        An accumulator is proportional to weights and bias, so the gradient of the multiplier can be taken there,
        where the numbers are few.
        """
        unit = input_scale * self.scale
        multiplier = unit / output_scale  # in the order of XNNPACK, to the bit
        shape = [1] * self.steps.ndim
        shape[self.axis] = -1
        weights = with_gradient_of(whole_weights(self.steps), multiplier.reshape(shape))
        bias = with_gradient_of(straight_through_round(self.bias * self.unit / unit), multiplier)
        return weights, bias, multiplier.detach()

    def constants(self, input_quant: Quant) -> tuple[Tensor, Tensor]:
        """int8 weights and int32 bias as they are now."""
        scale = self.scale.detach().cpu().numpy()
        axis = self.axis if scale.size > 1 else 0
        integers = np.rint(self.steps.detach().cpu().numpy()).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT)
        weights = Tensor.constant(
            self.weights.name, integers.astype(np.int8), Quant(scale, np.zeros(scale.size, np.int64), axis)
        )
        bias_quant = Quant((input_quant.scale[0] * scale).astype(np.float32), np.zeros(scale.size, np.int64))
        real = self.bias.detach().cpu().numpy().astype(np.float64) * self.unit
        limit = BIAS_LIMIT * bias_quant.scale.astype(np.float64)
        bias = bias_quant.quantize(real.clip(-limit, limit), np.dtype(np.int32))
        return weights, Tensor.constant(self.biases.name, bias, bias_quant)


class Int8Network(Network):
    """An int8 graph with trainable weights, biases and ranges.

    Activations are whole steps of their scales, as in `fake_quantization`. The scales and integers are those of
    the graph until something is trained.

    Args:
        graph: A full-integer graph, int8 from its input to its outputs.
        real_weights: Float weights by name, near which the training starts, as far as the graph's integers allow.
        shift: By how much the input's integers lie above the normalised image.
        device: Torch's name of the device.
    """

    def __init__(
        self,
        graph: Graph,
        real_weights: Mapping[str, Array] | None = None,
        shift: float = 0.0,
        device: str = "cpu",
    ) -> None:
        super().__init__(graph, device)
        self.shift = shift
        self.ranges = LearnedRanges(graph, device)
        known = real_weights or {}
        self.layers = {
            op: Layer(op, known.get(_weights_name(op)), device) for op in graph.ops if op.kind in WEIGHTED
        }
        self.parameters: dict[str, Any] = {"moved": self.ranges.moved}
        for number, layer in enumerate(self.layers.values()):
            self.parameters |= {f"{role}_{number}": value for role, value in layer.parameters.items()}
        self._scale_of = {
            tensor: op.output
            for op in graph.ops
            if op.kind in SAME_SCALE
            for _, tensor in value_inputs(op)
            if tensor.is_constant
        }

    def enter(self, tensor: Tensor, images: Any) -> Any:
        """The images in the integers of the input, at the start of each run."""
        self.ranges.refresh()
        scale_of = self.ranges.scale_of
        self._integers = {
            op: layer.integers(scale_of(layer.source), scale_of(op.output)) for op, layer in self.layers.items()
        }
        return self.ranges.steps(tensor, images + self.shift, 1.0 / self.ranges.scale_of(tensor))

    def operand(self, op: Op, position: int, values: dict[Tensor, Any]) -> Any:
        """An input as the kernel reads it: whole steps, or real numbers where the kernel would scale them."""
        tensor = op.inputs[position]
        assert tensor is not None, "only inputs that are there are asked for"
        if op in self.layers:
            rule = WEIGHTED[op.kind]
            weights, bias, _ = self._integers[op]
            return {rule.weights: weights, rule.bias: bias}.get(position, values.get(tensor))
        if tensor in self._scale_of:
            output = self._scale_of[tensor]
            return self.ranges.steps(output, self.constants[tensor], 1.0 / self.ranges.scale_of(output))
        if tensor.is_constant:
            return self.constants.get(tensor)
        return values[tensor] if op.kind in SAME_SCALE else self.real(tensor, values[tensor])

    def leave(self, op: Op, tensor: Tensor, value: Any) -> Any:
        """A result as the kernel writes it: whole steps, clipped by the fused activation function."""
        if tensor.quant is None or (op.kind in SAME_SCALE and op.kind not in ROUNDING):
            return value
        if op in self.layers:
            multiplier = self._integers[op][2]
        elif op.kind in SAME_SCALE:
            multiplier = torch.ones((), device=self.device)
        else:
            multiplier = 1.0 / self.ranges.scale_of(tensor)
        function = str(op.attributes.get("fused_activation_function") or "NONE")
        return self.ranges.steps(tensor, value, multiplier, function)

    def real(self, tensor: Tensor, value: Any) -> Any:
        """The real numbers behind whole steps."""
        return value if tensor.quant is None else value * self.ranges.scale_of(tensor)

    def confine(self) -> None:
        """Keep scales and integers valid after a step of the optimiser."""
        self.ranges.confine()
        with torch.no_grad():
            for layer in self.layers.values():
                layer.gain.clamp_(-MOST_GAIN, MOST_GAIN)

    def to_graph(self) -> Graph:
        """The int8 graph with weights, biases and scales as they are now."""
        self.ranges.refresh()
        quants = self.ranges.quants()
        copies: dict[Tensor, Tensor] = {}

        def copied(tensor: Tensor) -> Tensor:
            if tensor not in copies:
                copies[tensor] = self._copy(tensor, quants)
            return copies[tensor]

        ops = []
        for op in self.graph.ops:
            inputs = [None if one is None else copied(one) for one in op.inputs]
            if op in self.layers:
                rule = WEIGHTED[op.kind]
                source = inputs[rule.input]
                assert source is not None and source.quant is not None
                inputs[rule.weights], inputs[rule.bias] = self.layers[op].constants(source.quant)
            outputs = [copied(one) for one in op.outputs]
            ops.append(Op(op.kind, inputs, outputs, dict(op.attributes), options_table=op.options_table))
        result = Graph(
            ops, [copied(one) for one in self.graph.inputs], [copied(one) for one in self.graph.outputs]
        )
        result.verify("tuning")
        return result

    def _copy(self, tensor: Tensor, quants: Mapping[Tensor, Quant]) -> Tensor:
        if tensor in self._scale_of:
            real = Tensor.constant(tensor.name, self.constants[tensor].cpu().numpy())
            return quantize_operand(real, quants[self._scale_of[tensor]])
        if tensor.data is not None:
            return Tensor.constant(tensor.name, tensor.data, tensor.quant)
        return Tensor(tensor.name, tensor.shape, tensor.dtype, quant=quants.get(tensor))


def _weights_name(op: Op) -> str:
    weights = op.inputs[WEIGHTED[op.kind].weights]
    return "" if weights is None else weights.name


def _start(integers: Array, quant: Quant, real: Array | None) -> Array:
    """Where the weights start, in steps: at the real ones, as far as these round to the given integers.

    One that was rounded the other way starts as far on this side of the border as its real value lies on the other
    side; one that lies further away starts at its integer.
    """
    whole = integers.astype(np.float32)
    if real is None or real.shape != integers.shape:
        return whole
    apart = real / quant.dequantize(np.ones_like(integers)) - whole
    mirrored = np.sign(apart) * np.maximum(1.0 - np.abs(apart), 0.0)
    inside = np.where(np.abs(apart) > 0.5, mirrored, apart)
    start: Array = (whole + inside.clip(-NEARLY_HALF, NEARLY_HALF)).astype(np.float32)
    return start
