"""What stands behind a convolution and can be part of it: factors, shifts, and the clipping of its result.

So batch normalisation, a bias of its own and a ReLU cost nothing, as in the models that other importers make.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from coralsmith.graph import Array, Graph, Op, Tensor

_FILTER_AXIS: Final = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3}
_HOSTS: Final = frozenset({*_FILTER_AXIS, "ADD", "SUB", "MUL"})
_ACTIVATIONS: Final = frozenset({"RELU", "RELU6", "RELU_N1_TO_1"})


def fold_into_convolutions(graph: Graph) -> None:
    """Fold, in place, what follows a convolution and is its only reader."""
    producers = graph.producers()
    readers = {tensor: len(ops) for tensor, ops in graph.consumers().items()}
    kept: list[Op] = []
    for op in graph.ops:
        source = _activation(op)
        host = producers.get(source) if source is not None else None
        free = source is not None and readers.get(source) == 1 and source not in graph.outputs
        if host is not None and free and _folds(op, host):
            host.outputs = op.outputs
            producers[op.output] = host
        else:
            kept.append(op)
    graph.ops = kept


def _activation(op: Op) -> Tensor | None:
    """The only input that is not constant."""
    found = list(op.activations())
    return found[0] if len(found) == 1 else None


def _folds(op: Op, host: Op) -> bool:
    """Make `op` a part of `host` where that is possible."""
    if host.attributes.get("fused_activation_function") != "NONE":
        return False
    if op.kind in _ACTIVATIONS and host.kind in _HOSTS:
        host.attributes["fused_activation_function"] = op.kind
        return True
    if op.kind not in ("MUL", "ADD", "SUB") or host.kind not in _FILTER_AXIS:
        return False
    numbers = _per_filter(op, host)
    if numbers is None or (op.kind == "SUB" and op.inputs[0] is not host.output):
        return False
    weights, bias = host.required_input("filter"), host.input("bias")
    if weights.data is None or bias is None or bias.data is None:
        return False
    if op.kind == "MUL":
        axis = _FILTER_AXIS[host.kind]
        shape = [-1 if place == axis else 1 for place in range(weights.data.ndim)]
        host.inputs[1] = _product(weights, numbers.reshape(shape))
        host.inputs[2] = _product(bias, numbers)
    else:
        sign = -1.0 if op.kind == "SUB" else 1.0
        host.inputs[2] = Tensor.constant(bias.name, (bias.data + sign * numbers).astype(np.float32))
    return True


def _per_filter(op: Op, host: Op) -> Array | None:
    """The constant of an operator as one number for each filter of the convolution before it, or None."""
    constant = next((tensor for tensor in op.inputs if tensor is not None and tensor.data is not None), None)
    filters = host.output.shape[-1]
    if constant is None or constant.data is None or op.output.shape != host.output.shape:
        return None
    if constant.elements not in (1, filters) or (constant.elements > 1 and constant.shape[-1] != filters):
        return None
    return np.broadcast_to(constant.data.reshape(-1).astype(np.float64), (filters,))


def _product(tensor: Tensor, factors: Array) -> Tensor:
    assert tensor.data is not None, "asked before"
    return Tensor.constant(tensor.name, (tensor.data * factors).astype(np.float32))
