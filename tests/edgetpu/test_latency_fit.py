"""The constants are what the fit to the committed facts gives, and the fit is as good as the page says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from benchmarks.edgetpu import fit, rebuild
from benchmarks.edgetpu.latency import CONSTANTS, PAGE
from benchmarks.edgetpu.sweeps import sweeps
from benchmarks.edgetpu.tables import filled

from coralsmith.compiled.package import read_compiled
from coralsmith.edgetpu.latency_constants import BUSES, constants

pytestmark = pytest.mark.slow

COMMITTED = json.loads(CONSTANTS.read_text("utf-8"))


def test_cycles_and_instruction_bytes_are_what_the_fit_gives():
    assert COMMITTED["cycles_per_step"] == pytest.approx(fit.fit_cycles(), rel=1e-3)
    assert COMMITTED["instruction_bytes"] == pytest.approx(fit.fit_instructions(), rel=1e-3)


@pytest.mark.parametrize("bus", BUSES)
def test_the_constants_of_a_bus_are_what_the_fit_gives(bus):
    found = dataclasses.asdict(fit.BusFit(bus, constants()).solve())
    fitted = [name for name in found if "ms" in name.split("_") and found[name] is not None]
    assert len(fitted) >= 5
    assert {name: COMMITTED["buses"][bus][name] for name in fitted} == pytest.approx(
        {name: found[name] for name in fitted}, rel=1e-3, abs=1e-3
    )


@pytest.mark.slow
def test_the_file_of_constants_and_the_page_are_fresh():
    fresh = fit.fit_document()
    for bus in BUSES:
        numbers = {name: value for name, value in fresh["buses"][bus].items() if isinstance(value, float)}
        assert {name: COMMITTED["buses"][bus][name] for name in numbers} == pytest.approx(numbers, abs=2e-3)
    assert filled(PAGE.read_text("utf-8")) == PAGE.read_text("utf-8")


def test_published_usb_rows_are_met_within_15_percent_and_the_band_holds_8_in_10():
    rows = fit.BusFit("usb", constants()).left_out()
    assert len(rows) >= 19
    assert np.mean([abs(row.error) for row in rows]) <= 0.15
    assert np.mean([row.is_inside for row in rows]) >= 0.8


def test_what_is_not_fitted_says_why():
    for row in fit.read("published_latencies.json")["rows"]:
        assert len(row.get("not_fitted", "because it is impossible")) > 20
    assert all(row["why"] for row in fit.read("published_latencies.json")["left_out"])


def test_no_published_row_is_named_twice():
    rows = [(row["model"], row["bus"]) for row in fit.read("published_latencies.json")["rows"]]
    assert len(rows) == len(set(rows))


def test_recorded_programs_are_those_of_the_compiled_files(shared):
    recorded = {p["model"]: p for p in fit.read("recorded_programs.json")["programs"]}
    for name, folder in rebuild.PAIRS.items():
        program = (
            read_compiled(shared / "edgetpu" / "pairs" / folder / "model_edgetpu.tflite")
            .packages[0]
            .executables[0]
        )
        assert recorded[name]["instruction_bytes"] == program.instruction_bytes, name
        assert (recorded[name]["cycles"] or 0) == program.estimated_cycles, name


def test_what_models_at_hand_ask_for_is_what_their_graphs_say(shared):
    committed = fit.read("models.json")
    made = {name: make for name, make in rebuild.sources(shared) if name in rebuild.PAIRS or "ssd" in name}
    assert len(made) >= 16
    for name, make in made.items():
        assert rebuild.derive(make()) == committed[name], name


def test_rebuilt_networks_have_the_published_number_of_weights():
    millions = {
        "inception_v1_224": 6.6, "inception_v3_299": 23.8, "inception_v4_299": 42.7, "densenet121_224": 8.0,
        "resnet50_v1_299": 25.6, "resnet152_v2_299": 60.3, "vgg16_224": 138.3, "vgg19_224": 143.6,
    }  # fmt: skip
    models = fit.read("models.json")
    for name, expected in millions.items():
        assert models[name]["parameter_bytes"] / 1e6 == pytest.approx(expected, rel=0.06), name


def test_non_negative_least_squares_finds_the_constants_behind_exact_numbers():
    table = np.random.default_rng(1).uniform(0, 1, (12, 4))
    assert fit.relative_fit(table, list(table @ [0.5, 0.0, 3.0, 1.0])) == pytest.approx([0.5, 0, 3, 1], abs=1e-6)


def test_one_odd_row_does_not_bend_the_others():
    table = np.random.default_rng(1).uniform(1, 2, (12, 2))
    wanted = table @ [2.0, 1.0]
    wanted[3] *= 4
    assert fit.relative_fit(table, list(wanted)) == pytest.approx([2, 1], rel=0.05)


def test_measured_stacks_lie_in_the_band_over_pcie(shared):
    measured = list(sweeps(shared))
    assert len(measured) > 700
    assert np.mean([one.is_inside for one in measured]) >= 0.9
    streamed = [one for one in measured if one.kind == "conv" and one.streamed]
    assert np.mean([one.is_inside for one in streamed]) >= 0.9
