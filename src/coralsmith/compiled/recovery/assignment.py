"""Says which constants in the instructions belong to which operator.

The blocks of constants stand in the order of the schedule, those of the layers in the order of the parameters.
Every block must be accounted for, and every zero point must be passed on unchanged from an operator to its reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from coralsmith.compiled.program import RequantBlock
from coralsmith.compiled.recovery.blocks import Kind, LabelledBlock, labelled_blocks
from coralsmith.compiled.recovery.segment import Segment
from coralsmith.compiled.recovery.skeleton import MOVERS, SAME_SCALE
from coralsmith.compiled.recovery.tiling import PlacedLayer
from coralsmith.errors import NotProvedError
from coralsmith.graph.model import Graph, Op, Tensor

_MOST_STEPS: Final = 20_000  # published models take at most a few hundred
_MOST_BLOCKS: Final = 600

Source = tuple[Op, int]
"""An input of an operator."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """The constants of every operator that has any.

    Attributes:
        blocks: Of layers, ADD and LOGISTIC.
        ratios: Of each ADD: what its operands are multiplied by, in the order of the operator.
        loads: The same two numbers in the order in which the instructions load them.
        rescalings: Of inputs of CONCATENATION that change their scale.
    """

    blocks: Mapping[Op, RequantBlock] = field(default_factory=dict)
    ratios: Mapping[Op, tuple[int, int]] = field(default_factory=dict)
    loads: Mapping[Op, tuple[int, int]] = field(default_factory=dict)
    rescalings: Mapping[Source, RequantBlock] = field(default_factory=dict)

    def integers(self) -> frozenset[tuple[object, ...]]:
        """All that the integer network depends on; two assignments with the same are the same network."""
        found: set[tuple[object, ...]] = {(op, *_rounded(block)) for op, block in self.blocks.items()}
        found |= {(op, *terms) for op, terms in self.ratios.items()}
        return frozenset(found | {(*source, *_rounded(block)) for source, block in self.rescalings.items()})


def assignments(
    graph: Graph, tiling: Sequence[PlacedLayer], segments: Sequence[Segment], boundary: Mapping[Tensor, int]
) -> Iterator[Assignment]:
    """Every way in which the blocks of the instructions are the constants of the operators.

    Args:
        graph: The skeleton.
        tiling: Its layers in the order of the parameters.
        segments: The compiled files.
        boundary: Zero points of the graph's inputs, uint8 domain.

    Raises:
        NotProvedError: The search was given up.
    """
    blocks = [
        (index, block) for index, segment in enumerate(segments) for block in labelled_blocks(segment.program)
    ]
    if len(blocks) > _MOST_BLOCKS:
        raise NotProvedError(f"The instructions hold {len(blocks)} different blocks of constants.")
    search = _Search(graph, tiling, blocks, boundary)
    for found in search.from_here(0, 0, Assignment()):
        if search.is_complete(found):
            yield found


class _Search:
    """Depth first over the blocks; each is the next layer's, another operator's, or one seen before."""

    def __init__(
        self,
        graph: Graph,
        tiling: Sequence[PlacedLayer],
        blocks: Sequence[tuple[int, LabelledBlock]],
        boundary: Mapping[Tensor, int],
    ) -> None:
        self._graph, self._tiling, self._blocks, self._boundary = graph, tiling, blocks, boundary
        self._makers = graph.producers()
        self._moves_values = any(op.kind in MOVERS for op in graph.ops)
        self._steps = 0

    def from_here(self, position: int, placed: int, known: Assignment) -> Iterator[Assignment]:
        """The ways to account for the blocks from a position on, with the constants of some layers known."""
        if position == len(self._blocks):
            if placed == len(self._tiling):
                yield known
            return
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise NotProvedError("Which constants belong to which operator was not found in reasonable time.")
        segment, found = self._blocks[position]
        for next_placed, more in self._readings(segment, found, placed, known):
            yield from self.from_here(position + 1, next_placed, more)

    def is_complete(self, known: Assignment) -> bool:
        """Whether every operator with constants has them, and equal scales have equal zero points."""
        for op in self._graph.ops:
            if op.kind in ("ADD", "LOGISTIC") and op not in known.blocks:
                return False
            if op.kind == "CONCATENATION":
                unscaled = [
                    t for i, t in enumerate(op.inputs) if t is not None and (op, i) not in known.rescalings
                ]
                zero_points = {self._zero_point(tensor, known) for tensor in unscaled}
                zero_points |= {b.output_zero_point for (o, _), b in known.rescalings.items() if o is op}
                if len(zero_points) != 1:
                    return False
        return True

    def _readings(
        self, segment: int, found: LabelledBlock, placed: int, known: Assignment
    ) -> Iterator[tuple[int, Assignment]]:
        """What one block may be: how many layers are known with it, and all that is."""
        block = found.block
        if found.kind is Kind.LAYER and placed < len(self._tiling):
            layer = self._tiling[placed]
            if layer.segment == segment and self._is_of_layer(block, layer, known):
                yield placed + 1, replace(known, blocks={**known.blocks, layer.op: block})
        if any(block.constants == other.constants for other in known.blocks.values()) or any(
            block.constants == other.constants for other in known.rescalings.values()
        ):
            yield placed, known  # the next stripe of an operator's map
        if found.kind is Kind.ADD:
            for op, terms in self._additions(found, known):
                yield (
                    placed,
                    replace(
                        known,
                        blocks={**known.blocks, op: block},
                        ratios={**known.ratios, op: terms},
                        loads={**known.loads, op: found.terms},
                    ),
                )
        if found.kind is Kind.LOGISTIC:
            for op in self._waiting("LOGISTIC", known):
                if op.inputs[0] is not None and self._zero_point(op.inputs[0], known) == block.input_zero_point:
                    yield placed, replace(known, blocks={**known.blocks, op: block})
        if found.kind is Kind.LAYER and block.weight_zero_point == 0 and not found.may_move:
            for source in self._rescaled(block, known):
                yield placed, replace(known, rescalings={**known.rescalings, source: block})
        if self._moves_values and (found.kind is Kind.MOVEMENT or found.may_move):
            yield placed, known

    def _is_of_layer(self, block: RequantBlock, layer: PlacedLayer, known: Assignment) -> bool:
        source = layer.op.required_input("input")
        if layer.form.per_channel:
            fits = block.multiplier == 1 and block.weight_zero_point == 0
        else:
            fits = layer.zero_point in (None, block.weight_zero_point)
        return fits and block.bias == 0 and self._zero_point(source, known) == block.input_zero_point

    def _additions(self, found: LabelledBlock, known: Assignment) -> Iterator[tuple[Op, tuple[int, int]]]:
        """The ADD operators that a block may be of, with the factors of their operands in order."""
        for op in self._waiting("ADD", known):
            zero_points = [None if t is None else self._zero_point(t, known) for t in op.inputs]
            if None in zero_points or len(zero_points) != 2:
                continue
            for terms in dict.fromkeys((found.terms, found.terms[::-1])):
                bias = -sum(z * q for z, q in zip(zero_points, terms, strict=True) if z is not None)
                if bias == found.block.bias:
                    yield op, (terms[0], terms[1])

    def _rescaled(self, block: RequantBlock, known: Assignment) -> Iterator[Source]:
        """The inputs of a CONCATENATION that a block may carry over to its scale."""
        for op in self._graph.ops:
            if op.kind != "CONCATENATION":
                continue
            others = {b.output_zero_point for (o, _), b in known.rescalings.items() if o is op}
            if others - {block.output_zero_point}:
                continue
            for index, tensor in enumerate(op.inputs):
                is_open = tensor is not None and (op, index) not in known.rescalings
                if is_open and tensor is not None and self._zero_point(tensor, known) == block.input_zero_point:
                    yield op, index

    def _waiting(self, kind: str, known: Assignment) -> list[Op]:
        return [op for op in self._graph.ops if op.kind == kind and op not in known.blocks]

    def _zero_point(self, tensor: Tensor, known: Assignment) -> int | None:
        """The zero point of a tensor, uint8 domain; None where its maker's constants are not known yet."""
        maker = self._makers.get(tensor)
        if maker is None:
            return self._boundary.get(tensor)
        if maker.kind in ("SOFTMAX", "LOGISTIC"):
            return 0
        if maker.kind in SAME_SCALE:
            source = maker.inputs[0]
            return None if source is None else self._zero_point(source, known)
        if maker.kind == "CONCATENATION":
            rescaled = [b.output_zero_point for (o, _), b in known.rescalings.items() if o is maker]
            plain = (self._zero_point(t, known) for t in maker.inputs if t is not None)
            return rescaled[0] if rescaled else next(plain, None)
        block = known.blocks.get(maker)
        return None if block is None else block.output_zero_point


def _rounded(block: RequantBlock) -> tuple[object, ...]:
    return (
        block.multiplier,
        round(block.clamp_min),
        round(block.clamp_max),
        block.bias,
        block.output_zero_point,
    )
