"""Integer weights and biases, as the int8 kernels demand them."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.graph import Quant, Tensor
from coralsmith.quantization.weights import BIAS_LIMIT, IntegerLayer, quantize_layer

INPUT = Quant.per_tensor(0.05, 3)


def layer(weights: np.ndarray, bias: np.ndarray, *, per_channel: bool = True, axis: int = 0) -> IntegerLayer:
    constant = Tensor.constant("weights", weights.astype(np.float32))
    return quantize_layer(constant, bias, INPUT, axis, per_channel=per_channel, bias_name="bias")


def test_weights_are_symmetric_and_never_minus_128() -> None:
    result = layer(np.array([[-2.0, 1.0], [0.5, 0.25]]), np.zeros(2)).weights
    assert result.quant is not None and result.data is not None
    assert not result.quant.zero_point.any()
    np.testing.assert_array_equal(result.data, [[-127, 64], [127, 64]])


def test_each_output_channel_has_its_own_scale_along_the_kernel_axis() -> None:
    weights = np.random.default_rng(0).normal(size=(1, 3, 3, 5))
    result = layer(weights, np.zeros(5), axis=3).weights
    assert result.quant is not None
    assert result.quant.axis == 3
    np.testing.assert_allclose(result.quant.scale, np.abs(weights).max(axis=(0, 1, 2)) / 127, rtol=1e-6)


def test_per_tensor_weights_have_one_scale() -> None:
    result = layer(np.array([[4.0], [1.0]]), np.zeros(2), per_channel=False)
    assert result.weights.quant is not None and result.bias.quant is not None
    assert result.weights.quant.scale.size == 1
    assert result.bias.quant.scale.size == 1


def test_the_bias_scale_is_input_scale_times_weight_scale() -> None:
    result = layer(np.array([[1.27], [0.127]]), np.array([1.0, -0.5]))
    assert result.bias.quant is not None and result.weights.quant is not None and result.bias.data is not None
    expected = np.float32(0.05) * result.weights.quant.scale
    np.testing.assert_array_equal(result.bias.quant.scale, expected)
    np.testing.assert_array_equal(result.bias.data, np.rint([1.0 / (0.05 * 0.01), -0.5 / (0.05 * 0.001)]))


def test_a_channel_of_nearly_zero_weights_keeps_its_large_bias() -> None:
    result = layer(np.array([[1e-12], [1.0]]), np.array([100.0, 0.0]))
    assert result.bias.quant is not None and result.bias.data is not None
    restored = result.bias.quant.dequantize(result.bias.data)
    assert restored[0] == pytest.approx(100.0, rel=1e-6)
    assert np.abs(result.bias.data).max() <= BIAS_LIMIT


def test_the_bias_takes_back_what_rounding_the_weights_shifts_on_average() -> None:
    weights = np.random.default_rng(1).normal(size=(4, 3, 3, 8)).astype(np.float32)
    mean = np.random.default_rng(2).uniform(0, 6, 8)
    corrected = quantize_layer(
        Tensor.constant("weights", weights),
        np.zeros(4),
        INPUT,
        0,
        per_channel=True,
        bias_name="bias",
        input_mean=mean,
    )
    assert corrected.weights.quant is not None and corrected.weights.data is not None
    assert corrected.bias.quant is not None and corrected.bias.data is not None
    restored = corrected.weights.quant.dequantize(corrected.weights.data)
    bias = corrected.bias.quant.dequantize(corrected.bias.data)
    expected = (weights * mean).sum(axis=(1, 2, 3))
    np.testing.assert_allclose((restored * mean).sum(axis=(1, 2, 3)) + bias, expected, rtol=1e-4)
