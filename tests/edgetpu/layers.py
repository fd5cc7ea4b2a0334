"""Single layers for tests about memory: weights of ones, a bias of ones, 8 bits."""

from __future__ import annotations

import numpy as np

from coralsmith.graph.model import Graph, Op, Quant, Tensor
from coralsmith.graph.shapes import infer_shapes
from tests.builders import CONVOLUTION, activation, constant


def filters(shape: tuple[int, ...], *, scales: int = 1) -> Tensor:
    quant = Quant(np.linspace(0.1, 0.2, scales, dtype=np.float32), np.zeros(scales, np.int64))
    return constant("weights", np.ones(shape, np.int8), quant=quant)


def bias(count: int, value: int) -> Tensor:
    return constant("bias", np.full(count, value, np.int32))


def conv(
    shape: tuple[int, ...],
    *,
    size: int = 16,
    scales: int = 1,
    bias_value: int = 1,
    source: Tensor | None = None,
    name: str = "out",
    **attributes,
) -> Op:
    """A convolution whose filter has the shape [outputs, height, width, inputs]."""
    source = source or activation("input", (1, size, size, shape[3]), np.int8)
    inputs = [source, filters(shape, scales=scales), bias(shape[0], bias_value)]
    op = Op("CONV_2D", inputs, [activation(name, (), np.int8)], {**CONVOLUTION, **attributes})
    (op.output.shape,) = infer_shapes(op)
    return op


def depthwise(
    channels: int, *, kernel: int = 3, size: int = 8, multiplier: int = 1, scales: int = 1, **attributes
) -> Op:
    source = activation("input", (1, size, size, channels // multiplier), np.int8)
    inputs = [source, filters((1, kernel, kernel, channels), scales=scales), bias(channels, 1)]
    options = {**CONVOLUTION, "depth_multiplier": multiplier, **attributes}
    op = Op("DEPTHWISE_CONV_2D", inputs, [activation("out", (), np.int8)], options)
    (op.output.shape,) = infer_shapes(op)
    return op


def dense(outputs: int, inputs: int, *, source: Tensor | None = None, name: str = "out") -> Op:
    source, output = source or activation("input", (1, inputs), np.int8), activation(name, (1, outputs), np.int8)
    return Op("FULLY_CONNECTED", [source, filters((outputs, inputs))], [output])


def flatten(*shape: int) -> Op:
    """A RESHAPE of a map [1, height, width, channels] to a vector."""
    source = activation("map", (1, *shape), np.int8)
    return Op("RESHAPE", [source], [activation("vector", (1, source.elements), np.int8)])


def graph_of(*ops: Op) -> Graph:
    """Operators beside each other."""
    return Graph(list(ops), [op.inputs[0] for op in ops], [op.output for op in ops])
