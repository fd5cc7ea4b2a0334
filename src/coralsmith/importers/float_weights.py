"""Turns weights that a float model stores in fewer bits (fp16, dynamic-range int8) into plain float constants."""

from __future__ import annotations

import numpy as np

from coralsmith.graph import Graph, Op, Tensor


def expand_half_weights(graph: Graph) -> int:
    """Replace each DEQUANTIZE of a constant by the float32 constant it makes, in place.

    Converters store fp16 weights, and int8 weights of operators without a mixed kernel, in this form.

    Returns:
        Number of weights replaced.
    """
    expanded: dict[Tensor | None, Tensor] = {
        op.output: _expanded(op.required_input("input"), op.output.name)
        for op in graph.ops
        if op.kind == "DEQUANTIZE" and _constant(op.inputs[0])
    }
    graph.ops = [op for op in graph.ops if op.output not in expanded]
    for op in graph.ops:
        op.inputs = [expanded.get(tensor, tensor) for tensor in op.inputs]
    graph.outputs = [expanded.get(tensor, tensor) for tensor in graph.outputs]
    return len(expanded)


def expand_dynamic_range_weights(graph: Graph) -> int:
    """Replace the int8 weights of operators that compute with float activations by float32 ones, in place.

    The interpreter quantizes such an operator's activations anew for every input ("dynamic range"), so its outputs
    differ from those of the float graph by the rounding of that.

    Returns:
        Number of weights replaced.
    """
    expanded: dict[Tensor, Tensor] = {}
    for op in graph.ops:
        if not _computes_in_float(op):
            continue
        for position, tensor in enumerate(op.inputs):
            if tensor is not None and _is_stored_in_integers(tensor):
                if tensor not in expanded:
                    expanded[tensor] = _expanded(tensor, tensor.name)
                op.inputs[position] = expanded[tensor]
    return len(expanded)


def _constant(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.is_constant


def _computes_in_float(op: Op) -> bool:
    activations = list(op.activations())
    return bool(activations) and all(t.dtype == np.float32 for t in (*activations, *op.outputs))


def _is_stored_in_integers(tensor: Tensor) -> bool:
    return tensor.is_constant and tensor.quant is not None and tensor.dtype.kind in "iu"


def _expanded(tensor: Tensor, name: str) -> Tensor:
    assert tensor.data is not None
    if tensor.quant is None or tensor.is_float:
        return Tensor.constant(name, tensor.data.astype(np.float32))
    return Tensor.constant(name, tensor.quant.dequantize(tensor.data))
