"""The tables of docs/memory.md are what the benchmark prints."""

from __future__ import annotations

import pytest
from benchmarks.edgetpu.memory import measure
from benchmarks.edgetpu.memory_page import PAGE, filled

from coralsmith.compat.memory_advice import layer_advice
from coralsmith.edgetpu.latency_constants import streaming_ms_per_mib
from coralsmith.edgetpu.memory import parameter_memory
from tests.edgetpu.layers import dense, graph_of


@pytest.mark.slow
def test_the_tables_are_fresh(shared) -> None:
    page = PAGE.read_text("utf-8")
    assert filled(page, measure(shared)) == page


def test_only_tables_that_were_measured_are_written() -> None:
    page = "a\n<!-- pairs -->\nold\n<!-- end -->\nb\n<!-- stacks -->\nold\n<!-- end -->\n"
    row = {
        "name": "gcedgetpu__net",
        "predicted": 1000,
        "real": 1000,
        "low": 1000,
        "high": 1064,
        "verdict": "exact",
    }
    expected = (
        "a\n<!-- pairs -->\n| compiled model | predicted | real | agreement | width of the band |\n"
        "| --- | ---: | ---: | ---: | ---: |\n| net | 1,000 | 1,000 | exact | 64 |\n<!-- end -->\n"
        "b\n<!-- stacks -->\nold\n<!-- end -->\n"
    )
    assert filled(page, {"pairs": [row]}) == expected


def test_the_page_states_the_numbers_of_the_code() -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    usb, pcie = streaming_ms_per_mib("usb"), streaming_ms_per_mib("pcie")
    assert f"{usb:.1f} ms for each MiB over USB 3 and {pcie:.1f} ms on a Dev Board" in page
    wide = graph_of(*(dense(65, 20_000 + number, name=str(number)) for number in range(9)))
    assert len(layer_advice(wide, parameter_memory(wide, range(9)))) == 5
    assert "at most five layers" in page
