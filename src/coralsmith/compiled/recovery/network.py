"""Gathers what is known of a network's numbers: its sets of tensors with one scale, zero points, their ties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from coralsmith.compiled.packing import Floats, LayerParameters
from coralsmith.compiled.program import RequantBlock
from coralsmith.compiled.recovery.assignment import Assignment
from coralsmith.compiled.recovery.scale_ties import AddTie, RescalingTie, stepped
from coralsmith.compiled.recovery.scales import Clamp, ScaledLayer, ScaleProblem
from coralsmith.compiled.recovery.skeleton import SAME_SCALE
from coralsmith.compiled.recovery.softmax import SoftmaxInput
from coralsmith.compiled.recovery.tiling import PlacedLayer
from coralsmith.compiled.requantization import scale, zero_point
from coralsmith.compiled.softmax_table import scale_of_range
from coralsmith.errors import NotProvedError
from coralsmith.graph.model import Graph, Op, Tensor

PROBABILITY_SCALE: Final = np.float32(1 / 256)
"""Scale of what SOFTMAX and LOGISTIC put out, zero point 0 (TFLite quantization specification)."""

Value = TypeVar("Value", int, np.float32)

_PROBABILITIES: Final = frozenset({"SOFTMAX", "LOGISTIC"})


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers of a network, as far as the compiled files hold them.

    Attributes:
        node: For each activation, the set of tensors that share its scale and zero point.
        zero_points: Of each node, uint8 domain.
        activations: Of each operator that writes with a clamp: NONE, RELU or RELU6.
        problem: What is known of the scales.
    """

    node: Mapping[Tensor, int]
    zero_points: Mapping[int, int]
    activations: Mapping[Op, str]
    problem: ScaleProblem


def gather_numbers(
    graph: Graph,
    layers: Sequence[PlacedLayer],
    parameters: Mapping[Op, LayerParameters],
    found: Assignment,
    boundary: Mapping[Tensor, Tensor],
    softmax: SoftmaxInput | None,
) -> Numbers:
    """Put together what parameters, instructions and boundary say of a network.

    Args:
        graph: The skeleton.
        layers: Its layers.
        parameters: Their parameters.
        found: Their constants, and those of other operators.
        boundary: For tensors of the skeleton, tensors of the compiled files whose numbers they have.
        softmax: What is known of the scale that the SOFTMAX reads, if there is one.

    Raises:
        NotProvedError: They contradict each other.
    """
    gathered = _Gathered(_nodes(graph, found))
    for tensor, outside in boundary.items():
        gathered.take_boundary(tensor, outside)
    for op in graph.ops:
        if op.kind in _PROBABILITIES:
            gathered.take_probabilities(op, found.blocks.get(op), softmax)
        elif op in found.blocks:
            gathered.take_written(op, found.blocks[op], activation_of(op, found.blocks[op]))
    for op, terms in found.ratios.items():
        gathered.take_ratio(op, found.blocks[op], terms)
    for (op, index), block in found.rescalings.items():
        gathered.take_rescaling(op, index, block)
    for layer in layers:
        gathered.take_layer(layer.op, multipliers_of(parameters[layer.op], found.blocks[layer.op]))
    return Numbers(gathered.node, gathered.zero_points, gathered.activations, gathered.problem)


