"""The pictures that an import is verified on, and how they become a model's input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.preprocess import resize_image
from coralsmith.errors import ImageDataError
from coralsmith.graph import Array

MAX_SAMPLES: Final = 8
MAX_SAMPLE_BYTES: Final = 1 << 30
NOISE_SAMPLES: Final = 4
_NOISE_SIZE: Final = (240, 320)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Samples:
    """What a source model computes on some pictures, to compare the graph with.

    Attributes:
        inputs: What the model was fed, [pictures, 1, height, width, channels].
        outputs: For each output's name its values, [pictures, *shape of the output].
        detections: For a source that decodes its boxes itself: ``boxes`` [pictures, anchors, 4] as (ymin, xmin,
            ymax, xmax) and ``scores`` [pictures, anchors, classes].
    """

    inputs: Array
    outputs: dict[str, Array]
    detections: dict[str, Array] = field(default_factory=dict)


def load_samples(images: Iterable[NDArray[Any]] | str | Path | None) -> tuple[Picture, ...]:
    """The first eight pictures of what a caller gives.

    Args:
        images: uint8 RGB arrays [height, width, 3]; or a `.npy` file of [n, height, width, 3]; or None.

    Returns:
        At most `MAX_SAMPLES` pictures; none for None.

    Raises:
        ImageDataError: Not uint8 RGB, or a file that cannot be read.
    """
    if images is None:
        return ()
    if isinstance(images, str | Path):
        images = _load_file(Path(images).expanduser())
    pictures = []
    for picture in images:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise ImageDataError(
                f"A sample picture is {picture.dtype}{list(picture.shape)}.",
                hint="Give uint8 RGB pictures, [height, width, 3] each.",
            )
        pictures.append(np.ascontiguousarray(picture))
        if len(pictures) == MAX_SAMPLES:
            break
    return tuple(pictures)


def _load_file(path: Path) -> NDArray[Any]:
    try:
        if path.stat().st_size > MAX_SAMPLE_BYTES:
            raise ImageDataError(f"'{path}' is larger than 1 GiB.", hint="A few pictures are enough.")
        loaded: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ImageDataError(
            f"'{path}' cannot be read as an array: {error}.", hint="Write it with numpy.save."
        ) from error
    return loaded


def noise_pictures(count: int = NOISE_SAMPLES) -> tuple[Picture, ...]:
    """Always the same coloured noise, coarse enough to reach past a network's first layers."""
    generator = np.random.default_rng(20)
    height, width = _NOISE_SIZE
    blocks = generator.integers(0, 256, (count, height // 20, width // 20, 3), np.uint8)
    return tuple(np.repeat(np.repeat(block, 20, 0), 20, 1) for block in blocks)


def model_inputs(
    pictures: Sequence[Picture], shape: tuple[int, ...], dtype: np.dtype[Any], *, raw_pixels: bool
) -> Array:
    """Pictures as inputs of a model, for comparing two forms of it (not for good detections).

    Args:
        pictures: uint8 RGB, any size, stretched to the model's; or float32 of the model's size, which are fed as
            they are.
        shape: The model's input, [1, height, width, channels]; anything else is fed with normal noise.
        dtype: Its element type.
        raw_pixels: Feed 0..255 to a model that normalises by itself; otherwise [-1, 1].

    Returns:
        [pictures, *shape] of `dtype`.
    """
    if len(shape) != 4 or shape[3] not in (1, 3):
        return np.stack([_noise(shape, dtype, seed) for seed in range(len(pictures))])
    if pictures[0].dtype.kind == "f":
        return np.stack(pictures)[:, None].astype(dtype)
    pixels = np.stack([resize_image(picture, (shape[1], shape[2]))[None] for picture in pictures])
    if shape[3] == 1:
        pixels = pixels.mean(axis=-1, keepdims=True).astype(np.uint8)
    return _as_type(pixels, dtype, raw_pixels)


def _as_type(pixels: Picture, dtype: np.dtype[Any], raw_pixels: bool) -> Array:
    if dtype == np.int8:
        return (pixels.astype(np.int16) - 128).astype(np.int8)
    if dtype.kind in "iu" or raw_pixels:
        return pixels.astype(dtype)
    return (pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)).astype(dtype)


def _noise(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int) -> Array:
    generator = np.random.default_rng(seed)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    return generator.standard_normal(shape).astype(dtype)
