"""A float graph as a differentiable torch function over batches of images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.operands import Operands
from coralsmith.tuning.operators import FUNCTIONS
from coralsmith.tuning.operators.arithmetic import ACTIVATIONS


class Network:
    """The operators of a graph over real numbers.

    Args:
        graph: A graph with one input and static shapes.
        device: Torch's name of the device.

    Raises:
        UnsupportedModelError: An operator has no form in torch here.
    """

    def __init__(self, graph: Graph, device: str = "cpu") -> None:
        for op in graph.ops:
            if op.kind not in FUNCTIONS:
                raise UnsupportedModelError(
                    f"{op.custom_code or op.kind} '{op.name}' cannot be trained: there is no torch form of it.",
                    hint="Convert without tuning; post-training quantization knows more operators.",
                )
        self.graph = graph
        self.device = device
        self.constants = {
            tensor: torch.from_numpy(_real(tensor)).to(device)
            for op in graph.ops
            for tensor in op.inputs
            if tensor is not None and tensor.data is not None and (tensor.is_float or tensor.quant is not None)
        }
        self._operands = {op: Operands(op) for op in graph.ops}
        self._dying = _last_uses(graph)

    def run(self, images: Any, wanted: Collection[str]) -> dict[str, Any]:
        """Compute some of the graph's values.

        Args:
            images: float32 [N, H, W, C], normalised, on the network's device; its strides are the memory format
                of all that follows.
            wanted: Names of activations.

        Returns:
            Real numbers by name; a leading dimension of 1 in the graph is N here.
        """
        values = {self.graph.inputs[0]: self.enter(self.graph.inputs[0], images)}
        found: dict[str, Any] = {}
        for op in self.graph.ops:
            inputs = [
                None if tensor is None else self.operand(op, i, values) for i, tensor in enumerate(op.inputs)
            ]
            results = FUNCTIONS[op.kind](self._operands[op], inputs)
            for tensor, result in zip(
                op.outputs, results if isinstance(results, list) else [results], strict=True
            ):
                values[tensor] = self.leave(op, tensor, result)
                if tensor.name in wanted:
                    found[tensor.name] = self.real(tensor, values[tensor])
            for tensor in self._dying[op]:
                values.pop(tensor, None)
        return found

    # What an int8 network does otherwise.

    def enter(self, _: Tensor, images: Any) -> Any:
        """The images as the first operator reads them."""
        return images

    def operand(self, op: Op, position: int, values: dict[Tensor, Any]) -> Any:
        """The value of one input of an operator; None for shapes, axes and indices."""
        tensor = op.inputs[position]
        assert tensor is not None, "only inputs that are there are asked for"
        return self.constants.get(tensor) if tensor.is_constant else values[tensor]

    def leave(self, op: Op, _: Tensor, value: Any) -> Any:
        """The result of an operator behind its fused activation function."""
        return ACTIVATIONS[str(op.attributes.get("fused_activation_function") or "NONE")](value)

    def real(self, _: Tensor, value: Any) -> Any:
        """The real numbers that a value stands for."""
        return value


class FloatNetwork(Network):
    """A float graph: what an int8 network is held against."""


def carries_batches(network: Network, images: Any) -> bool:
    """Whether the network computes several images at once as it computes each alone.

    Args:
        network: Any.
        images: Two or more different ones, [N, H, W, C].
    """
    graph = network.graph
    if any(tensor.shape[:1] != (1,) for op in graph.ops for tensor in op.outputs):
        return False
    names = [tensor.name for tensor in graph.outputs]
    with torch.no_grad():
        together = network.run(images[:2], names)
        alone = [network.run(images[i : i + 1], names) for i in range(2)]
    for name in names:
        expected = torch.cat([one[name] for one in alone])
        if together[name].shape != expected.shape:
            return False
        if not torch.allclose(together[name], expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max())):
            return False
    return True


def _real(tensor: Tensor) -> Any:
    """A constant's real values, float32; a copy, which torch may own."""
    assert tensor.data is not None, "a constant"
    real = tensor.data if tensor.quant is None else tensor.quant.dequantize(tensor.data)
    return np.array(real, np.float32)


def _last_uses(graph: Graph) -> dict[Op, list[Tensor]]:
    """The activations that nobody reads after an operator."""
    last = {tensor: op for op in graph.ops for tensor in (*op.inputs, *op.outputs) if tensor is not None}
    dying: dict[Op, list[Tensor]] = defaultdict(list)
    for tensor, op in last.items():
        dying[op].append(tensor)
    return dying
