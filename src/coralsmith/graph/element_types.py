"""Which element types the operators of the operator table combine.

Source: TFLite's quantization specification and the operator documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from coralsmith.graph.layout_shapes import LAYOUT_RULES
from coralsmith.graph.model import Op, Tensor
from coralsmith.graph.operators import OPERATORS, VALUES

_CONVERTING: Final = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST", "SHAPE", "ARG_MAX"})
_WITHOUT_SCALES: Final = frozenset(
    {*LAYOUT_RULES, "CAST", "ARG_MAX", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}
)
"""They move or compare 8-bit integers, whatever these mean; all others compute with real numbers."""

_EIGHT_BITS: Final = (np.dtype(np.int8), np.dtype(np.uint8))
_WEIGHTS: Final[dict[str, tuple[str, ...]]] = {
    "float32": ("float32", "int8", "uint8"),
    "float16": ("float16",),
    "int8": ("int8",),
    "uint8": ("uint8",),
    "int16": ("int8", "int16"),
}
"""Element type of the data -> those of the filter; the integers beside float32 are hybrid operators."""

_BIASES: Final[dict[str, tuple[str, ...]]] = {
    "float32": ("float32",),
    "float16": ("float16", "float32"),
    "int8": ("int32",),
    "uint8": ("int32",),
    "int16": ("int32", "int64"),
}


def type_violations(op: Op) -> Iterator[str]:
    """What is wrong with the element types of an operator of the operator table, each in one phrase."""
    roles = _roles(op)
    values = [tensor for role, tensor in roles if role in VALUES]
    if op.kind not in _CONVERTING and len(types := {tensor.dtype.name for tensor in (*values, *op.outputs)}) > 1:
        yield f"it mixes {' and '.join(sorted(types))}"
    for role, tensor in roles:
        if role == "filter":
            yield from _unless_among(_WEIGHTS, values[0], tensor, role)
        elif role == "bias":
            yield from _unless_among(_BIASES, values[0], tensor, role)
        elif role not in VALUES and tensor.dtype.kind not in "iu":
            yield f"its {role} is of type {tensor.dtype.name}"
    if op.kind not in _WITHOUT_SCALES:
        for tensor in (*(tensor for _, tensor in roles), *op.outputs):
            if tensor.dtype in _EIGHT_BITS and tensor.quant is None:
                yield f"'{tensor.name}' has no scale"


def _roles(op: Op) -> list[tuple[str, Tensor]]:
    spec = OPERATORS[op.kind]
    roles = ("input",) * len(op.inputs) if spec.variadic else spec.inputs
    return [(role, tensor) for role, tensor in zip(roles, op.inputs, strict=False) if tensor is not None]


def _unless_among(allowed: dict[str, tuple[str, ...]], data: Tensor, tensor: Tensor, role: str) -> Iterator[str]:
    if tensor.dtype.name not in allowed.get(data.dtype.name, ()):
        yield f"its {role} is of type {tensor.dtype.name} beside {data.dtype.name}"
