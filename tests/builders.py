"""Builds small graphs for tests: one function per thing, random weights from a fixed seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from coralsmith.graph import Array, Attribute, Graph, Op, Quant, Tensor
from coralsmith.graph.shapes import infer_shapes

CONVOLUTION: dict[str, Attribute] = {
    "padding": "SAME",
    "stride_w": 1,
    "stride_h": 1,
    "dilation_w_factor": 1,
    "dilation_h_factor": 1,
    "fused_activation_function": "NONE",
}


def activation(name: str, shape: tuple[int, ...], dtype: Any = np.float32, quant: Quant | None = None) -> Tensor:
    """A tensor that is computed at run time."""
    return Tensor(name, shape, np.dtype(dtype), quant=quant)


def constant(name: str, values: Any, dtype: Any = None, quant: Quant | None = None) -> Tensor:
    """A constant tensor."""
    return Tensor.constant(name, np.array(values, dtype), quant)


def random_constant(name: str, shape: tuple[int, ...], seed: int = 0, spread: float = 0.3) -> Tensor:
    """A float32 constant of normal noise."""
    noise: Array = np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)
    return Tensor.constant(name, noise)


def op(kind: str, inputs: list[Tensor | None], name: str, dtype: Any = None, **attributes: Attribute) -> Op:
    """An operator with one output: its shape follows from the inputs, its scale is that of the first one."""
    first = next(tensor for tensor in inputs if tensor is not None and not tensor.is_constant)
    output = Tensor(name, (), np.dtype(dtype or first.dtype))
    output.quant = first.quant if output.dtype == first.dtype else None
    result = Op(kind, inputs, [output], dict(attributes))
    shapes = infer_shapes(result)
    assert shapes is not None, f"no shape rule for {kind}"
    output.shape = shapes[0]
    return result


def graph(ops: list[Op], inputs: list[Tensor], outputs: list[Tensor] | None = None) -> Graph:
    """A verified graph; by default its output is that of the last operator."""
    result = Graph(ops, inputs, outputs or [ops[-1].output])
    result.verify("building the test graph")
    return result


def conv_graph(
    *,
    size: int = 8,
    channels: int = 3,
    filters: int = 4,
    kernel: int = 3,
    seed: int = 0,
    **attributes: Attribute,
) -> Graph:
    """One float CONV_2D with bias."""
    source = activation("input", (1, size, size, channels))
    weights = random_constant("weights", (filters, kernel, kernel, channels), seed)
    bias = random_constant("bias", (filters,), seed + 1)
    conv = op("CONV_2D", [source, weights, bias], "conv", **{**CONVOLUTION, **attributes})
    return graph([conv], [source])
