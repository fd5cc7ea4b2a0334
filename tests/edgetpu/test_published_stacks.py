"""Published compilations of stacks of equal layers: what the compiler printed of its cache and its streaming."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.edgetpu.stacks import Compilation, agrees, as_printed, compilations

from coralsmith.edgetpu.memory import ParameterMemory, parameter_memory

# One size of each sort of stack, and the places where streaming begins or another layer leaves the chip.
SIZES = {
    32,
    42,
    100,
    102,
    242,
    442,
    452,
    522,
    642,
    762,
    782,
    962,
    1002,
    1042,
    1102,
    1322,
    1342,
    1602,
    1620,
    2000,
    2700,
}


def comparable(shared: Path) -> Iterator[tuple[Compilation, ParameterMemory]]:
    for row in compilations(shared / "edgetpu" / "latency"):
        if not row.excluded:
            yield row, parameter_memory(row.graph(), range(len(row.layers)))


def check(rows: list[tuple[Compilation, ParameterMemory]]) -> None:
    for row, memory in rows:
        assert agrees(row, memory), (row.series, row.size)
        if row.streamed is not None:
            assert as_printed(memory.streamed_low, row.streamed, low=True), (row.series, row.size)
            assert as_printed(memory.streamed_high, row.streamed, low=False), (row.series, row.size)


def test_the_bytes_are_exact_and_what_is_streamed_is_in_the_band(shared) -> None:
    rows = [
        (row, parameter_memory(row.graph(), range(len(row.layers))))
        for row in compilations(shared / "edgetpu" / "latency")
        if not row.excluded and row.size in SIZES
    ]
    assert len(rows) > 60
    check(rows)


@pytest.mark.slow
def test_so_it_is_in_every_published_compilation(shared) -> None:
    rows = list(comparable(shared))
    assert len(rows) == 821
    check(rows)
    streaming = [(row, memory) for row, memory in rows if row.streamed is not None and row.streamed.value > 0]
    exact = [
        memory.streamed_bytes is not None and as_printed(memory.streamed_bytes, row.streamed)
        for row, memory in streaming
    ]
    assert (len(streaming), sum(exact)) == (203, 195)


def test_a_band_would_not_hold_just_anything(shared) -> None:
    """Of the stacks that stream, the amount is known exactly in most."""
    rows = [
        parameter_memory(row.graph(), range(len(row.layers)))
        for row in compilations(shared / "edgetpu" / "latency")
        if row.streamed is not None and row.streamed.value > 0 and row.size in SIZES
    ]
    assert sum(memory.streamed_low == memory.streamed_high for memory in rows) > len(rows) / 2
