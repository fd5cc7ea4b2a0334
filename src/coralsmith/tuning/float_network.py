"""A float graph as a trainable torch function, in units in which one learning rate suits every layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.quantization.adaptive_rounding import WEIGHT_LIMIT
from coralsmith.quantization.ranges import LEVELS
from coralsmith.quantization.rules import WEIGHTED
from coralsmith.quantization.weights import SMALLEST_SCALE
from coralsmith.tuning.network import FloatNetwork


class TrainableFloatNetwork(FloatNetwork):
    """A float graph whose convolutions and dense layers learn.

    Weights and biases are counted in the steps that they would have in int8: a weight in those of its channel's
    largest, a bias in 1/255 of what its layer spans. So learning rates mean what they mean in an int8 network.

    Args:
        graph: A float graph with one input.
        images: float32 [N, H, W, C], normalised; they tell what each layer spans.
        device: Torch's name of the device.

    Attributes:
        parameters: By name; without names of their own, numbered.
    """

    def __init__(self, graph: Graph, images: Any, device: str = "cpu") -> None:
        super().__init__(graph, device)
        self.parameters: dict[str, Any] = {}
        self._learned: dict[Tensor, tuple[Any, Any]] = {}
        layers = [op for op in graph.ops if op.kind in WEIGHTED]
        with torch.no_grad():
            computed = self.run(images, {op.output.name for op in layers})
        for op in layers:
            rule, values = WEIGHTED[op.kind], computed[op.output.name]
            weights = op.inputs[rule.weights]
            bias = op.inputs[rule.bias] if len(op.inputs) > rule.bias else None
            if weights in self.constants:
                self._learn("steps", weights, _step(self.constants[weights], rule.channel_axis))
            if bias in self.constants:
                self._learn("bias", bias, ((values.max() - values.min()) / LEVELS).clamp(min=SMALLEST_SCALE))

    def _learn(self, role: str, tensor: Tensor, unit: Any) -> None:
        if tensor not in self._learned:  # layers may share their weights
            parameter = (self.constants[tensor] / unit).requires_grad_()
            self.parameters[f"{role}_{len(self._learned)}"] = parameter
            self._learned[tensor] = parameter, unit

    def operand(self, op: Op, position: int, values: dict[Tensor, Any]) -> Any:
        """As in any network, with what was learned in place of the graph's constants."""
        tensor = op.inputs[position]
        if tensor in self._learned:
            parameter, unit = self._learned[tensor]
            return parameter * unit
        return super().operand(op, position, values)

    def confine(self) -> None:
        """Nothing: every float is valid."""

    def to_graph(self) -> Graph:
        """The float graph with weights and biases as they are now."""
        learned = {tensor.name: parameter * unit for tensor, (parameter, unit) in self._learned.items()}
        graph = self.graph.copy()
        for tensor in graph.tensors():
            if tensor.name in learned:
                tensor.data = np.ascontiguousarray(learned[tensor.name].detach().cpu().numpy())
        return graph


def _step(weights: Any, axis: int) -> Any:
    """The step of each channel's weights, broadcast over them."""
    others = [i for i in range(weights.ndim) if i != axis]
    return (weights.abs().amax(dim=others, keepdim=True) / WEIGHT_LIMIT).clamp(min=SMALLEST_SCALE)
