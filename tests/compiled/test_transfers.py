"""The pieces of a transfer are put together by an independent count of every byte."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.compiled.executable import DmaHint
from coralsmith.compiled.transfers import transfer_problems
from tests.compiled.compiled_files import program

SIZE = 24
PIECES = st.lists(st.tuples(st.integers(-2, SIZE), st.integers(0, SIZE + 2)), max_size=5)


def moves_each_byte_once(pieces: list[tuple[int, int]]) -> bool:
    counts = Counter(byte for offset, size in pieces for byte in range(offset, offset + size))
    return all(size > 0 for _, size in pieces) and counts == Counter(range(SIZE))


@st.composite
def cuts(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Pieces that make up the whole, in any order."""
    ends = sorted({*draw(st.sets(st.integers(1, SIZE - 1), max_size=4)), 0, SIZE})
    return list(draw(st.permutations([(a, b - a) for a, b in pairwise(ends)])))


@settings(deadline=None)
@given(PIECES | cuts())
def test_a_problem_is_told_exactly_where_a_byte_does_not_move_once(pieces: list[tuple[int, int]]) -> None:
    one = program(parameters=bytes(SIZE))
    others = [hint for hint in one.dma_hints if hint.region != "parameter"]
    moved = [DmaHint("descriptor", "infeed", "parameter", offset=at, size=size) for at, size in pieces]
    problems = list(transfer_problems(replace(one, dma_hints=(*others, *moved))))
    assert (problems == []) == moves_each_byte_once(pieces)
