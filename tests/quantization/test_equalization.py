"""Equalisation changes units and nothing else, and undoes what a bad choice of units does to int8."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import Executor
from coralsmith.quantization import equalization
from coralsmith.quantization.channel_groups import channel_groups
from coralsmith.quantization.equalization import (
    BALANCES,
    Balance,
    channel_peaks,
    equalize,
    equalize_for,
)
from coralsmith.quantization.fidelity import measure_fidelity
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.quantizer import quantize_graph
from tests.quantization.networks import images, inverted_residual


def outputs(model: Graph) -> Array:
    executor = Executor(model)
    return np.stack([executor.run(image)[0] for image in images()])


def rescaled(model: Graph, largest: int = 5) -> Graph:
    """The same network in units of random powers of two: its floats are equal to the bit."""
    groups = channel_groups(model)
    generator = np.random.default_rng(3)
    peaks = {
        tensor: peak
        for group in groups
        for peak in [2.0 ** generator.integers(-largest, largest, group.channels)]
        for tensor in group.tensors
    }
    return equalize(model, groups, peaks, Balance(1, 0, 0))


def sqnr(model: Graph, **choices: object) -> float:
    options = QuantizationOptions(input_type="float", **choices)  # type: ignore[arg-type]
    int8 = quantize_graph(model, images(), options).graph
    return measure_fidelity(model, int8, [(image, image) for image in images()]).outputs["head"].sqnr_db


@pytest.mark.parametrize("weights", ["per-channel", "per-tensor"])
def test_the_float_network_computes_the_same(weights: str) -> None:
    model = inverted_residual()
    result, findings = equalize_for(model, images(), "exact", weights)  # type: ignore[arg-type]
    assert result is not model
    assert findings == []
    assert outputs(result) == pytest.approx(outputs(model), abs=1e-5)


def test_with_a_say_of_the_activation_alone_all_channels_get_the_same_range() -> None:
    model = inverted_residual()
    result, _ = equalize_for(model, images(), "exact", "per-channel")
    after = channel_peaks(result, images(), [result.tensor("wide")])[result.tensor("wide")]
    assert after[after > 0] == pytest.approx(after.max(), rel=1e-4)


def test_the_weights_balance_is_that_of_nagel_et_al() -> None:
    model = inverted_residual()
    groups = channel_groups(model)
    peaks = channel_peaks(model, images(), [t for g in groups for t in g.tensors])
    result = equalize(model, groups, peaks, Balance(0, 1, 1))
    written = np.abs(result.tensor("spatial/weights").data).max(axis=(0, 1, 2))
    read = np.abs(result.tensor("narrow/weights").data).max(axis=(0, 1, 2))
    alive = peaks[model.tensor("spatial")] > 0
    assert (written / read)[alive] == pytest.approx((written / read)[alive][0], rel=0.05)


@pytest.mark.parametrize("weights", ["per-channel", "per-tensor"])
def test_a_network_in_bad_units_comes_back(weights: str) -> None:
    model, bad = inverted_residual(), rescaled(inverted_residual())
    assert outputs(bad) == pytest.approx(outputs(model), abs=1e-5)
    plain = sqnr(bad, weights=weights)
    assert sqnr(bad, weights=weights, equalization="exact") > plain + 6
    assert sqnr(bad, weights=weights, equalization="exact") == pytest.approx(
        sqnr(model, weights=weights, equalization="exact"), abs=0.5
    )


def test_below_a_clamp_no_channel_shrinks_or_reaches_it() -> None:
    model = inverted_residual("RELU6")
    groups = [g for g in channel_groups(model) if g.ceiling == 6.0]
    before = channel_peaks(model, images(), [t for g in groups for t in g.tensors])
    result = equalize(model, groups, before, BALANCES["per-tensor"])
    for tensor, peak in before.items():
        twin = result.tensor(tensor.name)
        after = channel_peaks(result, images(), [twin])[twin]
        assert (after >= peak * (1 - 1e-5)).all()
        assert (after > peak * 1.01).any()
        assert after.max() <= 6.0


def test_exact_equalisation_leaves_clamped_layers_alone() -> None:
    model = inverted_residual("RELU6")
    result, _ = equalize_for(model, images(), "exact", "per-tensor")
    assert np.array_equal(
        result.tensor("spatial/weights").data,
        model.tensor("spatial/weights").data,  # type: ignore[arg-type]
    )


def test_a_change_that_is_more_than_rounding_is_dropped_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equalization, "_divide_inputs", lambda op, factor: None)
    model = inverted_residual()
    result, findings = equalize_for(model, images(), "exact", "per-channel")
    assert result is model
    assert [finding.rule for finding in findings] == ["equalization-not-proved"]