class _Gathered:
    """What is known so far; everything that is taken in must agree with it."""

    def __init__(self, node: Mapping[Tensor, int]) -> None:
        self.node = node
        self.zero_points: dict[int, int] = {}
        self.activations: dict[Op, str] = {}
        self.problem = ScaleProblem(nodes=1 + max(node.values()))

    def take_boundary(self, tensor: Tensor, outside: Tensor) -> None:
        """A tensor with the numbers of one in the compiled files."""
        _agree(self.zero_points, self.node[tensor], zero_point(outside), "zero points")
        _agree(self.problem.known, self.node[tensor], scale(outside), "scales")

    def take_probabilities(self, op: Op, block: RequantBlock | None, softmax: SoftmaxInput | None) -> None:
        """A LOGISTIC with its block, or a SOFTMAX."""
        problem, source, target = self.problem, self.node[next(op.activations())], self.node[op.output]
        if block is not None:
            _agree(problem.known, source, np.float32(block.multiplier), "scales")
        elif softmax is not None and softmax.is_of_range:
            problem.candidates[source] = _scales_of_range(softmax.scale, self.zero_points.get(source, 0))
        elif softmax is not None:
            _agree(problem.known, source, softmax.scale, "scales")
        if source not in problem.known and source not in problem.candidates:
            raise NotProvedError(f"The scale of what '{op.name}' reads was not found in the instructions.")
        _agree(problem.known, target, PROBABILITY_SCALE, "scales")
        _agree(self.zero_points, target, 0, "zero points")

    def take_written(self, op: Op, block: RequantBlock, activation: str) -> None:
        """What a layer or an ADD writes."""
        self.activations[op] = activation
        self._take_clamp(op, block, activation)

    def take_ratio(self, op: Op, block: RequantBlock, terms: tuple[int, int]) -> None:
        """The factors of the operands of an ADD."""
        first, second = (self.node[tensor] for tensor in op.activations())
        tie = AddTie(first, second, self.node[op.output], terms, np.float32(block.multiplier))
        self.problem.ties.append(tie)

    def take_rescaling(self, op: Op, index: int, block: RequantBlock) -> None:
        """An input of a CONCATENATION that is carried over to its scale."""
        tensor = op.inputs[index]
        if tensor is not None:
            tie = RescalingTie(self.node[tensor], self.node[op.output], np.float32(block.multiplier))
            self.problem.ties.append(tie)
            self._take_clamp(op, block, "NONE")

    def take_layer(self, op: Op, wanted: Floats) -> None:
        """The multipliers of a layer."""
        source, target = self.node[op.required_input("input")], self.node[op.output]
        self.problem.layers.append(ScaledLayer(source, target, wanted))

    def _take_clamp(self, op: Op, block: RequantBlock, activation: str) -> None:
        target = self.node[op.output]
        _agree(self.zero_points, target, block.output_zero_point, "zero points")
        self.problem.clamps.setdefault(target, []).append(Clamp(block, activation))


def _scales_of_range(anew: np.float32, zero_point: int) -> Floats:
    """The scales which, computed anew from their range, are `anew`."""
    near = stepped(np.array([anew]), np.array([0, 1, -1], np.int64))
    fitting: Floats = near[scale_of_range(near, zero_point) == anew]
    return fitting


def multipliers_of(parameters: LayerParameters, block: RequantBlock) -> Floats:
    """The multipliers of a layer: one for each output channel among the parameters, or one in the instructions."""
    stored = parameters.multipliers
    return np.array([block.multiplier], np.float32) if stored is None else stored


def activation_of(op: Op, block: RequantBlock) -> str:
    """The activation function that an operator's clamps show, or the skeleton's where both are the same integers.

    Raises:
        NotProvedError: The clamps are not those of the skeleton's activation.
    """
    named = str(op.attributes.get("fused_activation_function", "NONE"))
    is_cut = round(block.clamp_max) < 255 - block.output_zero_point
    is_positive = round(block.clamp_min) == 0
    if is_cut:
        shown = "RELU6"
    elif block.output_zero_point and is_positive:
        shown = "RELU6" if named == "RELU6" else "RELU"
    else:
        shown = named
    is_compatible = named in ("NONE", shown) and (is_positive or (shown == "NONE" and not is_cut))
    if not is_compatible:
        raise NotProvedError(f"'{op.name}' is clamped as {shown}, where the topology says {named}.")
    return shown


def _nodes(graph: Graph, found: Assignment) -> dict[Tensor, int]:
    """Numbers the sets of tensors that share a scale, in the order of the flow of data."""
    parent: dict[Tensor, Tensor] = {}

    def root(tensor: Tensor) -> Tensor:
        while parent.get(tensor, tensor) is not tensor:
            tensor = parent[tensor]
        return tensor

    tensors = [*graph.inputs, *(op.output for op in graph.ops)]
    for op in graph.ops:
        if op.kind in SAME_SCALE:
            parent[op.output] = root(next(op.activations()))
        elif op.kind == "CONCATENATION":
            for index, tensor in enumerate(op.inputs):
                if tensor is not None and (op, index) not in found.rescalings:
                    parent[root(op.output)] = root(tensor)
    numbers: dict[Tensor, int] = {}
    return {tensor: numbers.setdefault(root(tensor), len(numbers)) for tensor in tensors}


def _agree(known: dict[int, Value], node: int, value: Value, what: str) -> None:
    if known.setdefault(node, value) != value:
        raise NotProvedError(f"The {what} {known[node]} and {value} are of one tensor.")
