"""Methods are chosen by what they measurably do on images held back."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.errors import ImageDataError
from coralsmith.graph import Array, Graph
from coralsmith.graph.writer import serialize
from coralsmith.quantization import automatic
from coralsmith.quantization.automatic import auto_quantize
from coralsmith.quantization.channel_groups import channel_groups
from coralsmith.quantization.equalization import Balance, equalize
from coralsmith.quantization.options import DetectionOutputs, QuantizationOptions
from coralsmith.quantization.output_error import OutputMeter
from coralsmith.quantization.quantizer import quantize_graph
from tests.quantization.networks import detector, images, inverted_residual

FLOAT_INPUT = QuantizationOptions(input_type="float")


def in_bad_units() -> Graph:
    """A network whose channels differ by powers of two, so that plain quantization loses most of them."""
    model = inverted_residual()
    groups = channel_groups(model)
    generator = np.random.default_rng(3)
    peaks: dict[object, Array] = {}
    for group in groups:
        peaks.update(dict.fromkeys(group.tensors, 2.0 ** generator.integers(-5, 5, group.channels)))
    return equalize(model, groups, peaks, Balance(1, 0, 0))  # type: ignore[arg-type]


def test_what_helps_is_kept_and_told() -> None:
    result = auto_quantize(in_bad_units(), images(count=12), FLOAT_INPUT)
    kept = [trial.name for trial in result.trials if trial.kept]
    assert result.options.equalization == "exact"
    assert kept[:2] == ["plain", "equalization: exact"]
    assert [finding.rule for finding in result.findings].count("quantization-chosen") == 1


def test_the_result_is_that_of_the_chosen_options_on_all_images() -> None:
    model, inputs = in_bad_units(), images(count=12)
    result = auto_quantize(model, inputs, FLOAT_INPUT)
    assert result.images == 12
    assert serialize(result.graph) == serialize(quantize_graph(model, inputs, result.options).graph)


def test_fresh_images_lose_less_than_with_plain_quantization() -> None:
    model, fresh = in_bad_units(), images(count=8, seed=5)
    meter = OutputMeter(model, fresh, None)
    plain = meter.decibels(quantize_graph(model, images(count=12), FLOAT_INPUT).graph)
    assert meter.decibels(auto_quantize(model, images(count=12), FLOAT_INPUT).graph) > plain + 3


def test_two_runs_choose_the_same() -> None:
    first, second = (auto_quantize(in_bad_units(), images(), FLOAT_INPUT) for _ in range(2))
    assert first.trials == second.trials
    assert serialize(first.graph) == serialize(second.graph)


def test_ranges_of_heads_are_tried_where_the_heads_are_known() -> None:
    inputs = images((1, 4, 4, 3), 6)
    heads = DetectionOutputs("boxes", "scores", "sigmoid")
    known = auto_quantize(detector(), inputs, QuantizationOptions(input_type="float", outputs=heads))
    unknown = auto_quantize(detector(), inputs, FLOAT_INPUT)
    assert "detection ranges" in {trial.name for trial in known.trials}
    assert "detection ranges" not in {trial.name for trial in unknown.trials}


def test_nothing_that_hardly_helps_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "_LEAST_GAIN_DB", 1000.0)
    result = auto_quantize(in_bad_units(), images(count=6), FLOAT_INPUT)
    assert result.options == FLOAT_INPUT
    assert [trial.kept for trial in result.trials] == [True, *[False] * (len(result.trials) - 1)]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_no_image_is_calibrated_with_and_held_back(count: int) -> None:
    given = images(count=count)
    seen, held_back = automatic._split(given)
    assert seen and held_back
    assert {id(i) for i in seen} | {id(i) for i in held_back} == {id(i) for i in given}
    assert not {id(i) for i in seen} & {id(i) for i in held_back}


def test_one_image_does_for_both() -> None:
    assert auto_quantize(inverted_residual(), images(count=1), FLOAT_INPUT).images == 1


def test_no_image_is_an_error() -> None:
    with pytest.raises(ImageDataError, match="no image"):
        auto_quantize(inverted_residual(), [])
