"""The estimate: a sum of parts with a band, none where it would be a guess, wider where nothing was measured."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compat import check_graph
from coralsmith.edgetpu.latency import (
    LatencyParts,
    band,
    bus_latency,
    estimate_latency,
    latency_parts,
    not_estimated,
)
from coralsmith.edgetpu.latency_constants import BUSES, constants
from coralsmith.edgetpu.work import Work
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.postprocess_limits import CUSTOM_CODE
from coralsmith.graph.reader import read_tflite
from tests.builders import activation, conv_graph, op
from tests.compat.models import chain

MOBILENET = Work({"pointwise": 158_592, "layers": 28, "output groups": 110}, 150_528, 1_004)
STREAMED = "streamed_bytes streamed_low streamed_high"
LARGEST_FACTOR = 5 * math.exp(max(bus.band for bus in constants().buses.values()))  # sent five times
amounts = st.integers(0, 10**8)


@pytest.mark.parametrize("bus", BUSES)
def test_the_estimate_is_the_sum_of_its_parts_and_lies_in_the_band(bus):
    latency = bus_latency(MOBILENET, bus)
    assert latency is not None
    assert latency.estimate == pytest.approx(latency.parts.total, abs=0.003)
    assert latency.low < latency.estimate < latency.high


@pytest.mark.parametrize("bus", BUSES)
@given(
    pointwise=amounts, layers=st.integers(1, 500), moved=amounts, streamed=amounts, crowded=amounts,
    more=st.sampled_from(["input_bytes", "output_bytes", STREAMED, "host_postprocess"]),
)  # fmt: skip
def test_more_work_never_takes_less_time(bus, pointwise, layers, moved, streamed, crowded, more):
    work = Work({"pointwise": pointwise, "layers": layers}, moved, moved, streamed, streamed, streamed, crowded)
    bigger = dataclasses.replace(work, **{name: getattr(work, name) + 1_000_000 for name in more.split()})
    first, second = bus_latency(work, bus), bus_latency(bigger, bus)
    if first is None or second is None:  # too far beyond the models of the fit
        return
    assert first.estimate <= second.estimate
    assert 0 < second.low <= second.estimate <= second.high <= 10 * LARGEST_FACTOR * second.estimate


def test_the_band_in_the_fitted_region_is_that_of_the_residuals():
    bus = constants().buses["usb"]
    latency = bus_latency(MOBILENET, "usb")
    assert latency is not None
    assert math.log(latency.high / latency.estimate) == pytest.approx(bus.band, abs=0.005)
    assert math.log(latency.estimate / latency.low) == pytest.approx(bus.band, abs=0.005)


def width(work: Work) -> float:
    bus = constants().buses["usb"]
    parts = latency_parts(work, constants(), bus)
    assert parts is not None
    low, high = band(work, parts, bus)
    return math.log(high / low)


def test_the_band_is_wider_beyond_the_models_of_the_fit():
    limit = constants().buses["usb"].fitted_up_to["transfers"]
    beyond = dataclasses.replace(MOBILENET, input_bytes=round(3e6 * limit / 6))
    far_beyond = dataclasses.replace(MOBILENET, input_bytes=round(3e7 * limit / 6))
    assert width(MOBILENET) < width(beyond) < width(far_beyond)


def test_far_beyond_the_models_of_the_fit_there_is_no_estimate_and_the_evidence_says_so():
    graph = conv_graph(size=1024, channels=64, filters=64)
    assert bus_latency(dataclasses.replace(MOBILENET, input_bytes=10**9), "usb") is None
    latency = estimate_latency(graph, [0])
    assert latency.pcie is None
    assert latency.evidence.endswith("Dev Board: no estimate for a model this far beyond those of the fit")


def test_the_band_is_wider_below_the_fastest_model_of_the_fit():
    assert width(Work()) > width(MOBILENET)


def test_the_upper_end_allows_for_parameters_that_are_sent_several_times():
    size = 5_000_000
    streamed = dataclasses.replace(MOBILENET, streamed_bytes=size, streamed_low=size, streamed_high=size)
    crowded = dataclasses.replace(streamed, crowded_bytes=5_000_000)
    first, second = bus_latency(streamed, "usb"), bus_latency(crowded, "usb")
    assert first is not None and second is not None
    assert (first.estimate, first.low) == (second.estimate, second.low)
    assert second.high - first.high > 4 * first.parts.streamed_parameters


def test_the_band_holds_the_least_and_the_most_that_may_be_streamed():
    sizes = {"streamed_bytes": 2_000_000, "streamed_low": 0, "streamed_high": 6_000_000}
    latency = bus_latency(dataclasses.replace(MOBILENET, **sizes), "usb")
    nothing = bus_latency(MOBILENET, "usb")
    assert latency is not None and nothing is not None
    assert latency.low == pytest.approx(nothing.low, abs=0.01)
    assert latency.high > latency.estimate + 2 * latency.parts.streamed_parameters


def test_without_operators_on_the_chip_there_is_no_estimate():
    latency = estimate_latency(conv_graph(), [])
    assert latency.usb is latency.pcie is None
    assert latency.evidence == "not estimated: nothing runs on the Edge TPU"


def test_what_may_run_on_either_side_widens_the_band_to_hold_both_answers():
    graph = conv_graph(size=32, filters=64)
    graph.ops.append(op("RELU", [graph.ops[0].output], "after"))
    either = estimate_latency(graph, [0], uncertain=[1])
    chip, cpu = estimate_latency(graph, [0, 1]).usb, estimate_latency(graph, [0]).usb
    assert either.usb is not None and chip is not None and cpu is not None
    assert either.usb.estimate == chip.estimate
    assert (either.usb.low, either.usb.high) == (min(chip.low, cpu.low), max(chip.high, cpu.high))
    assert either.pcie is None  # on the CPU its time is not known there
    assert "operators of unknown support (1)" in either.evidence


def test_where_it_is_unknown_whether_anything_runs_on_the_chip_there_is_no_estimate():
    report = check_graph(chain("CUMSUM", "LEAKY_RELU", "RELU"))
    assert report.ops_unknown and not report.ops_edgetpu
    assert report.latency_ms == not_estimated("nothing is known to run on the Edge TPU")


def test_operators_on_the_cpu_are_estimated_over_usb_only():
    graph = conv_graph(size=16)
    graph.ops.append(op("RELU", [graph.ops[0].output], "after"))
    latency = estimate_latency(graph, [0])
    assert latency.pcie is None and latency.usb is not None
    assert latency.usb.parts.cpu > 0
    assert "over PCIe their time is not known" in latency.evidence


def test_custom_operators_on_the_cpu_are_said_to_be_left_out():
    graph = conv_graph()
    graph.ops.append(Op("CUSTOM", [graph.ops[0].output], [activation("x", (1, 4))], custom_code="Unheard"))
    latency = estimate_latency(graph, [0])
    assert latency.usb is not None and latency.usb.parts.cpu == 0
    assert latency.evidence.endswith("custom operators on the CPU are not included")


def test_the_evidence_says_how_many_latencies_and_how_large_the_error_is():
    evidence = estimate_latency(conv_graph(), [0]).evidence
    usb = constants().buses["usb"]
    assert evidence.startswith("inferred")
    assert f"{usb.rows} published latencies" in evidence
    assert f"{100 * usb.leave_one_out_error:.0f} %" in evidence


def test_the_slowest_operator_comes_first_and_streamed_parameters_are_its_own():
    shape = (4096, 4096)
    weights = Tensor("weights", shape, np.dtype(np.int8), np.broadcast_to(np.int8(1), shape))
    source, middle = activation("in", (1, 4096), np.int8), activation("middle", (1, 4096), np.int8)
    dense = Op("FULLY_CONNECTED", [source, weights], [middle])
    graph = Graph([op("RELU", [source], "first"), dense, op("RELU", [middle], "last")], [source], [])
    latency = estimate_latency(graph, range(3))
    assert latency.usb is not None
    assert latency.slowest[0].index == 1 and len(latency.slowest) == 3
    assert latency.slowest[0].milliseconds > latency.usb.parts.streamed_parameters > 10
    assert 0.9 < sum(time.share for time in latency.slowest) < 1


def test_custom_operators_of_unknown_work_are_no_slowest_operator():
    source = activation("in", (1, 64), np.int8)
    first = op("RELU", [source], "first")
    unheard = Op("CUSTOM", [first.output], [activation("a", (1, 64))], custom_code="Unheard")
    detections = Op("CUSTOM", [unheard.output], [activation("b", (1, 64))], custom_code=CUSTOM_CODE)
    latency = estimate_latency(Graph([first, unheard, detections], [source], [detections.output]), [0])
    assert [time.index for time in latency.slowest] == [2, 0]


def test_parts_that_are_nothing_do_not_widen_the_band():
    bus = dataclasses.replace(constants().buses["usb"], fitted_up_to={}, shortest=0.0)
    low, high = band(Work(), LatencyParts(0, 5, 0, 0, 0, 0), bus)
    assert math.log(high / low) == pytest.approx(2 * (bus.band + 1))
    limited = dataclasses.replace(bus, fitted_up_to={"compute": 5.0})
    assert math.log(np.divide(*band(Work(), LatencyParts(0, 5, 0, 0, 0, 0), limited)[::-1])) == pytest.approx(
        2 * bus.band
    )


@pytest.mark.parametrize(
    ("path", "published"),
    [
        ("edgetpu/pairs/gcedgetpu__mobilenet_v2_1.0_224_quant/model.tflite", 2.6),
        ("edgetpu/segments/ssd_mobilenet_v2_coco_quant/source_rebuilt.tflite", 7.3),
        ("models/ssd_mobilenet_v1_coco_quant/model.tflite", 6.5),
    ],
)
def test_check_holds_the_published_latency_of_real_models_in_its_band(shared, path, published):
    usb = check_graph(read_tflite(shared / path)).latency_ms.usb
    assert usb is not None and usb.low <= published <= usb.high
