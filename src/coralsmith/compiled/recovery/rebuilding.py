"""Builds the quantized model from a skeleton and the numbers that were found for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.package import is_edgetpu_operator
from coralsmith.compiled.packed_layer import PackedLayer
from coralsmith.compiled.packing import INT8_OFFSET, Floats, LayerParameters
from coralsmith.compiled.recovery.network import Numbers
from coralsmith.compiled.recovery.scales import SolvedScales, weight_scales
from coralsmith.compiled.recovery.segment import Segment
from coralsmith.graph.model import Graph, Op, Quant, Tensor

_SYMMETRIC: Final = 128


@dataclass(frozen=True, eq=False)
class RecoveredLayer:
    """A layer with its parameters.

    Attributes:
        op: The operator, of the skeleton.
        form: How its parameters are packed.
        parameters: What they are.
        multipliers: float32, one or one for each output channel.
        source: Set of tensors of its input.
        target: Set of tensors of its output.
    """

    op: Op
    form: PackedLayer
    parameters: LayerParameters
    multipliers: Floats
    source: int
    target: int


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """A model again.

    Attributes:
        graph: The whole of it.
        chip: The part that ran on the chip.
        carriers: Operators that change the integer type between the chip's part and the boundary.
        twins: For each operator of the skeleton, the one in the graph.
        off: For each layer of the skeleton, by how many float32 steps each of its multipliers is missed.
    """

    graph: Graph
    chip: Graph
    carriers: frozenset[Op]
    twins: Mapping[Op, Op]
    off: Mapping[Op, NDArray[np.int64]]


def rebuild(
    skeleton: Graph,
    layers: Sequence[RecoveredLayer],
    numbers: Numbers,
    solved: SolvedScales,
    segments: Sequence[Segment],
) -> Rebuilt:
    """The model that was compiled, up to the scales that are a free choice.

    Args:
        skeleton: The topology of what runs on the chip.
        layers: Its layers.
        numbers: Its zero points and activations.
        solved: Its scales.
        segments: The compiled files, whose other operators are kept.
    """
    builder = _Builder(skeleton, numbers, solved, _element_type(layers))
    off = {layer.op: builder.set_parameters(layer) for layer in layers}
    for op, activation in numbers.activations.items():
        builder.twins[op].attributes["fused_activation_function"] = activation
    return Rebuilt(builder.between(segments), builder.chip, frozenset(builder.carriers), builder.twins, off)


def _element_type(layers: Sequence[RecoveredLayer]) -> np.dtype[Any]:
    """int8 if the weights are as int8 models have them, else uint8: both are the same integers."""
    symmetric = all(layer.parameters.weight_zero_point == _SYMMETRIC for layer in layers)
    return np.dtype(np.int8 if symmetric else np.uint8)


class _Builder:
    """Copies the skeleton, gives its tensors numbers, and puts it in place of the Edge TPU operators."""

    def __init__(self, skeleton: Graph, numbers: Numbers, solved: SolvedScales, dtype: np.dtype[Any]) -> None:
        self.chip = skeleton.copy()
        self.carriers: set[Op] = set()
        self.twins = dict(zip(skeleton.ops, self.chip.ops, strict=True))
        self._offset = INT8_OFFSET if dtype == np.int8 else 0
        self._solved = solved
        for old, new in zip(skeleton.tensors(), self.chip.tensors(), strict=True):
            if old in numbers.node:
                node = numbers.node[old]
                new.dtype, new.shape_signature = dtype, None
                new.quant = Quant.per_tensor(float(solved.scales[node]), numbers.zero_points[node] - self._offset)

    def set_parameters(self, layer: RecoveredLayer) -> NDArray[np.int64]:
        """Give an operator its weights and bias; returns by how many float32 steps each multiplier is missed."""
        op, parameters = self.twins[layer.op], layer.parameters
        source = self._solved.scales[layer.source]
        scales, off = weight_scales(source, self._solved.scales[layer.target], layer.multipliers)
        axis = 3 if layer.form.depthwise else 0
        zero_points = np.full(len(scales), parameters.weight_zero_point - self._offset, np.int64)
        weights = parameters.weights if not self._offset else (parameters.weights ^ INT8_OFFSET).view(np.int8)
        old = op.required_input("filter")
        op.inputs[1] = Tensor.constant(old.name, weights, Quant(scales, zero_points, axis))
        if parameters.bias is not None or op.input("bias") is not None:
            values = np.zeros(layer.form.outputs, np.int32) if parameters.bias is None else parameters.bias
            quant = Quant(source * scales, np.zeros(len(scales), np.int64))
            bias = op.input("bias")
            name = f"{op.name}/bias" if bias is None else bias.name
            op.inputs[2:] = [Tensor.constant(name, values, quant)]
        return off

    def between(self, segments: Sequence[Segment]) -> Graph:
        """The graph with the operators around the chip, which the compiled files hold as they were."""
        hosts = [segment.model.graph.copy() for segment in segments]
        first, last = hosts[0], hosts[-1]
        chips = [next(op for op in host.ops if is_edgetpu_operator(op)) for host in hosts]
        before: list[Op] = []
        after: list[Op] = []
        given = [tensor for tensor in chips[0].inputs if tensor is not None]
        for inner, outer in zip(list(self.chip.inputs), given, strict=True):
            self._join(inner, outer, before, is_input=True)
        for inner, outer in zip(list(self.chip.outputs), chips[-1].outputs, strict=True):
            self._join(inner, outer, after, is_input=False)
        self.carriers.update(before, after)
        others = {host: [op for op in host.ops if not is_edgetpu_operator(op)] for host in hosts}
        made_from_chip = _downstream(last, chips[-1])
        head = [op for op in others[first] if op not in made_from_chip]
        tail = [op for op in others[last] if op in made_from_chip]
        return Graph([*head, *before, *self.chip.ops, *after, *tail], first.inputs, last.outputs)

    def _join(self, inner: Tensor, outer: Tensor, carriers: list[Op], *, is_input: bool) -> None:
        """Let a tensor of the graph be one outside, if need be through an operator that changes its type."""
        if inner.dtype == outer.dtype:
            if is_input:
                self.chip.inputs = [outer if tensor is inner else tensor for tensor in self.chip.inputs]
                self.chip.replace_tensor(inner, outer)
            else:
                for op in self.chip.ops:
                    op.outputs = [outer if tensor is inner else tensor for tensor in op.outputs]
                self.chip.replace_tensor(inner, outer)
            outer.quant = inner.quant
        elif is_input:
            carriers.append(Op("QUANTIZE", [outer], [inner]))
        else:
            carriers.append(Op("QUANTIZE", [inner], [outer]))


def _downstream(graph: Graph, start: Op) -> set[Op]:
    """The operators that need what one puts out."""
    known, found = set(start.outputs), set()
    for op in graph.ops:
        if any(tensor in known for tensor in op.inputs):
            found.add(op)
            known.update(op.outputs)
    return found
