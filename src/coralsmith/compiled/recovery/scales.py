"""Finds scales from which the compiler would compute exactly the constants in the instructions.

The constants fix products and ratios of scales; most scales inside a network can be chosen freely without any
effect on its integers. A free scale starts at a conventional value and is moved, one float32 step after another,
until all constants that depend on it come out to the last bit. So the choice is the same for the same file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.program import RequantBlock
from coralsmith.compiled.recovery.scale_ties import (
    Columns,
    Floats,
    Tie,
    TiedGroup,
    stepped,
    steps_outwards,
    tied_groups,
)
from coralsmith.compiled.requantization import multipliers
from coralsmith.errors import NotProvedError

RELU6_SCALE: Final = np.float32(0.023528477)
"""Where the scale of what is never negative starts in per-tensor models: mostly it is a RELU6 that does not cut.

It is 5.99976 / 255, what TensorFlow 1's moving average makes of the range 0 to 6: seen in the published MobileNet
V1 and V2, their SSDs and PoseNet, of which it gives back the true weights."""

FREE_SCALE: Final = np.float32(1 / 64)
"""Where other free scales start: a power of two, by which every multiplier can be met exactly."""

_STEPS: Final = 255
_ROUNDING: Final = 1e-3  # clamps of a tensor that is not cut lie this near to whole steps
_SIGNIFICANDS: Final = 1 << 23
_BATCH: Final = 1 << 18
_TRIALS: Final = 2_048  # for a node that only layers tie, divided by their multipliers
_FEWEST_TRIALS: Final = 32
_NEAR: Final = 4


@dataclass(frozen=True, eq=False)
class ScaledLayer:
    """A layer between two nodes.

    Attributes:
        source: Node of the input.
        target: Node of the output.
        multipliers: float32, one or one for each output channel.
    """

    source: int
    target: int
    multipliers: Floats


@dataclass(frozen=True)
class Clamp:
    """The clamps of what an operator writes, which show rounding noise of its scale, and RELU6 if it cuts."""

    block: RequantBlock
    activation: str

    @property
    def cuts(self) -> bool:
        """Whether values end at 6 before the integers end."""
        block = self.block
        return self.activation == "RELU6" and block.clamp_max < _STEPS - block.output_zero_point - _ROUNDING


@dataclass
class ScaleProblem:
    """All that is known of the scales of a network; a node is a set of tensors with one scale.

    Attributes:
        nodes: Number of nodes, in the order of the flow of data.
        known: Scales that are known: of the boundary, of what SOFTMAX and LOGISTIC read and write.
        candidates: Scales of which one is right, float32, for nodes of which that is known.
        layers: The layers.
        ties: Ties by ADD and rescaling.
        clamps: Clamps of what is written, by node.
    """

    nodes: int = 0
    known: dict[int, np.float32] = field(default_factory=dict)
    candidates: dict[int, Floats] = field(default_factory=dict)
    layers: list[ScaledLayer] = field(default_factory=list)
    ties: list[Tie] = field(default_factory=list)
    clamps: dict[int, list[Clamp]] = field(default_factory=dict)


@dataclass(frozen=True)
class SolvedScales:
    """Scales for a network.

    Attributes:
        scales: One for each node.
        chosen: Nodes whose scale is a free choice.
        inexact_clamps: Nodes whose clamps come out the same only when rounded to integers.
    """

    scales: tuple[np.float32, ...]
    chosen: frozenset[int]
    inexact_clamps: frozenset[int]


def weight_scales(source: np.float32, target: np.float32, wanted: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Scales of weights with which a layer's multipliers come out, or come nearest.

    Returns:
        float32 and int64, one for each multiplier: the scale, and how many float32 steps the multiplier is off.
    """
    start = (wanted.astype(np.float64) * np.float64(target) / np.float64(source)).astype(np.float32)
    best, off = start, _distance(multipliers(source, start, target), wanted)
    for step in steps_outwards(_NEAR):
        if not off.any():
            break
        other = stepped(start, step)
        distance = _distance(multipliers(source, other, target), wanted)
        best, off = np.where(distance < off, other, best), np.minimum(distance, off)
    return best, off


def _distance(first: Floats, second: Floats) -> NDArray[np.int64]:
    """How many float32 steps lie between positive numbers."""
    places = (values.astype(np.float32).view(np.int32).astype(np.int64) for values in (first, second))
    distance: NDArray[np.int64] = np.abs(next(places) - next(places))
    return distance


def solve(problem: ScaleProblem) -> SolvedScales:
    """Find a scale for every node.

    Raises:
        NotProvedError: No scales have the ratios that the instructions show.
    """
    return _Solver(problem).solution()


