"""Plain bilinear sampling of pixels, with half-pixel centres, in 8-bit fixed point.

One position in the source for each pixel of the result, the mean of its four neighbours weighted by distance: what
TensorFlow's `resize_bilinear` (half-pixel centres) and OpenCV's INTER_LINEAR compute, on photos to one level of
256 and 0.12 on the mean. Only pixels that are needed are read: the time depends on the size of the result.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Indices = NDArray[np.intp]
Size = tuple[int, int]
"""Height and width in pixels."""

_ONE: Final = np.uint16(256)
_BAND: Final = 30  # rows of the result made at a time: what they take stays in the processor's caches
_HALF: Final = np.uint32(1 << 15)  # of 256 times 256


def sample_bilinear(pixels: Pixels, size: Size, out: Pixels) -> None:
    """Resize an image; the same result on every machine.

    Args:
        pixels: uint8 [height, width, 3].
        size: Of the result.
        out: uint8 [*size, 3], receives the result; need not be contiguous.
    """
    (top, bottom, down), (left, right, across) = (
        _axis(*sides) for sides in zip(pixels.shape[:2], size, strict=True)
    )
    whole = np.ascontiguousarray(pixels).view("V3")[..., 0]  # a pixel is one item, copied as such
    across = across.repeat(3)
    for start in range(0, size[0], _BAND):
        band = slice(start, start + _BAND)
        rows = whole.take(np.concatenate([top[band], bottom[band]]), axis=0)
        first, second = (rows.take(columns, axis=1).view(np.uint8) for columns in (left, right))
        upper, lower = np.split(_mix(first, second, across, np.uint16), 2)
        mean = _mix(upper, lower, down[band, None], np.uint32)
        mean += _HALF
        mean >>= 16
        out[band] = mean.reshape(-1, size[1], 3)


def sample_quickly(pixels: Pixels, size: Size, out: Pixels) -> None:
    """As `sample_bilinear`, by OpenCV where the program has imported it: that is several times faster.

    For frames that came from OpenCV. The results differ by one level of 256 here and there; what must be the same
    on every machine, calibration and evaluation for two, does not come this way.
    """
    opencv = sys.modules.get("cv2")
    if opencv is None:
        sample_bilinear(pixels, size, out)
    else:
        out[...] = opencv.resize(pixels, (size[1], size[0]), interpolation=opencv.INTER_LINEAR)


def _axis(source: int, size: int) -> tuple[Indices, Indices, NDArray[np.uint16]]:
    """The two neighbours of each sampled position on one axis, and its distance from the first in 256ths."""
    positions = np.clip((np.arange(size) + 0.5) * (source / size) - 0.5, 0, source - 1)
    first = positions.astype(np.intp)
    return first, np.minimum(first + 1, source - 1), np.rint((positions - first) * _ONE).astype(np.uint16)


def _mix(
    first: NDArray[Any], second: NDArray[Any], share: NDArray[np.uint16], dtype: type[np.unsignedinteger[Any]]
) -> NDArray[Any]:
    """256 times the mean of two arrays, of which the second counts so many 256ths; exact."""
    mean = first.astype(dtype)
    mean *= _ONE - share
    part = second.astype(dtype)
    part *= share
    mean += part
    return mean
