"""Element-wise operators, activation functions and reductions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch.nn import functional

from coralsmith.graph.operands import Operands

Elementwise = Callable[[Any], Any]

ACTIVATIONS: Final[dict[str, Elementwise]] = {
    "NONE": lambda value: value,
    "RELU": torch.relu,
    "RELU6": lambda value: value.clamp(0.0, 6.0),
    "RELU_N1_TO_1": lambda value: value.clamp(-1.0, 1.0),
    "TANH": torch.tanh,
}
"""Activation functions, as operators of their own and as fused ones."""


def _unary(function: Elementwise) -> Callable[[Operands, Sequence[Any]], Any]:
    return lambda _, values: function(values[0])


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Operands, Sequence[Any]], Any]:
    return lambda _, values: function(values[0], values[1])


def _number(op: Operands, name: str, default: float) -> float:
    value = op.op.attributes.get(name, default)
    assert isinstance(value, (int, float)), f"{name} is a number"
    return float(value)


def _leaky_relu(op: Operands, values: Sequence[Any]) -> Any:
    return functional.leaky_relu(values[0], _number(op, "alpha", 0.0))


def _prelu(_: Operands, values: Sequence[Any]) -> Any:
    return torch.where(values[0] >= 0, values[0], values[0] * values[1])


def _softmax(op: Operands, values: Sequence[Any]) -> Any:
    return torch.softmax(values[0] * _number(op, "beta", 1.0), dim=-1)


def _reduce(function: Callable[[Any, list[int], bool], Any]) -> Callable[[Operands, Sequence[Any]], Any]:
    def apply(op: Operands, values: Sequence[Any]) -> Any:
        rank = values[0].ndim
        axes = sorted({axis % rank for axis in op.values(1)})
        return function(values[0], axes, bool(op.op.attributes.get("keep_dims", False)))

    return apply


ARITHMETIC: Final[dict[str, Callable[[Operands, Sequence[Any]], Any]]] = {
    "ADD": _binary(torch.add),
    "SUB": _binary(torch.sub),
    "MUL": _binary(torch.mul),
    "SQUARED_DIFFERENCE": _binary(lambda first, second: (first - second).square()),
    "MAXIMUM": _binary(torch.maximum),
    "MINIMUM": _binary(torch.minimum),
    "RELU": _unary(ACTIVATIONS["RELU"]),
    "RELU6": _unary(ACTIVATIONS["RELU6"]),
    "RELU_N1_TO_1": _unary(ACTIVATIONS["RELU_N1_TO_1"]),
    "TANH": _unary(torch.tanh),
    "LOGISTIC": _unary(torch.sigmoid),
    "HARD_SWISH": _unary(functional.hardswish),
    "RSQRT": _unary(torch.rsqrt),
    "QUANTIZE": _unary(lambda value: value),
    "LEAKY_RELU": _leaky_relu,
    "PRELU": _prelu,
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _unary(lambda value: torch.log_softmax(value, dim=-1)),
    "L2_NORMALIZATION": _unary(lambda value: functional.normalize(value, dim=-1, eps=1e-6)),
    "MEAN": _reduce(lambda value, axes, keep: value.mean(dim=axes, keepdim=keep)),
    "SUM": _reduce(lambda value, axes, keep: value.sum(dim=axes, keepdim=keep)),
    "REDUCE_MAX": _reduce(lambda value, axes, keep: value.amax(dim=axes, keepdim=keep)),
    "REDUCE_MIN": _reduce(lambda value, axes, keep: value.amin(dim=axes, keepdim=keep)),
}
