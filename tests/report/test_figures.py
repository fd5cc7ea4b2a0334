from __future__ import annotations

import dataclasses

import pytest

from coralsmith.report.document import ConversionReport
from coralsmith.report.figures import Figure, key_figures
from tests.report.example_report import blocked_report, compiled_report, example_report


def figures(report: ConversionReport) -> dict[str, Figure]:
    return {figure.title: figure for figure in key_figures(report)}


def test_without_a_compiler_operators_and_memory_are_predictions() -> None:
    found = figures(example_report())
    assert found["Operators on Edge TPU"].value == "113 of 116"
    assert found["Operators on Edge TPU"].basis == "predicted"
    assert found["Parameters on chip"].value == "4.75 MiB"
    assert found["Parameters on chip"].basis == "predicted"
    assert found["Model file"].detail == "coco_ssdlite_int8.tflite"


def test_what_the_compiler_said_replaces_the_prediction() -> None:
    found = figures(compiled_report())
    assert found["Operators on Edge TPU"].basis == "compiler"
    assert found["Parameters on chip"].value == "4.87 MiB"
    assert found["Parameters on chip"].basis == "compiler"
    assert found["Model file"].detail == "coco_ssdlite_int8_edgetpu.tflite"


def test_a_compiler_that_listed_no_operator_leaves_the_prediction() -> None:
    silent = dataclasses.replace(compiled_report().compiler, mapped=0, unmapped=0)
    found = figures(dataclasses.replace(compiled_report(), compiler=silent))
    assert found["Operators on Edge TPU"].basis == "predicted"


def test_latency_is_a_prediction_even_of_a_compiled_model() -> None:
    assert figures(compiled_report())["Latency"].basis == "predicted"


def test_fidelity_is_that_of_the_worst_output() -> None:
    assert figures(example_report())["int8 against float"].value == "27.9 dB"


def test_memory_that_may_or_may_not_fit_is_a_band() -> None:
    report = example_report()
    unsure = {
        **report.check["parameters"],
        "on_chip_bytes": None,
        "streamed_bytes": None,
        "streamed_high": 262_144,
    }
    report = dataclasses.replace(report, check={**report.check, "parameters": unsure})
    assert figures(report)["Parameters"].value == "4.75 MiB to 5.04 MiB"
    assert figures(report)["Parameters"].detail == "all on the chip, or up to 256 KiB streamed: not known"


@pytest.mark.parametrize(
    ("low", "high", "detail"),
    [(1 << 20, 1 << 20, "1.00 MiB streamed"), (1 << 19, 1 << 21, "1.00 MiB streamed (512 KiB to 2.00 MiB)")],
)
def test_a_prediction_of_streaming_tells_its_band(low: int, high: int, detail: str) -> None:
    report = example_report()
    streaming = {"streamed_bytes": 1 << 20, "streamed_low": low, "streamed_high": high}
    check = {**report.check, "parameters": {**report.check["parameters"], **streaming}}
    assert (
        figures(dataclasses.replace(report, check=check))["Parameters on chip"].detail == f"of ~7.7 MiB, {detail}"
    )


@pytest.mark.parametrize(
    ("fields", "value", "detail"),
    [
        ({"low": 100 << 10, "on_chip_bytes": 100 << 10, "high": 400 << 10}, "100 KiB to 400 KiB", "of ~7.7 MiB, "),
        ({"low": 100 << 10, "on_chip_bytes": 100 << 10, "high": 104 << 10}, "100 KiB", "of ~7.7 MiB, "),
        ({"room": 6_396_313}, "4.75 MiB", "of 6.1 to 7.7 MiB, "),
    ],
)
def test_what_is_not_known_of_the_memory_is_told(fields: dict[str, int], value: str, detail: str) -> None:
    report = example_report()
    check = {**report.check, "parameters": {**report.check["parameters"], **fields}}
    figure = figures(dataclasses.replace(report, check=check))["Parameters on chip"]
    assert (figure.value, figure.detail) == (value, detail + "none streamed")


def test_parameters_of_operators_of_unknown_fate_are_said_to_be_left_out() -> None:
    report = example_report()
    report = dataclasses.replace(report, check={**report.check, "ops_unknown": 2})
    assert figures(report)["Parameters on chip"].detail.endswith("; unknown operators not counted")


def test_streamed_parameters_are_named() -> None:
    report = dataclasses.replace(
        compiled_report(), compiler=dataclasses.replace(compiled_report().compiler, streamed_bytes=178_257)
    )
    assert figures(report)["Parameters on chip"].detail == "of ~7.7 MiB, 174 KiB streamed"


def test_there_is_no_figure_without_its_record() -> None:
    assert set(figures(blocked_report())) == {"Operators on Edge TPU", "Parameters on chip"}


def test_what_int8_loses_on_labelled_images_is_a_measurement() -> None:
    found = figures(example_report())["AP lost in int8"]
    assert (found.value, found.basis) == ("+0.0070", "measured")
    assert found.detail == "-0.0020 to +0.0160; AP 0.352 on 25 images"
    assert "AP lost in int8" not in figures(blocked_report())
