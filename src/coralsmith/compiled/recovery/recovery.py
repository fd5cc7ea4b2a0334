"""Recovers a model from its compiled files with one topology, or says why it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from coralsmith.compiled.packed_layer import PackedLayer
from coralsmith.compiled.packing import LayerParameters, PackingError, unpack
from coralsmith.compiled.recovery.access import access_of
from coralsmith.compiled.recovery.addresses import is_contradicted
from coralsmith.compiled.recovery.assignment import Assignment, assignments
from coralsmith.compiled.recovery.network import Numbers, gather_numbers, multipliers_of
from coralsmith.compiled.recovery.rebuilding import Rebuilt, RecoveredLayer, rebuild
from coralsmith.compiled.recovery.scales import SolvedScales, solve
from coralsmith.compiled.recovery.segment import Segment
from coralsmith.compiled.recovery.skeleton import Skeleton, softmax_classes
from coralsmith.compiled.recovery.softmax import softmax_input
from coralsmith.compiled.recovery.tap_order import decide_tap_order
from coralsmith.compiled.recovery.tiling import PlacedLayer, tilings
from coralsmith.compiled.requantization import zero_point
from coralsmith.errors import NotProvedError
from coralsmith.graph.model import Graph, Op, Tensor

_MOST_READINGS: Final = 64


class TopologyError(NotProvedError):
    """A topology that is not that of the compiled file."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read the compiled files with a topology.

    Attributes:
        tiling: Where each layer's parameters are.
        found: Which constants belong to which operator.
    """

    tiling: Sequence[PlacedLayer]
    found: Assignment

    def integers(self) -> tuple[object, ...]:
        """All that the integer network depends on."""
        return (
            frozenset((layer.op, layer.form, layer.segment, layer.start) for layer in self.tiling),
            self.found.integers(),
        )


@dataclass(frozen=True, eq=False)
class Recovery:
    """A model that was recovered.

    Attributes:
        skeleton: The topology it was read with.
        layers: Its layers, in execution order.
        reading: How the files were read.
        numbers: Its zero points and activations.
        solved: Its scales.
        tap_orders: How the order of taps and channels was decided, for each layer.
        rebuilt: The model.
    """

    skeleton: Skeleton
    layers: Sequence[RecoveredLayer]
    reading: Reading
    numbers: Numbers
    solved: SolvedScales
    tap_orders: Mapping[Op, str]
    rebuilt: Rebuilt


def recover(skeleton: Skeleton, segments: Sequence[Segment]) -> Recovery:
    """Read compiled files with a topology.

    Raises:
        NotProvedError: The topology does not fit, or fits in several ways.
    """
    reading = _only_reading(skeleton, segments)
    contents = {layer.op: layer.content(segments) for layer in reading.tiling}
    forms, orders = _decided_forms(reading, contents, segments)
    tiling = [replace(layer, form=forms[layer.op]) for layer in reading.tiling]
    boundary = boundary_tensors(skeleton.graph, tiling, segments)
    scale = softmax_input(softmax_classes(skeleton.graph), segments[-1])
    parameters = {layer.op: _parameters(layer, contents[layer.op], reading.found) for layer in tiling}
    numbers = gather_numbers(skeleton.graph, tiling, parameters, reading.found, boundary, scale)
    solved = solve(numbers.problem)
    layers = [_recovered(layer, parameters[layer.op], reading.found, numbers) for layer in tiling]
    in_order = {op: index for index, op in enumerate(skeleton.graph.ops)}
    layers.sort(key=lambda layer: in_order[layer.op])
    rebuilt = rebuild(skeleton.graph, layers, numbers, solved, segments)
    return Recovery(skeleton, layers, Reading(tiling, reading.found), numbers, solved, orders, rebuilt)


def _only_reading(skeleton: Skeleton, segments: Sequence[Segment]) -> Reading:
    readings: dict[tuple[object, ...], Reading] = {}
    tiled = False
    for reading in islice(_readings(skeleton, segments), _MOST_READINGS):
        tiled = True
        if reading.found.blocks:
            readings.setdefault(reading.integers(), reading)
    if not tiled:
        raise TopologyError("The layers do not tile the parameters of the compiled file.")
    if not readings:
        raise NotProvedError("The operators do not account for the constants in the instructions.")
    found = list(readings.values())
    if len(found) > 1:
        found = [one for one in found if not is_contradicted(skeleton.graph, one.found, segments)] or found
    if len(found) > 1:
        raise NotProvedError(f"It fits in {len(found)} ways: {_difference(found)}.")
    return found[0]


def _readings(skeleton: Skeleton, segments: Sequence[Segment]) -> Iterator[Reading]:
    """Every reading; one without constants for a tiling that has none that fit."""
    given = {
        inner: zero_point(outer) for inner, outer in zip(skeleton.graph.inputs, segments[0].inputs, strict=True)
    }
    for tiling in tilings(skeleton.graph, segments):
        any_found = False
        for found in assignments(skeleton.graph, tiling, segments, given):
            any_found = True
            yield Reading(tiling, found)
        if not any_found:
            yield Reading(tiling, Assignment())


def _difference(readings: Sequence[Reading]) -> str:
    """What the first two of several readings differ in."""
    first, second = readings[:2]
    places = [{layer.op: (layer.segment, layer.start) for layer in reading.tiling} for reading in (first, second)]
    moved = [op.name for op in places[0] if places[0][op] != places[1][op]]
    if moved:
        return f"the parameters of '{moved[0]}' may be those of '{moved[-1]}' and the reverse"
    other = [op.name for op, terms in first.found.ratios.items() if second.found.ratios[op] != terms]
    if other:
        return f"which operand of '{other[0]}' has which factor"
    return "the constants of its operators can be exchanged"


def _decided_forms(
    reading: Reading, contents: Mapping[Op, bytes], segments: Sequence[Segment]
) -> tuple[dict[Op, PackedLayer], dict[Op, str]]:
    forms: dict[Op, PackedLayer] = {}
    orders: dict[Op, str] = {}
    for layer in reading.tiling:
        zero = layer.zero_point if layer.form.per_channel else reading.found.blocks[layer.op].weight_zero_point
        access = access_of(segments[layer.segment].program, reading.found.blocks[layer.op])
        decided = decide_tap_order(layer.form, contents[layer.op], 0 if zero is None else zero, access)
        if decided is None:
            raise NotProvedError(
                f"The order of taps and channels in '{layer.op.name}' cannot be told: the taps of its kernel "
                "resemble each other in no order, as in a network that was not trained."
            )
        forms[layer.op], orders[layer.op] = decided
    return forms, orders


def _parameters(layer: PlacedLayer, content: bytes, found: Assignment) -> LayerParameters:
    try:
        return unpack(layer.form, content, found.blocks[layer.op].weight_zero_point)
    except PackingError as error:
        raise NotProvedError(f"The parameters of '{layer.op.name}' are damaged: {error}.") from error


def _recovered(
    layer: PlacedLayer, parameters: LayerParameters, found: Assignment, numbers: Numbers
) -> RecoveredLayer:
    return RecoveredLayer(
        layer.op,
        layer.form,
        parameters,
        multipliers_of(parameters, found.blocks[layer.op]),
        numbers.node[layer.op.required_input("input")],
        numbers.node[layer.op.output],
    )


def boundary_tensors(
    graph: Graph, tiling: Sequence[PlacedLayer], segments: Sequence[Segment]
) -> dict[Tensor, Tensor]:
    """For tensors of the skeleton, those of the compiled files that are the same.

    Raises:
        NotProvedError: Between two segments passes a tensor that may be several of the skeleton.
    """
    found = dict(zip(graph.inputs, segments[0].inputs, strict=True))
    found.update(zip(graph.outputs, segments[-1].outputs, strict=True))
    place = {layer.op: layer.segment for layer in tiling}
    for index, segment in enumerate(segments[1:], 1):
        made = [op.output for op, where in place.items() if where < index]
        read = {tensor for op, where in place.items() if where >= index for tensor in op.activations()}
        for outer in segment.inputs:
            same = [tensor for tensor in made if tensor in read and tensor.shape == outer.shape]
            if len(same) != 1:
                raise NotProvedError(
                    f"'{outer.name}' passes from one segment to the next; {len(same)} tensors may be it."
                )
            found[same[0]] = outer
    return found
