"""The invariants of the common form, checked after reading and after every pass.

Whoever has a graph that passes may rely on it: single producers, execution order, constants that fit their
tensors, sane attributes, shapes that follow from the inputs, quantization that is complete.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from coralsmith.graph.element_types import type_violations
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.operands import Shape
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
_SEVERAL_OUTPUTS: Final = frozenset({"SPLIT", "SPLIT_V", "UNPACK"})
MAX_TENSOR_BYTES: Final = 1 << 28
MAX_ACTIVATION_BYTES: Final = 1 << 31
MAX_RANK: Final = 8
_SMALLEST_SCALE: Final = np.finfo(np.float32).tiny  # kernels that divide by smaller ones crash
_QUANTIZED_TYPES: Final = (np.dtype(np.int8), np.dtype(np.uint8))


def violations(graph: Graph) -> Iterator[str]:
    """What is wrong with `graph`, each in one phrase; nothing for a valid graph."""
    yield from _flow(graph)
    yield from _tensors(graph)
    known = {tensor: tensor.shape for tensor in graph.inputs}
    for op in graph.ops:
        problem = next(_operator(op, known), None)
        if problem is not None:
            yield f"{op.kind} '{op.name}': {problem}"
    yield from _memory(graph, known)


def _memory(graph: Graph, known: dict[Tensor, Shape]) -> Iterator[str]:
    """A file of a kilobyte can ask for any amount."""
    activations = [tensor for tensor in graph.tensors() if not tensor.is_constant]
    sizes = [max(t.elements, math.prod(known.get(t, ()))) * t.dtype.itemsize for t in activations]
    if max(sizes, default=0) > MAX_TENSOR_BYTES:
        yield f"one activation takes {max(sizes)} bytes, more than {MAX_TENSOR_BYTES}"
    if sum(sizes) > MAX_ACTIVATION_BYTES:
        yield f"the activations take {sum(sizes)} bytes, more than {MAX_ACTIVATION_BYTES}"


def _flow(graph: Graph) -> Iterator[str]:
    """Each value has one source that comes before its readers."""
    available = set(graph.inputs)
    if len(available) < len(graph.inputs) or any(tensor.is_constant for tensor in available):
        yield "an input is constant or listed twice"
    for op in graph.ops:
        for tensor in op.inputs:
            if tensor is None or tensor.is_constant or tensor.is_variable:
                continue
            if tensor not in available:
                yield f"{op.kind} '{op.name}' reads '{tensor.name}' before anything writes it"
        for tensor in op.outputs:
            if tensor in available or tensor.is_constant:
                yield f"{op.kind} writes '{tensor.name}', which has another source"
            available.add(tensor)
    for tensor in graph.outputs:
        if tensor not in available and not tensor.is_constant:
            yield f"nothing writes the output '{tensor.name}'"


def _tensors(graph: Graph) -> Iterator[str]:
    for tensor in graph.tensors():
        data = tensor.data
        if data is None and tensor.elements == 0:
            yield f"tensor '{tensor.name}' of shape {list(tensor.shape)} has no elements"
        declared = tensor.shape_signature or tensor.shape
        if any(wanted not in (-1, size) for wanted, size in zip(declared, tensor.shape, strict=False)):
            yield f"tensor '{tensor.name}' of shape {list(tensor.shape)} was declared {list(declared)}"
        if data is not None and (data.shape != tensor.shape or data.dtype != tensor.dtype):
            yield f"constant '{tensor.name}' holds {data.dtype}{list(data.shape)}, not what it declares"
        yield from _quantization(tensor)


def _quantization(tensor: Tensor) -> Iterator[str]:
    quant = tensor.quant
    if quant is None:
        return
    if not np.all((quant.scale >= _SMALLEST_SCALE) & (quant.scale < np.inf)):
        yield f"tensor '{tensor.name}' has a scale that is not positive, or no number"
    if quant.is_per_channel and not (
        0 <= quant.axis < len(tensor.shape) and tensor.shape[quant.axis] == quant.scale.size
    ):
        yield f"tensor '{tensor.name}' has {quant.scale.size} scales along dimension {quant.axis}"
    if tensor.dtype in _QUANTIZED_TYPES:
        limits = np.iinfo(tensor.dtype)
        if np.any(quant.zero_point < limits.min) or np.any(quant.zero_point > limits.max):
            yield f"tensor '{tensor.name}' has a zero point outside {tensor.dtype.name}"


def _operator(op: Op, known: dict[Tensor, Shape]) -> Iterator[str]:
    if not op.outputs:
        yield "it has no output"
    spec = OPERATORS.get(op.kind)
    if spec is not None:
        if any(tensor is None for tensor in op.inputs[: spec.required]) or len(op.inputs) < spec.required:
            yield f"it lacks one of its {spec.required} inputs"
        if not spec.variadic and len(op.inputs) > len(spec.inputs):
            yield f"it has {len(op.inputs)} inputs"
        if len(op.outputs) > 1 and op.kind not in _SEVERAL_OUTPUTS:
            yield f"it has {len(op.outputs)} outputs"
        for name in _POSITIVE_ATTRIBUTES:
            value = op.attributes.get(name, 1)
            if not isinstance(value, int) or value < 1:
                yield f"{name} is {value}"
        yield from type_violations(op)
    yield from _shapes(op, known)


def _shapes(op: Op, known: dict[Tensor, Shape]) -> Iterator[str]:
    """The shapes follow from the inputs; those that the file leaves open are noted in `known` on the way."""
    try:
        expected = infer_shapes(op, known)
    except (ValueError, IndexError) as error:
        yield f"the shapes do not fit: {error}"
        return
    if expected is None:
        return
    if len(expected) != len(op.outputs):
        yield f"it has {len(op.outputs)} outputs, not {len(expected)}"
    for tensor, shape in zip(op.outputs, expected, strict=False):
        known[tensor] = shape
        if tensor.shape_signature is None and tensor.shape != shape:
            yield f"it gives {list(shape)}, the model says {list(tensor.shape)}"
