"""Where the layers of a source lie among the parameters of compiled programs, every byte counted once.

The compiler writes layers without gaps, in the order in which it runs them. Here every layer that is there to the
bit gets a place of its own, the largest first, so that no small one is found inside a larger one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.packed_layer import PackedLayer
from coralsmith.compiled.verification.source_layers import SourceLayer

ALIGNMENT: Final = 16
"""Every layer starts at a multiple of this many bytes."""

_SAMPLES: Final = 8
_MOST_ANCHORS: Final = 256
_MOST_OCCURRENCES: Final = 32


@dataclass(frozen=True)
class Place:
    """Bytes `start` to `end` of the parameters of one program."""

    program: int
    start: int
    size: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size

    def overlaps(self, other: Place) -> bool:
        """Whether both claim a byte."""
        return self.program == other.program and self.start < other.end and other.start < self.end


@dataclass(frozen=True, eq=False)
class Placement:
    """One layer at its place.

    Attributes:
        layer: The layer.
        form: Its form there.
        place: Where it is.
        is_exact: Whether the bytes there are those of the source; else the place follows from what lies around it.
    """

    layer: SourceLayer
    form: PackedLayer
    place: Place
    is_exact: bool = True


@dataclass(frozen=True, eq=False)
class Gap:
    """Bytes that belong to no layer, and the layers around them."""

    place: Place
    before: SourceLayer | None
    after: SourceLayer | None


@dataclass(frozen=True, eq=False)
class _Rows:
    """The parameters of a program in aligned rows: the low and the high half of each."""

    low: NDArray[np.uint64]
    high: NDArray[np.uint64]

    @staticmethod
    def of(content: bytes) -> _Rows:
        rows = np.frombuffer(content, "<u8", len(content) // ALIGNMENT * 2).reshape(-1, 2)
        return _Rows(np.ascontiguousarray(rows[:, 0]), rows[:, 1])


@dataclass(frozen=True)
class _Taken:
    """The places in one program that have an owner: where they start and end, ascending."""

    starts: list[int]
    ends: list[int]

    def add(self, place: Place) -> None:
        insort(self.starts, place.start)
        insort(self.ends, place.end)

    def leaves_free(self, place: Place) -> bool:
        """Whether no owner claims a byte: as many have started before the end as have ended before the start."""
        return bisect_left(self.starts, place.end) == bisect_right(self.ends, place.start)

    def touches(self, place: Place) -> bool:
        """Whether an owner ends where the place begins, or begins where it ends."""
        ended = bisect_right(self.ends, place.start)
        following = bisect_left(self.starts, place.end)
        begins = following < len(self.starts) and self.starts[following] == place.end
        return begins or (ended > 0 and self.ends[ended - 1] == place.start)


def exact_placements(layers: Sequence[SourceLayer], programs: Sequence[bytes]) -> list[Placement]:
    """The layers that are there to the bit, each at a place of its own.

    Args:
        layers: Layers of the source.
        programs: The parameters of each program.
    """
    rows = [_Rows.of(content) for content in programs]
    found = [(layer, list(_occurrences(layer, programs, rows))) for layer in layers if layer.forms]
    found.sort(key=lambda entry: (-entry[0].forms[0].size, entry[0].index))
    taken = [_Taken([0], [0]) for _ in programs]
    placements: list[Placement] = []
    for _, occurrences in found:
        free = [one for one in occurrences if taken[one.place.program].leaves_free(one.place)]
        if free:
            chosen = min(free, key=lambda one: not taken[one.place.program].touches(one.place))
            taken[chosen.place.program].add(chosen.place)
            placements.append(chosen)
    return _equal_ones_in_order(placements)


def _equal_ones_in_order(placements: Sequence[Placement]) -> list[Placement]:
    """The same places, those of equal bytes given to their layers in the order of the source."""
    equal: dict[bytes, list[Placement]] = {}
    for placement in placements:
        equal.setdefault(placement.layer.packed(placement.form), []).append(placement)
    ordered: list[Placement] = []
    for together in equal.values():
        places = sorted((p.place for p in together), key=lambda place: (place.program, place.start))
        by_layer = sorted(together, key=lambda p: p.layer.index)
        ordered += (replace(p, place=place) for p, place in zip(by_layer, places, strict=True))
    return ordered


def gaps(placements: Sequence[Placement], programs: Sequence[bytes]) -> list[Gap]:
    """The bytes that no placement claims, in order."""
    found: list[Gap] = []
    for program, content in enumerate(programs):
        inside = sorted((p for p in placements if p.place.program == program), key=lambda p: p.place.start)
        edges: list[tuple[int, int, SourceLayer | None]] = [
            (0, 0, None),
            *((p.place.start, p.place.end, p.layer) for p in inside),
            (len(content), len(content), None),
        ]
        for (_, end, before), (start, _, after) in pairwise(edges):
            if start > end:
                found.append(Gap(Place(program, end, start - end), before, after))
    return found


def _occurrences(layer: SourceLayer, programs: Sequence[bytes], rows: Sequence[_Rows]) -> Iterator[Placement]:
    """Where the bytes of a layer are, in the first of its forms that is there at all."""
    for form in layer.forms:
        packed = layer.packed(form)
        count = 0
        for program, content in enumerate(programs):
            for start in _starts(packed, content, rows[program]):
                yield Placement(layer, form, Place(program, start, len(packed)))
                count += 1
                if count == _MOST_OCCURRENCES:
                    return
        if count:
            return


def _starts(packed: bytes, content: bytes, rows: _Rows) -> Iterator[int]:
    """The aligned offsets at which bytes are, found by the most distinctive of a few of their rows."""
    step = max(len(packed) // _SAMPLES // ALIGNMENT, 1) * ALIGNMENT
    samples = range(0, len(packed) - ALIGNMENT + 1, step)
    anchor = max(samples, key=lambda start: len(set(packed[start : start + ALIGNMENT])))
    low, high = np.frombuffer(packed, "<u8", 2, anchor)
    hits = np.flatnonzero(rows.low == low)
    hits = hits[rows.high[hits] == high] * ALIGNMENT - anchor
    if len(hits) <= _MOST_ANCHORS:
        yield from (int(start) for start in hits if start >= 0 and content.startswith(packed, int(start)))
        return
    start = content.find(packed)
    while start >= 0:
        if start % ALIGNMENT == 0:
            yield start
        start = content.find(packed, start + 1)
