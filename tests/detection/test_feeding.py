"""Pixels reach every type of input with the meaning they have for the model."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.detection.feeding import PixelFeed, model_input
from coralsmith.detection.head import InputSpec
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Quant, Tensor

MOBILENET = InputSpec((2, 2), 1 / 127.5, -1.0)
PIXELS = np.arange(0, 252, 21, dtype=np.uint8).reshape(1, 2, 2, 3)


def test_a_float_input_is_normalised() -> None:
    fed = model_input(Tensor("image", (1, 2, 2, 3), np.dtype(np.float32)), PIXELS, MOBILENET)
    np.testing.assert_allclose(fed, PIXELS / 127.5 - 1.0, rtol=1e-5)


def test_a_uint8_input_with_one_step_a_pixel_takes_the_pixels_themselves() -> None:
    tensor = Tensor("image", (1, 2, 2, 3), np.dtype(np.uint8), quant=Quant.per_tensor(1 / 127.5, 128))
    assert np.array_equal(model_input(tensor, PIXELS, MOBILENET), PIXELS)
    assert PixelFeed(tensor, MOBILENET).takes_pixels


def test_an_int8_input_takes_the_pixels_less_128() -> None:
    tensor = Tensor("image", (1, 2, 2, 3), np.dtype(np.int8), quant=Quant.per_tensor(1 / 127.5, 0))
    np.testing.assert_array_equal(model_input(tensor, PIXELS, MOBILENET), PIXELS.astype(np.int16) - 128)


def test_any_other_scale_takes_the_normalised_pixels_quantized() -> None:
    quant = Quant.per_tensor(1 / 64, 64)
    tensor = Tensor("image", (1, 2, 2, 3), np.dtype(np.uint8), quant=quant)
    expected = np.rint((PIXELS / 127.5 - 1.0) * 64) + 64
    np.testing.assert_allclose(model_input(tensor, PIXELS, MOBILENET), expected, atol=1)


def test_an_integer_input_without_a_scale_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="without a scale"):
        model_input(Tensor("image", (1, 2, 2, 3), np.dtype(np.uint8)), PIXELS, MOBILENET)
