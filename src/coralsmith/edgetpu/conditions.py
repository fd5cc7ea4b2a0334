"""The conditions of the operator rules: one small function measures each, the limits are in `rules/`.

There are two sorts. A fault says in words what is wrong, or None. A quantity is a number that the rule compares
with what was seen on the Edge TPU and what is known to be refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.edgetpu.rules import Rule
from coralsmith.graph.model import Op, Tensor
from coralsmith.graph.operators import OPERATORS

_PARAMETERS: Final = ("filter", "bias", "alpha")


@dataclass(frozen=True)
class Violation:
    """That an operator breaks a rule.

    Attributes:
        measured: The value found, in words.
        certain: Whether it is known that the compiler leaves such an operator on the CPU.
    """

    measured: str
    certain: bool


def violation(op: Op, rule: Rule, min_runtime: int) -> Violation | None:
    """How `op` breaks `rule` in a model for runtimes from `min_runtime` on, or None if it keeps it."""
    if rule.before_runtime is not None and min_runtime >= rule.before_runtime:
        return None
    if rule.id in FAULTS:
        fault = FAULTS[rule.id](op)
        return None if fault is None else Violation(fault, certain=not rule.uncertain)
    value = QUANTITIES[rule.id](op)
    if rule.mapped_up_to is None or value <= rule.mapped_up_to:
        return None
    refused = rule.refused_from is not None and value >= rule.refused_from
    return Violation(rule.measured(value), certain=refused)


def _parameter_not_constant(op: Op) -> str | None:
    roles = [role for role in _PARAMETERS if role in OPERATORS[op.kind].inputs]
    parameters = {role: op.input(role) for role in roles}
    computed = [role for role, tensor in parameters.items() if tensor is not None and not tensor.is_constant]
    return f"computed {' and '.join(computed)}" if computed else None


def _equal_dilation(op: Op) -> str | None:
    height, width = op.attributes.get("dilation_h_factor", 1), op.attributes.get("dilation_w_factor", 1)
    return None if height == width else f"{height} x {width}"


def _groups(op: Op) -> str | None:
    inputs, read = op.required_input("input").shape[-1:], op.required_input("filter").shape[-1:]
    return None if inputs == read or not all(read) else f"{inputs[0] // read[0]} groups"


def _fused_activation(op: Op) -> str | None:
    activation = op.attributes.get("fused_activation_function", "NONE")
    return None if activation == "NONE" else str(activation)


def _concatenated_constant(op: Op) -> str | None:
    constants = [tensor for tensor in op.inputs if tensor is not None and tensor.is_constant]
    if not constants or (len(op.inputs) == 2 and all(_is_zero(constant) for constant in constants)):
        return None
    return f"{len(op.inputs)} inputs, {len(constants)} of them constant"


def _output_size(op: Op) -> float:
    return op.output.elements


def _weights_format(op: Op) -> str | None:
    weights_format = op.attributes.get("weights_format", "DEFAULT")
    return None if weights_format == "DEFAULT" else str(weights_format)


def _output_rank(op: Op) -> str | None:
    return _more_than_one_dimension(op.output)


def _dense_width(op: Op) -> float:
    return op.output.shape[-1] if op.output.shape else 1


def _reduced_batch(op: Op) -> str | None:
    return "axis 0" if 0 in _axes(op) else None


def _reduced_depth(op: Op) -> str | None:
    shape = op.required_input("input").shape
    last = len(shape) - 1
    return f"{shape[last]} channels" if last in _axes(op) and shape[last] % 4 else None


def _mean_area(op: Op) -> float:
    shape = op.required_input("input").shape
    return float(np.prod([shape[axis] for axis in _axes(op) if axis < len(shape) - 1]))


def _mean_size(op: Op) -> float:
    return op.required_input("input").elements


def _mean_over_channels(op: Op) -> str | None:
    shape = op.required_input("input").shape
    other = [axis for axis in _axes(op) if shape[axis] > 1 and axis not in (len(shape) - 3, len(shape) - 2)]
    return f"axis {other[0]} of {list(shape)}" if other else None


def _padded_batch(op: Op) -> str | None:
    paddings = op.required_input("paddings").data
    batch = [] if paddings is None else paddings[:1].ravel().tolist()
    return str(batch) if any(batch) else None


def _padded_channels(op: Op) -> str | None:
    paddings = op.required_input("paddings").data
    channels = [] if paddings is None else paddings[-1:].ravel().tolist()
    return str(channels) if any(channels) else None


def _reshape_size(op: Op) -> float:
    return 0 if _is_head_reshape(op) else op.output.elements


def _head_reshape_size(op: Op) -> float:
    return op.output.elements if _is_head_reshape(op) else 0


def _is_head_reshape(op: Op) -> bool:
    """Whether a map [1, h, w, a * k] becomes the rows [1, h * w * a, k] of a detector's head."""
    before, after = op.required_input("input").shape, tuple(size for size in op.output.shape if size > 1)
    return len(before) == 4 and len(after) == 2 and after[0] > before[1] and before[-1] % after[1] == 0


