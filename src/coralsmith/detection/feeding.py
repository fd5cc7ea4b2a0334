"""Pixels in the form that a model's input takes."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.head import InputSpec
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array, Tensor

_SIGN_BIT: Final = 128
_PIXELS: Final = np.arange(256, dtype=np.uint8)


class PixelFeed:
    """How pixels become the input of one model.

    An integer input with one step per pixel value takes the pixels as they are (int8: less 128, which turns one
    bit). Any other 8-bit input takes the normalised pixels quantized, by a table: a pixel has 256 values.

    Args:
        tensor: The input: float32, uint8 or int8.
        spec: The normalisation.

    Raises:
        UnsupportedModelError: The input holds integers without a scale.
    """

    def __init__(self, tensor: Tensor, spec: InputSpec) -> None:
        if not tensor.is_float and tensor.quant is None:
            raise UnsupportedModelError(f"The input '{tensor.name}' holds {tensor.dtype} without a scale.")
        self._tensor, self._spec = tensor, spec
        self._tables: Array | None = None
        self._steps_are_pixels = (
            tensor.quant is not None
            and not tensor.is_float
            and tensor.dtype.itemsize == 1
            and spec.scale is not None
            and bool(np.isclose(float(tensor.quant.scale[0]), spec.scale, rtol=0.01))
        )
        self.takes_pixels = self._steps_are_pixels and tensor.dtype == np.uint8
        """Whether pixels may be written into the input as they are."""
        if tensor.quant is not None and not tensor.is_float and not self._steps_are_pixels:
            every = np.broadcast_to(_PIXELS[:, None], (256, 3))
            self._tables = np.ascontiguousarray(tensor.quant.quantize(spec.normalise(every), tensor.dtype).T)

    def write(self, pixels: NDArray[np.uint8], out: Array) -> None:
        """Write pixels, uint8 [1, height, width, 3], into an array of the input's shape and type."""
        if self._steps_are_pixels:
            flip = 0 if self.takes_pixels else _SIGN_BIT
            np.bitwise_xor(pixels, np.uint8(flip), out=out.view(np.uint8))
        elif self._tables is None:
            out[...] = self._spec.normalise(pixels)
        else:
            for channel, table in enumerate(self._tables):
                out[..., channel] = table[pixels[..., channel]]


def model_input(tensor: Tensor, pixels: NDArray[np.uint8], spec: InputSpec) -> Array:
    """A new array with pixels, uint8 [1, height, width, 3], in the form that an input takes; see `PixelFeed`."""
    made = np.empty(pixels.shape, tensor.dtype)
    PixelFeed(tensor, spec).write(pixels, made)
    return made
