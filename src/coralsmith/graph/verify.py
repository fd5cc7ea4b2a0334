"""The invariants of the common form, checked after reading and after every pass.

Whoever has a graph that passes may rely on it: single producers, execution order, constants that fit their
tensors, sane attributes, shapes that follow from the inputs, quantization that is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.operators import OPERATORS
from coralsmith.graph.shapes import infer_shapes

_POSITIVE_ATTRIBUTES: Final = (
    "stride_w",
    "stride_h",
    "dilation_w_factor",
    "dilation_h_factor",
    "filter_width",
    "filter_height",
    "block_size",
    "num_splits",
)
MAX_ACTIVATION_BYTES: Final = 1 << 32
MAX_RANK: Final = 8
_QUANTIZED_TYPES: Final = (np.dtype(np.int8), np.dtype(np.uint8))


def violations(graph: Graph) -> list[str]:
    """What is wrong with `graph`, each in one phrase; empty for a valid graph."""
    return [*_flow(graph), *_tensors(graph), *(broken for op in graph.ops for broken in _operator(op))]


def _flow(graph: Graph) -> Iterator[str]:
    """Each value has one producer that runs before its readers."""
    available = set(graph.inputs)
    produced: set[Tensor] = set()
    for op in graph.ops:
        for tensor in op.inputs:
            if tensor is None or tensor.is_constant or tensor.is_variable:
                continue
            if tensor not in available:
                yield f"{op.kind} '{op.name}' reads '{tensor.name}' before anything writes it"
        for tensor in op.outputs:
            if tensor in produced or tensor in graph.inputs or tensor.is_constant:
                yield f"{op.kind} writes '{tensor.name}', which has another source"
        available.update(op.outputs)
        produced.update(op.outputs)
    for tensor in graph.outputs:
        if tensor not in available and not tensor.is_constant:
            yield f"nothing writes the output '{tensor.name}'"


def _tensors(graph: Graph) -> Iterator[str]:
    tensors = graph.tensors()
    activation_bytes = sum(t.elements * t.dtype.itemsize for t in tensors if not t.is_constant)
    if activation_bytes > MAX_ACTIVATION_BYTES:
        yield f"the activations take {activation_bytes} bytes, more than {MAX_ACTIVATION_BYTES}"
    for tensor in tensors:
        data = tensor.data
        if data is not None and (data.shape != tensor.shape or data.dtype != tensor.dtype):
            yield f"constant '{tensor.name}' holds {data.dtype}{list(data.shape)}, not what it declares"
        yield from _quantization(tensor)


def _quantization(tensor: Tensor) -> Iterator[str]:
    quant = tensor.quant
    if quant is None:
        return
    if not np.all(np.isfinite(quant.scale)) or np.any(quant.scale < 0):
        yield f"tensor '{tensor.name}' has a scale that is negative or no number"
    if quant.is_per_channel and not (
        0 <= quant.axis < len(tensor.shape) and tensor.shape[quant.axis] == quant.scale.size
    ):
        yield f"tensor '{tensor.name}' has {quant.scale.size} scales along dimension {quant.axis}"
    if tensor.dtype in _QUANTIZED_TYPES:
        limits = np.iinfo(tensor.dtype)
        if np.any(quant.zero_point < limits.min) or np.any(quant.zero_point > limits.max):
            yield f"tensor '{tensor.name}' has a zero point outside {tensor.dtype.name}"


def _operator(op: Op) -> Iterator[str]:
    where = f"{op.kind} '{op.name}'"
    if not op.outputs:
        yield f"a {op.kind} has no output"
        return
    spec = OPERATORS.get(op.kind)
    if spec is not None:
        if any(tensor is None for tensor in op.inputs[: spec.required]) or len(op.inputs) < spec.required:
            yield f"{where} lacks one of its {spec.required} inputs"
            return
        if not spec.variadic and len(op.inputs) > len(spec.inputs):
            yield f"{where} has {len(op.inputs)} inputs"
            return
    for name in _POSITIVE_ATTRIBUTES:
        value = op.attributes.get(name, 1)
        if not isinstance(value, int) or value < 1:
            yield f"{where} has {name} = {value}"
            return
    yield from _shapes(op, where)


def _shapes(op: Op, where: str) -> Iterator[str]:
    """The shapes follow from the inputs; tensors that the file declares dynamic are not judged."""
    if any(tensor is not None and tensor.shape_signature for tensor in (*op.inputs, *op.outputs)):
        return
    try:
        expected = infer_shapes(op)
    except (ValueError, IndexError, KeyError, ZeroDivisionError) as error:
        yield f"the shapes of {where} do not fit: {error}"
        return
    found = [tensor.shape for tensor in op.outputs]
    if expected is not None and found != expected:
        yield f"{where} gives {[list(s) for s in expected]}, the model says {[list(s) for s in found]}"
