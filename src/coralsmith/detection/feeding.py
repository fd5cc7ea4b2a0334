"""Pixels in the form that a model's input takes."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.head import InputSpec
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array, Tensor

_INT8_OFFSET: Final = 128


def model_input(tensor: Tensor, pixels: NDArray[np.uint8], spec: InputSpec) -> Array:
    """Pixels in the form that a model's input takes.

    An integer input with one step per pixel value takes the pixels as they are (int8: less 128). Any other
    integer input takes the normalised pixels quantized.

    Args:
        tensor: The input: float32, uint8 or int8.
        pixels: uint8 [1, height, width, 3].
        spec: The normalisation.
    """
    if tensor.is_float:
        return spec.normalise(pixels)
    if tensor.quant is None:
        raise UnsupportedModelError(f"The input '{tensor.name}' holds {tensor.dtype} without a scale.")
    if spec.scale is not None and np.isclose(float(tensor.quant.scale[0]), spec.scale, rtol=0.01):
        if tensor.dtype == np.uint8:
            return pixels
        return (pixels.astype(np.int16) - _INT8_OFFSET).astype(np.int8)
    return tensor.quant.quantize(spec.normalise(pixels), tensor.dtype)
