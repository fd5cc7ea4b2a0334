"""Variety from few images: mirrored, cropped, brighter or darker copies, still made of whole pixel values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional

from coralsmith.quantization.options import PixelScale

SMALLEST_CROP: Final = 0.6  # of either side
CONTRAST: Final = (0.8, 1.25)
BRIGHTNESS: Final = 0.12  # of the range of the input


@dataclass(frozen=True)
class Views:
    """Varied copies of a batch, and where they lie in their originals.

    Attributes:
        images: float32 [N, H, W, C].
        windows: float64 [N, 4] (ymin, xmin, ymax, xmax): the part of each original that is seen, normalised.
        mirrored: bool [N].
    """

    images: Any
    windows: Any
    mirrored: Any


def vary(images: Any, generator: np.random.Generator, pixels: PixelScale | None) -> Views:
    """Mirror, crop and re-light a batch, each image in a way of its own.

    Args:
        images: float32 [N, H, W, C], normalised.
        generator: Source of all chance.
        pixels: Meaning of the values; the copies are of whole pixel values where it is known.
    """
    count = len(images)
    sides = generator.uniform(SMALLEST_CROP, 1.0, (count, 1)) * generator.uniform(0.9, 1.0, (count, 2))
    first = generator.uniform(0.0, 1.0, (count, 2)) * (1 - sides)
    mirrored = generator.random(count) < 0.5
    contrast = np.exp(generator.uniform(np.log(CONTRAST[0]), np.log(CONTRAST[1]), (count, 1, 1, 1)))
    brightness = generator.uniform(-BRIGHTNESS, BRIGHTNESS, (count, 1, 1, 1))
    seen = _resampled(images, first, sides, mirrored)
    low, high = _limits(images, pixels)
    middle = (low + high) / 2
    factor, offset = (torch.from_numpy(v).to(seen) for v in (contrast, middle + brightness * (high - low)))
    seen = ((seen - middle) * factor + offset).clamp(low, high)
    if pixels is not None:
        seen = ((seen - pixels.offset) / pixels.scale).round() * pixels.scale + pixels.offset
    return Views(seen, np.concatenate([first, first + sides], axis=1), mirrored)


def _resampled(images: Any, first: Any, sides: Any, mirrored: Any) -> Any:
    """Bilinear samples of one window of each image, at the size of the images."""
    centres = (2 * first + sides - 1).astype(np.float32)
    widths = np.where(mirrored, -sides[:, 1], sides[:, 1])
    affine = np.zeros((len(images), 2, 3), np.float32)
    affine[:, 0, 0], affine[:, 0, 2] = widths, centres[:, 1]
    affine[:, 1, 1], affine[:, 1, 2] = sides[:, 0], centres[:, 0]
    data = images.permute(0, 3, 1, 2)
    grid = functional.affine_grid(torch.from_numpy(affine).to(images.device), data.shape, align_corners=False)
    seen = functional.grid_sample(data, grid, padding_mode="border", align_corners=False)
    return seen.permute(0, 2, 3, 1)


def _limits(images: Any, pixels: PixelScale | None) -> tuple[float, float]:
    if pixels is not None:
        return pixels.offset, pixels.offset + 255 * pixels.scale
    return float(images.min()), float(images.max())