class _Solver:
    """Nodes tied by ADD and CONCATENATION first, together; then every other node after its neighbours."""

    def __init__(self, problem: ScaleProblem) -> None:
        self._problem = problem
        self._found = dict(problem.known)
        self._chosen: set[int] = set()

    def solution(self) -> SolvedScales:
        """A scale for every node."""
        for group in tied_groups(self._problem.ties):
            self._found.update({node: np.float32(found[0]) for node, found in self._solve_group(group).items()})
        for node in range(self._problem.nodes):
            if node not in self._found:
                self._found[node] = self._solve_node(node)
        scales = tuple(self._found[node] for node in range(self._problem.nodes))
        inexact = {n for n, scale in enumerate(scales) if not self._clamps_fit(n, np.array([scale]))[0]}
        return SolvedScales(scales, frozenset(self._chosen), frozenset(inexact))

    def _solve_group(self, group: TiedGroup) -> Columns:
        """Scales for the nodes of a group, the best first: with exact clamps if there are any such."""
        known = [node for node in group.nodes if node in self._found]
        base = known[0] if known else group.nodes[0]
        for exactly in (True, False):
            for trials in [np.array([self._found[base]])] if known else self._trials(base):
                rows = self._follow(group, base, trials, exactly=exactly)
                if len(rows[base]):
                    self._chosen.update(() if known or self._shown(base) is not None else group.nodes)
                    return rows
        raise NotProvedError(
            "No scales have the ratios that the instructions show for the ADD and CONCATENATION operators."
        )

    def _follow(self, group: TiedGroup, base: int, trials: Floats, *, exactly: bool) -> Columns:
        """Follow the ties from the base to all nodes, for many scales of the base at once."""
        columns = self._fitting({base: trials}, base, exactly=exactly)
        for tie in group.ties_from(base):
            reached = set(columns)
            columns = tie.extended(columns)
            for node in set(tie.nodes) - reached:
                columns = self._fitting(columns, node, exactly=exactly)
        return columns

    def _fitting(self, columns: Columns, node: int, *, exactly: bool) -> Columns:
        values = columns[node]
        fits = np.ones(len(values), bool)
        if exactly:
            fits = self._clamps_fit(node, values) & self._can_be_met(node, values)
        if node in self._found:
            fits = fits & (values == self._found[node])
        return {other: column[fits] for other, column in columns.items()}

    def _trials(self, node: int) -> Iterator[Floats]:
        """Scales to be tried: those that a cut shows, else every significand from a conventional start."""
        shown = self._shown(node)
        if shown is not None:
            yield shown
            return
        start = np.array([self._start(node)])
        for low in range(0, _SIGNIFICANDS, _BATCH):
            yield stepped(start, np.arange(low, low + _BATCH, dtype=np.int64))

    def _solve_node(self, node: int) -> np.float32:
        """The scale with which most multipliers of the layers around come out, and the clamps."""
        ties = [tie for tie in self._problem.layers if node in (tie.source, tie.target)]
        trials = self._shown(node)
        if trials is None:
            self._chosen.add(node)
            steps = np.array(list(steps_outwards(_trials(ties))), np.int64)
            trials = stepped(np.array([self._start(node)]), steps)
        exact = trials[self._clamps_fit(node, trials)]
        best, least = trials[0], None
        for scale in exact if len(exact) else trials:
            missed = sum(self._missed(tie, node, scale) for tie in ties)
            if least is None or missed < least:
                best, least = scale, missed
            if not missed:
                break
        return np.float32(best)

    def _missed(self, tie: ScaledLayer, node: int, scale: np.float32) -> int:
        """How many multipliers of a layer would not come out; none where the other end is open."""
        source = scale if tie.source == node else self._found.get(tie.source)
        target = scale if tie.target == node else self._found.get(tie.target)
        if source is None or target is None:
            return 0
        return int(np.count_nonzero(weight_scales(source, target, tie.multipliers)[1]))

    def _start(self, node: int) -> np.float32:
        is_positive = any(not clamp.block.output_zero_point for clamp in self._problem.clamps.get(node, []))
        per_channel = any(
            node in (tie.source, tie.target) and len(tie.multipliers) > 1 for tie in self._problem.layers
        )
        return RELU6_SCALE if is_positive and not per_channel else FREE_SCALE

    def _shown(self, node: int) -> Floats | None:
        """The scales that a cut at 6 or other knowledge leaves; None where all are possible."""
        if node in self._problem.candidates:
            return self._problem.candidates[node]
        for clamp in self._problem.clamps.get(node, []):
            if clamp.cuts:
                near = stepped(np.array([6 / clamp.block.clamp_max], np.float32), np.arange(-_NEAR, _NEAR + 1))
                return near[self._clamps_fit(node, near)]
        return None

    def _can_be_met(self, node: int, values: Floats) -> NDArray[np.bool_]:
        """For which scales the multipliers of the layers that write a node come out with any scale of weights."""
        met = np.ones(len(values), bool)
        reciprocal = np.float32(1) / values
        for layer in self._problem.layers:
            if layer.target == node and len(layer.multipliers) == 1:
                start = (layer.multipliers[0] / reciprocal.astype(np.float64)).astype(np.float32)
                products = (stepped(start, step) * reciprocal for step in steps_outwards(_NEAR))
                met &= np.any([product == layer.multipliers[0] for product in products], axis=0)
        return met

    def _clamps_fit(self, node: int, values: Floats) -> NDArray[np.bool_]:
        """For which scales the clamps of a node come out to the last bit."""
        fits = np.ones(len(values), bool)
        reciprocal = np.float32(1) / values
        for clamp in self._problem.clamps.get(node, []):
            block = clamp.block
            low = np.float32(-block.output_zero_point) * values * reciprocal
            high = np.float32(_STEPS - block.output_zero_point) * values * reciprocal
            if clamp.activation != "NONE":
                low = np.zeros_like(low)
            if clamp.activation == "RELU6":
                high = np.minimum(high, np.float32(6) * reciprocal)
            fits &= (low == np.float32(block.clamp_min)) & (high == np.float32(block.clamp_max))
        return fits


def _trials(layers: Sequence[ScaledLayer]) -> int:
    """How far to look for a scale: with many multipliers some will be missed wherever that is."""
    amount = sum(len(layer.multipliers) for layer in layers)
    return max(_FEWEST_TRIALS, _TRIALS // max(amount, 1))