def _resize_factor(op: Op) -> float:
    before, after = op.required_input("input").shape, op.output.shape
    return max((new / max(old, 1) for old, new in zip(before[1:3], after[1:3], strict=False)), default=1.0)


def _split_batch(op: Op) -> str | None:
    axes = _axes(op) if op.kind == "SPLIT" else [op.attributes.get("axis")]
    return "axis 0" if 0 in axes else None


def _squeeze_layout(op: Op) -> str | None:
    before, after = op.required_input("input").shape, op.output.shape
    leading = (1,) * (len(before) - len(after)) + after
    return None if leading == before else f"{list(before)} to {list(after)}"


def _strided_slice_stride(op: Op) -> str | None:
    strides = op.required_input("strides").data
    return None if strides is None or np.all(strides == 1) else f"strides {strides.tolist()}"


def _strided_slice_mask(op: Op) -> str | None:
    masks = {name: op.attributes.get(name) for name in ("ellipsis_mask", "new_axis_mask")}
    return ", ".join(f"{name} {value}" for name, value in masks.items() if value) or None


def _tile_layout(op: Op) -> str | None:
    before, after = op.required_input("input").shape, op.output.shape
    position = (*(1 for _ in before[:-1]), *before[-1:])
    return None if before == position and before[-1:] == after[-1:] else f"{list(before)} to {list(after)}"


def _feature_width(op: Op) -> float:
    source = op.inputs[0] if op.inputs else None
    return 0 if source is None or not source.shape else source.shape[-1]


def _prelu_alpha(op: Op) -> str | None:
    return _more_than_one_dimension(op.required_input("alpha"))


def _more_than_one_dimension(tensor: Tensor) -> str | None:
    return str(list(tensor.shape)) if sum(size > 1 for size in tensor.shape) > 1 else None


def _axes(op: Op) -> list[int]:
    """The dimensions that an operator works along, counted from the front; none where they are computed."""
    axes, rank = op.required_input("axis").data, len(op.required_input("input").shape)
    return [] if axes is None or rank == 0 else [int(axis) % rank for axis in axes.ravel()]


def _is_zero(constant: Tensor) -> bool:
    data = constant.data
    if data is None:
        return False
    return not np.any(data if constant.quant is None else constant.quant.dequantize(data))


FAULTS: Final[dict[str, Callable[[Op], str | None]]] = {
    "parameter-not-constant": _parameter_not_constant,
    "equal-dilation": _equal_dilation,
    "grouped-convolution": _groups,
    "fused-activation": _fused_activation,
    "concatenated-constant": _concatenated_constant,
    "weights-format": _weights_format,
    "dense-output-rank": _output_rank,
    "reduced-batch": _reduced_batch,
    "reduced-depth": _reduced_depth,
    "mean-axes-runtime": _mean_over_channels,
    "padded-batch": _padded_batch,
    "padded-channels-runtime": _padded_channels,
    "softmax-rank": _output_rank,
    "split-batch": _split_batch,
    "squeeze-layout": _squeeze_layout,
    "strided-slice-stride": _strided_slice_stride,
    "strided-slice-mask": _strided_slice_mask,
    "prelu-alpha": _prelu_alpha,
    "tile-layout": _tile_layout,
}

QUANTITIES: Final[dict[str, Callable[[Op], float]]] = {
    "concatenation-size": _output_size,
    "dense-width": _dense_width,
    "head-reshape-size": _head_reshape_size,
    "lstm-width": _feature_width,
    "mean-area": _mean_area,
    "mean-size": _mean_size,
    "nearest-resize-factor": _resize_factor,
    "nearest-resize-size": _output_size,
    "reshape-size": _reshape_size,
    "resize-factor": _resize_factor,
    "resize-size": _output_size,
    "softmax-size": _output_size,
}
