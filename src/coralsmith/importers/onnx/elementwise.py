"""Arithmetic and activations: what is computed element by element, however it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, reduce
from typing import Final

import numpy as np

from coralsmith.graph import Attribute, Tensor
from coralsmith.importers.onnx.builder import FIXED, Builder
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.table import Translator
from coralsmith.importers.onnx.values import Operand, Value


def _combined(kind: str, attributes: Mapping[str, Attribute], node: Node, build: Builder) -> Value:
    """An operator of two operands, applied from left to right where there are more."""
    tensors, order = build.aligned([node.operand(position) for position in range(len(node.inputs))])
    return Value(reduce(lambda left, right: build.emit(kind, [left, right], attributes), tensors), order)


def _multiplied(node: Node, build: Builder) -> Value:
    """MUL, or HARD_SWISH where a value is multiplied by its own hard sigmoid, as older operator sets write it."""
    product = _combined("MUL", FIXED, node, build)
    op = build.producer(product.tensor)
    factors = list(op.activations()) if op is not None else []
    for value, gate in (factors, factors[::-1]) if len(factors) == 2 else ():
        if _is_hard_sigmoid(build, gate, value):
            return Value(build.emit("HARD_SWISH", [value]), product.order)
    return product


def _is_hard_sigmoid(build: Builder, gate: Tensor, value: Tensor) -> bool:
    """Whether a tensor is relu6(value + 3) / 6, as `_gate` builds it."""
    for kind, number in (("MUL", 1 / 6), ("RELU6", None), ("ADD", 3.0)):
        op = build.producer(gate)
        sources = [] if op is None else list(op.activations())
        if op is None or op.kind != kind or len(sources) != 1:
            return False
        constants = [tensor.data for tensor in op.inputs if tensor is not None and tensor.data is not None]
        if number is not None and not (constants[0].size == 1 and abs(float(constants[0].max()) - number) < 1e-5):
            return False
        gate = sources[0]
    return gate is value


def _unary(kind: str, node: Node, build: Builder) -> Value:
    value = node.value()
    return Value(build.emit(kind, [value.tensor]), value.order)


def _power(node: Node, build: Builder) -> Value:
    """A square is a MUL and a root a SQRT, both of which the Edge TPU has; POW it has not."""
    value, exponent = node.value(), node.constant(1)
    if exponent.size == 1 and float(exponent.reshape(-1)[0]) == 2.0:
        return Value(build.emit("MUL", [value.tensor, value.tensor], FIXED), value.order)
    if exponent.size == 1 and float(exponent.reshape(-1)[0]) == 0.5:
        return Value(build.emit("SQRT", [value.tensor]), value.order)
    tensors, order = build.aligned([value, exponent.astype(np.float32)])
    return Value(build.emit("POW", tensors), order)


def _reciprocal(node: Node, build: Builder) -> Value:
    value = node.value()
    one = build.constant(np.array(1.0, np.float32))
    return Value(build.emit("DIV", [one, value.tensor], FIXED), value.order)


def _clip(node: Node, build: Builder) -> Value:
    """One of TensorFlow Lite's own clipped activations, else MAXIMUM and MINIMUM."""
    value = node.value()
    low, high = _bound(node, "min", 1, -np.inf), _bound(node, "max", 2, np.inf)
    named = {(0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}.get((low, high))
    if named is None and low == 0.0 and high >= np.finfo(np.float32).max:
        named = "RELU"
    if named is not None:
        return Value(build.emit(named, [value.tensor]), value.order)
    return Value(_clipped(build, value.tensor, low, high), value.order)


def _bound(node: Node, name: str, position: int, otherwise: float) -> float:
    if node.has(position):
        return float(node.constant(position).reshape(()))
    return node.number(name, otherwise)


def _clipped(build: Builder, tensor: Tensor, low: float, high: float) -> Tensor:
    limits = np.finfo(np.float32)
    if low > limits.min:
        tensor = build.emit("MAXIMUM", [tensor, build.constant(np.array(low, np.float32))])
    if high < limits.max:
        tensor = build.emit("MINIMUM", [tensor, build.constant(np.array(high, np.float32))])
    return tensor


def _leaky_relu(node: Node, build: Builder) -> Value:
    value = node.value()
    return Value(build.emit("LEAKY_RELU", [value.tensor], {"alpha": node.number("alpha", 0.01)}), value.order)


def _prelu(node: Node, build: Builder) -> Value:
    """The slopes are stored like the value, without the batch."""
    value, slopes = node.value(), node.weights(1)
    tensors, order = build.aligned([value, slopes])
    alpha = tensors[1].data
    assert alpha is not None, "the slopes are constant"
    missing = max(value.rank - 1 - alpha.ndim, 0)
    alpha = alpha.reshape((1,) * missing + alpha.shape)
    return Value(build.emit("PRELU", [tensors[0], build.constant(alpha)]), order)


def _elu(node: Node, build: Builder) -> Value:
    if node.number("alpha", 1.0) != 1.0:
        raise node.refusal(f"has the alpha {node.number('alpha', 1.0):g}, and only 1 has a form here")
    return _unary("ELU", node, build)


def _hard_sigmoid(node: Node, build: Builder) -> Value:
    """relu6(x + 3) / 6 in its usual form, else a clipped straight line."""
    value = node.value()
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    if abs(alpha * 6.0 - 1.0) < 1e-5:
        return Value(_gate(build, value.tensor, beta / alpha, alpha), value.order)
    line = _scaled(build, value.tensor, alpha)
    line = build.emit("ADD", [line, build.constant(np.array(beta, np.float32))], FIXED)
    return Value(_clipped(build, line, 0.0, 1.0), value.order)


def _gate(build: Builder, tensor: Tensor, shift: float, factor: float) -> Tensor:
    """relu6(x + shift) * factor."""
    moved = build.emit("ADD", [tensor, build.constant(np.array(shift, np.float32))], FIXED)
    return _scaled(build, build.emit("RELU6", [moved]), factor)


def _scaled(build: Builder, tensor: Tensor, factor: float) -> Tensor:
    return build.emit("MUL", [tensor, build.constant(np.array(factor, np.float32))], FIXED)


def _batch_normalization(node: Node, build: Builder) -> Value:
    """A factor and a shift for each channel; `folding` moves them into a convolution before it."""
    value = node.value()
    if node.integer("training_mode", 0) or any(node.outputs[1:]):
        raise node.refusal("is in training mode", "Export the model with model.eval().")
    scale, shift, mean, variance = (node.weights(position).astype(np.float64) for position in (1, 2, 3, 4))
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    channels = (-1, *(1,) * (value.rank - 2))
    tensors, order = build.aligned([value, factor.astype(np.float32).reshape(channels)])
    scaled = Value(build.emit("MUL", tensors, FIXED), order)
    tensors, order = build.aligned([scaled, (shift - mean * factor).astype(np.float32).reshape(channels)])
    return Value(build.emit("ADD", tensors, FIXED), order)


def _unchanged(node: Node, _build: Builder) -> Operand:
    """What changes nothing when a model is used: Identity, and Dropout outside training."""
    if len(node.outputs) > 1 and node.outputs[1]:
        raise node.refusal("gives its mask away", "Export the model with model.eval().")
    return node.operand(0)


def _cast(node: Node, build: Builder) -> Value:
    """Pixels of an integer input become real numbers; real numbers stay what they are."""
    value = node.value()
    to_float, is_float = node.integer("to", 0) == _FLOAT, value.tensor.dtype == np.float32
    if not to_float:
        raise node.refusal("makes something else than float32 of an activation", "Export the model in float32.")
    if is_float:
        return value
    return Value(build.emit("CAST", [value.tensor]), value.order)


_FLOAT: Final = 1  # onnx.TensorProto.FLOAT

ELEMENTWISE: Final[dict[str, Translator]] = {
    **{
        kind: partial(_combined, name, FIXED)
        for kind, name in {"Add": "ADD", "Sub": "SUB", "Div": "DIV", "Sum": "ADD"}.items()
    },
    "Mul": _multiplied,
    "Max": partial(_combined, "MAXIMUM", {}),
    "Min": partial(_combined, "MINIMUM", {}),
    **{
        kind: partial(_unary, name)
        for kind, name in {
            "Relu": "RELU",
            "Sigmoid": "LOGISTIC",
            "Tanh": "TANH",
            "HardSwish": "HARD_SWISH",
            "Exp": "EXP",
            "Log": "LOG",
            "Sqrt": "SQRT",
            "Abs": "ABS",
            "Neg": "NEG",
        }.items()
    },
    "Pow": _power,
    "Reciprocal": _reciprocal,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "BatchNormalization": _batch_normalization,
    "Identity": _unchanged,
    "Dropout": _unchanged,
    "Cast": _cast,
}
