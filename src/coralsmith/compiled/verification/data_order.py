"""Whether the layers lie in an order in which they can be run: each behind those whose results it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from coralsmith.compiled.verification.placement import Placement
from coralsmith.compiled.verification.source_layers import SourceLayer
from coralsmith.graph.model import Graph, Op, Tensor

Bits = int
"""A set of layers, one bit for each, by its position among the placements."""

_MOST_ROUNDS: Final = 32  # after so many the order is another one altogether, and all that conflicts is moved


@dataclass(frozen=True, eq=False)
class Misplacement:
    """A layer on the wrong side of another one.

    Attributes:
        other: The other layer.
        is_needed: Whether the first one needs it, and yet lies before it; else it needs the first one.
    """

    other: SourceLayer
    is_needed: bool


def out_of_order(graph: Graph, placements: Sequence[Placement]) -> dict[SourceLayer, Misplacement]:
    """The layers at a place where the source's data cannot have reached them.

    The parameters of a program lie in the order in which it runs the layers. Branches may be run in any order, but
    a layer always behind all that its input comes from. Of the layers that contradict each other those that
    contradict most, and are farthest from their place, count as moved; without them the others are in order.

    Source: no exception among the 9,533 pairs of a layer and one that it needs in 20 pairs and a split SSD.

    Args:
        graph: The source.
        placements: Layers at their places, in the order of the programs and of the bytes.
    """
    own = {placement.layer.op: 1 << position for position, placement in enumerate(placements)}
    needs, needed_by = _needs(graph, own), _needed_by(graph, own)
    moved: dict[SourceLayer, Misplacement] = {}
    remaining = list(placements)
    rounds = 0
    while conflicts := _conflicts(remaining, own, needs, needed_by):
        rounds += 1
        displaced = _displacements(list(conflicts))
        weights = {layer: (bits.bit_count(), displaced[layer]) for layer, bits in conflicts.items()}
        most = max(weights.values())
        for layer, bits in conflicts.items():
            if weights[layer] == most or rounds > _MOST_ROUNDS:
                other = placements[bits.bit_length() - 1].layer
                moved[layer] = Misplacement(other, bool(needs[layer.op] & own[other.op]))
        remaining = [placement for placement in remaining if placement.layer not in moved]
    return moved


def _conflicts(
    placements: Sequence[Placement], own: Mapping[Op, Bits], needs: Mapping[Op, Bits], needed_by: Mapping[Op, Bits]
) -> dict[SourceLayer, Bits]:
    """For each layer those of its program behind it that it needs, and those before it that need it."""
    behind: dict[int, Bits] = {}
    for placement in placements:
        program = placement.place.program
        behind[program] = behind.get(program, 0) | own[placement.layer.op]
    before = dict.fromkeys(behind, 0)
    found: dict[SourceLayer, Bits] = {}
    for placement in placements:
        op, program = placement.layer.op, placement.place.program
        behind[program] ^= own[op]
        if bits := (needs[op] & behind[program]) | (needed_by[op] & before[program]):
            found[placement.layer] = bits
        before[program] |= own[op]
    return found


def _displacements(layers: Sequence[SourceLayer]) -> dict[SourceLayer, int]:
    """How far each of some layers is from its place in the order of the source."""
    ordered = sorted(layers, key=lambda layer: layer.index)
    places = {layer: place for place, layer in enumerate(ordered)}
    return {layer: abs(places[layer] - place) for place, layer in enumerate(layers)}


def _needs(graph: Graph, own: Mapping[Op, Bits]) -> dict[Op, Bits]:
    """For each operator the layers that its input comes from."""
    reached: dict[Tensor, Bits] = {}
    needs: dict[Op, Bits] = {}
    for op in graph.ops:
        needs[op] = 0
        for tensor in op.activations():
            needs[op] |= reached.get(tensor, 0)
        reached.update(dict.fromkeys(op.outputs, needs[op] | own.get(op, 0)))
    return needs


def _needed_by(graph: Graph, own: Mapping[Op, Bits]) -> dict[Op, Bits]:
    """For each operator the layers that its outputs go to."""
    going: dict[Tensor, Bits] = {}
    needed_by: dict[Op, Bits] = {}
    for op in reversed(graph.ops):
        needed_by[op] = 0
        for tensor in op.outputs:
            needed_by[op] |= going.get(tensor, 0)
        for tensor in op.activations():
            going[tensor] = going.get(tensor, 0) | needed_by[op] | own.get(op, 0)
    return needed_by
