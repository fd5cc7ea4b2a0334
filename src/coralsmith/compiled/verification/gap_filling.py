"""Where the layers lie that are not there to the bit: between those that are, where their sizes fit exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from coralsmith.compiled.packed_layer import PackedLayer
from coralsmith.compiled.verification.additions import SOFTMAX_BYTES
from coralsmith.compiled.verification.placement import Gap, Place, Placement, exact_placements, gaps
from coralsmith.compiled.verification.source_layers import SourceLayer
from coralsmith.edgetpu.blocks import multiple

Addition = Callable[[Place], str]
"""What the compiler has added at a place; empty where that is not known."""

_PADDED_TO: Final = 64  # small layers are followed by zeros up to a multiple of this many bytes
_LARGEST_DOUBTFUL: Final = 4096  # bytes: smaller layers may be found in the middle of something else
_MOST_CHOSEN_FROM: Final = 12

Chosen = list[tuple[SourceLayer, PackedLayer]]


def place_layers(layers: Sequence[SourceLayer], programs: Sequence[bytes], addition: Addition) -> list[Placement]:
    """Give every layer its place, as far as that is possible.

    Args:
        layers: Layers of the source.
        programs: The parameters of each program.
        addition: What the compiler has added at a place; empty where that is not known.

    Returns:
        Placements that do not overlap, in the order of the programs and of the bytes; a layer that is missing has
        no place that its size would allow.
    """
    exact = exact_placements(layers, programs)
    return sorted(_filled(layers, exact, programs, addition), key=lambda p: (p.place.program, p.place.start))


def _filled(
    layers: Sequence[SourceLayer],
    exact: list[Placement],
    programs: Sequence[bytes],
    addition: Addition,
) -> list[Placement]:
    """The exact placements, and the layers that were not found where they fit between them.

    A small layer that was found where nothing around it fits is taken away again, if without it everything does.
    """
    placements = list(exact)
    for gap in gaps(exact, programs):
        if addition(gap.place):
            continue
        if fitting := _fit(gap, _waiting(layers, placements), addition):
            placements += fitting
            continue
        doubtful = (p for p in placements if p.is_exact and p.place.size <= _LARGEST_DOUBTFUL)
        for placement in [p for p in doubtful if p.layer in (gap.before, gap.after)]:
            without = [other for other in placements if other is not placement]
            wider = next(one for one in gaps(without, programs) if one.place.overlaps(gap.place))
            fitting = _fit(wider, _waiting(layers, without), addition)
            if any(one.layer is placement.layer for one in fitting):
                placements = without + fitting
                break
    return placements


def _waiting(layers: Sequence[SourceLayer], placements: Sequence[Placement]) -> list[SourceLayer]:
    """The layers of known form without a place."""
    placed = {placement.layer for placement in placements}
    return [layer for layer in layers if layer.forms and layer not in placed]


def _fit(gap: Gap, waiting: Sequence[SourceLayer], addition: Addition) -> list[Placement]:
    """The layers that fill a gap exactly, in the order of the source; none where there is no such choice.

    The compiler's own additions may follow them.
    """
    start = multiple(gap.place.start, _PADDED_TO)
    place = Place(gap.place.program, start, gap.place.end - start)
    before = -1 if gap.before is None else gap.before.index
    after = float("inf") if gap.after is None else gap.after.index
    between = [layer for layer in waiting if before < layer.index < after]
    total = sum(_room(layer.forms[0]) for layer in between)
    if between and (start_of_all := _start_among_additions(total, place, addition)) is not None:
        chosen = [(layer, layer.forms[0]) for layer in between]
        return list(_in_order(chosen, Place(place.program, start_of_all, total)))
    for candidates in (between, waiting):
        if chosen := _choice(candidates, place.size):
            return list(_in_order(chosen, place))
    return []


def _start_among_additions(total: int, place: Place, addition: Addition) -> int | None:
    """Where `total` bytes of layers start if all else at a place was added by the compiler; None if it was not."""
    for start in (place.start, *(place.end - behind - total for behind in (0, *SOFTMAX_BYTES))):
        sides = ((place.start, start), (start + total, place.end))
        if all(
            low == high or (low < high and addition(Place(place.program, low, high - low))) for low, high in sides
        ):
            return start
    return None


def _in_order(chosen: Chosen, place: Place) -> Iterator[Placement]:
    start = place.start
    for layer, form in chosen:
        yield Placement(layer, form, Place(place.program, start, form.size), is_exact=False)
        start += _room(form)


def _choice(candidates: Sequence[SourceLayer], size: int) -> Chosen:
    """Layers that take up exactly `size` bytes: a stretch of the candidates, else any of a few of them."""
    for first in range(len(candidates)):
        total, last = 0, first
        while last < len(candidates) and total < size:
            total += _room(candidates[last].forms[0])
            last += 1
        if total == size:
            return [(layer, layer.forms[0]) for layer in candidates[first:last]]
    if len(candidates) > _MOST_CHOSEN_FROM:
        return []
    reached: dict[int, Chosen] = {0: []}
    for layer in candidates:
        for form in _with_and_without_bias(layer.forms[0]):
            for total, chosen in list(reached.items()):
                if all(other is not layer for other, _ in chosen):
                    reached.setdefault(total + _room(form), [*chosen, (layer, form)])
    return reached.get(size, [])


def _with_and_without_bias(form: PackedLayer) -> tuple[PackedLayer, PackedLayer]:
    """The form, and the one it would have if the bias were all zero, or were not."""
    return form, replace(form, has_bias=not form.has_bias)


def _room(form: PackedLayer) -> int:
    """The bytes that a layer takes up, with the zeros behind it."""
    return multiple(form.size, _PADDED_TO)
