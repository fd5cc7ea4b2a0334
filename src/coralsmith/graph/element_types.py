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

_COMPARING: Final = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})
_CONVERTING: Final = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST", "SHAPE", "RANK", "ARG_MAX", "ARG_MIN"})
_RESIZING: Final = frozenset({"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"})
_ORDERING: Final = frozenset({"CAST", "ARG_MAX", "ARG_MIN", "REVERSE_V2", "SELECT", "SELECT_V2", "ZEROS_LIKE"})
_WITHOUT_SCALES: Final = frozenset({*LAYOUT_RULES, *_RESIZING, *_ORDERING})
"""They move or compare 8-bit integers, whatever these mean; all others compute with real numbers."""

_EIGHT_BITS: Final = (np.dtype(np.int8), np.dtype(np.uint8))
_SIXTEEN_BITS: Final = np.dtype(np.int16)
_INTEGERS: Final = "iu"
_BESIDE: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "filter": {
        "float32": ("float32", "int8", "uint8"),  # the integers belong to dynamic-range models
        "float16": ("float16",),
        "int8": ("int8",),
        "uint8": ("uint8",),
        "int16": ("int8", "int16"),
    },
    "bias": {
        "float32": ("float32",),
        "float16": ("float16", "float32"),
        "int8": ("int32",),
        "uint8": ("int32",),
        "int16": ("int32", "int64"),
    },
}
"""Role -> element type of the data -> the element types that the role may have beside it."""


def type_violations(op: Op) -> Iterator[str]:
    """What is wrong with the element types of an operator of the operator table, each in one phrase."""
    spec = OPERATORS[op.kind]
    roles = VALUES[:1] * len(op.inputs) if spec.variadic else spec.inputs
    present = [(role, tensor) for role, tensor in zip(roles, op.inputs, strict=False) if tensor is not None]
    values = [tensor for role, tensor in present if role in VALUES]
    yield from _mixed(op, values)
    for role, tensor in present:
        if role not in VALUES:
            yield from _misplaced(role, tensor, values[0].dtype.name if values else "")
    if op.kind not in _WITHOUT_SCALES:
        yield from _unscaled([*(tensor for _, tensor in present), *op.outputs])


def _unscaled(tensors: list[Tensor]) -> Iterator[str]:
    """Eight bits have a scale; sixteen have one all together, or are plain integers all together."""
    scaled = {tensor.dtype for tensor in tensors if tensor.quant is not None}
    for tensor in tensors:
        if tensor.quant is None and tensor.dtype in (*_EIGHT_BITS, *(scaled & {_SIXTEEN_BITS})):
            yield f"'{tensor.name}' has no scale"


def _mixed(op: Op, values: list[Tensor]) -> Iterator[str]:
    if op.kind in _CONVERTING:
        return
    types = {tensor.dtype.name for tensor in (values if op.kind in _COMPARING else [*values, *op.outputs])}
    if len(types) > 1:
        yield f"it mixes {' and '.join(sorted(types))}"


def _misplaced(role: str, tensor: Tensor, data: str) -> Iterator[str]:
    """Weights fit the data, a condition is a truth value, and all else counts dimensions or elements."""
    if role in _BESIDE:
        if tensor.dtype.name not in _BESIDE[role].get(data, ()):
            yield f"its {role} is of type {tensor.dtype.name} beside {data}"
    elif tensor.dtype.kind not in ("b" if role == "condition" else _INTEGERS):
        yield f"its {role} is of type {tensor.dtype.name}"
