"""Names and numbers of the TFLite schema, taken from the schema module that `ai_edge_litert` ships.

The attributes of an operator are the fields of its options table in snake_case; enumerations are their names.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from coralsmith.graph.model import Attribute

FILE_IDENTIFIER: Final = b"TFL3"
SCHEMA_VERSION: Final = 3
PLACEHOLDER_CODE: Final = 127  # old one-byte operator code of every operator above 126

NUMPY_TYPES: Final[dict[int, np.dtype[Any]]] = {
    schema.TensorType.FLOAT32: np.dtype(np.float32),
    schema.TensorType.FLOAT16: np.dtype(np.float16),
    schema.TensorType.FLOAT64: np.dtype(np.float64),
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.UINT8: np.dtype(np.uint8),
    schema.TensorType.INT16: np.dtype(np.int16),
    schema.TensorType.UINT16: np.dtype(np.uint16),
    schema.TensorType.INT32: np.dtype(np.int32),
    schema.TensorType.UINT32: np.dtype(np.uint32),
    schema.TensorType.INT64: np.dtype(np.int64),
    schema.TensorType.UINT64: np.dtype(np.uint64),
    schema.TensorType.BOOL: np.dtype(np.bool_),
    schema.TensorType.COMPLEX64: np.dtype(np.complex64),
}
TENSOR_TYPES: Final = {dtype: number for number, dtype in NUMPY_TYPES.items()}


def _names(enumeration: type) -> dict[int, str]:
    return {
        number: name
        for name, number in vars(enumeration).items()
        if isinstance(number, int) and not name.startswith("_")
    }


TYPE_NAMES: Final = _names(schema.TensorType)
OPERATOR_NAMES: Final = _names(schema.BuiltinOperator)
OPERATOR_CODES: Final = {name: number for number, name in OPERATOR_NAMES.items()}
OPTIONS_NAMES: Final = _names(schema.BuiltinOptions)
OPTIONS_CODES: Final = {name: number for number, name in OPTIONS_NAMES.items()}

_ENUMERATIONS: Final = {
    "fused_activation_function": _names(schema.ActivationFunctionType),
    "padding": _names(schema.Padding),
    "mode": _names(schema.MirrorPadMode),
    "weights_format": _names(schema.FullyConnectedOptionsWeightsFormat),
    "kernel_type": _names(schema.LSTMKernelType),
    "in_data_type": TYPE_NAMES,
    "out_data_type": TYPE_NAMES,
    "out_type": TYPE_NAMES,
    "output_type": TYPE_NAMES,
}


@cache
def attribute_fields(options_table: str) -> dict[str, str]:
    """The attributes of an options table: snake_case name -> field name of the schema's object form."""
    constructor = inspect.signature(getattr(schema, options_table + "T").__init__)
    fields = [name for name in constructor.parameters if name != "self"]
    return {re.sub(r"([A-Z])", r"_\1", name).lower(): name for name in fields}


@cache
def vector_lengths(options_table: str) -> tuple[str, ...]:
    """The accessors that tell the lengths of the vectors in an options table."""
    return tuple(name for name in dir(getattr(schema, options_table)) if name.endswith("Length"))


def to_attribute(name: str, value: Any) -> Attribute:
    """One field of an options table as an attribute.

    Raises:
        ValueError: An enumeration holds a number that the schema does not name, or the field is a nested table.
    """
    if name in _ENUMERATIONS:
        if value not in _ENUMERATIONS[name]:
            raise ValueError(f"{name} holds {value}, which the schema does not name")
        return _ENUMERATIONS[name][value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, np.ndarray)):
        return tuple(np.asarray(value).tolist())
    raise ValueError(f"{name} is a nested table, which coralsmith has no form for")


def from_attribute(name: str, value: Attribute) -> Any:
    """An attribute as the schema's object form holds it; the inverse of `to_attribute`."""
    if name in _ENUMERATIONS:
        return next(number for number, text in _ENUMERATIONS[name].items() if text == value)
    return list(value) if isinstance(value, tuple) else value
