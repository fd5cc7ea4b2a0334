"""Draws topologies: graphs of operators and shapes whose constants hold nothing."""

from __future__ import annotations

import numpy as np

from coralsmith.graph.model import Attribute, Graph, Op, Tensor
from coralsmith.graph.shapes import infer_shapes

_PLACEHOLDER = np.dtype(np.float32)


class Outline:
    """A graph in the making; every method adds an operator and returns its output.

    Args:
        input_shape: Of the one input, [1, height, width, channels] or [1, features].
    """

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.input = Tensor("input", input_shape, _PLACEHOLDER)
        self._ops: list[Op] = []

    def graph(self, *outputs: Tensor) -> Graph:
        """The graph with these outputs."""
        return Graph(self._ops, [self.input], list(outputs))

    def convolution(
        self, source: Tensor, outputs: int, kernel: int, name: str, *, stride: int = 1, activation: str = "NONE"
    ) -> Tensor:
        """A SAME convolution."""
        weights = (outputs, kernel, kernel, source.shape[-1])
        return self._layer("CONV_2D", source, weights, outputs, name, **_window(stride, activation))

    def depthwise(
        self, source: Tensor, kernel: int, name: str, *, stride: int = 1, activation: str = "NONE"
    ) -> Tensor:
        """A SAME depthwise convolution."""
        channels = source.shape[-1]
        attributes = _window(stride, activation) | {"depth_multiplier": 1}
        return self._layer(
            "DEPTHWISE_CONV_2D", source, (1, kernel, kernel, channels), channels, name, **attributes
        )

    def fully_connected(self, source: Tensor, outputs: int, name: str, *, activation: str = "NONE") -> Tensor:
        """A dense layer."""
        attributes: dict[str, Attribute] = {
            "fused_activation_function": activation,
            "weights_format": "DEFAULT",
            "keep_num_dims": False,
            "asymmetric_quantize_inputs": False,
        }
        return self._layer("FULLY_CONNECTED", source, (outputs, source.shape[-1]), outputs, name, **attributes)

    def add(self, first: Tensor, second: Tensor, name: str) -> Tensor:
        """A sum."""
        return self._op("ADD", [first, second], name, fused_activation_function="NONE")

    def average_pool(self, source: Tensor, name: str) -> Tensor:
        """The mean of a whole map."""
        _, height, width, _ = source.shape
        return self._op(
            "AVERAGE_POOL_2D",
            [source],
            name,
            padding="VALID",
            stride_w=1,
            stride_h=1,
            filter_width=width,
            filter_height=height,
            fused_activation_function="NONE",
        )

    def reshape(self, source: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        """The same values in another shape."""
        wanted = Tensor.constant(f"{name}/shape", np.array(shape, np.int32))
        return self._op("RESHAPE", [source, wanted], name, new_shape=shape)

    def softmax(self, source: Tensor, name: str) -> Tensor:
        """Probabilities of classes that exclude each other."""
        return self._op("SOFTMAX", [source], name, beta=1.0)

    def logistic(self, source: Tensor, name: str) -> Tensor:
        """Probabilities of classes that do not."""
        return self._op("LOGISTIC", [source], name)

    def concatenation(self, sources: list[Tensor], axis: int, name: str) -> Tensor:
        """Tensors behind each other."""
        return self._op("CONCATENATION", [*sources], name, axis=axis, fused_activation_function="NONE")

    def _layer(
        self, kind: str, source: Tensor, weights: tuple[int, ...], outputs: int, name: str, **attributes: Attribute
    ) -> Tensor:
        constants = _empty(f"{name}/weights", weights), _empty(f"{name}/bias", (outputs,))
        return self._op(kind, [source, *constants], name, **attributes)

    def _op(self, kind: str, inputs: list[Tensor | None], name: str, **attributes: Attribute) -> Tensor:
        output = Tensor(name, (), _PLACEHOLDER)
        op = Op(kind, inputs, [output], dict(attributes))
        shapes = infer_shapes(op)
        if shapes is None:
            raise ValueError(f"the shape of '{name}' does not follow from its inputs")
        output.shape = shapes[0]
        self._ops.append(op)
        return output


def _window(stride: int, activation: str) -> dict[str, Attribute]:
    return {
        "padding": "SAME",
        "stride_w": stride,
        "stride_h": stride,
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
        "fused_activation_function": activation,
    }


def _empty(name: str, shape: tuple[int, ...]) -> Tensor:
    """A constant of zeros that takes no memory."""
    return Tensor(name, shape, _PLACEHOLDER, np.broadcast_to(np.float32(0), shape))
