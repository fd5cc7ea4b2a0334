from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from coralsmith.errors import ImageDataError
from coralsmith.importers.samples import MAX_SAMPLES, load_samples, model_inputs, noise_pictures

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_pictures_come_as_arrays_or_from_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "photos.npy", PICTURE[None].repeat(2, axis=0))
    for given in ([PICTURE, PICTURE], tmp_path / "photos.npy"):
        assert [np.array_equal(found, PICTURE) for found in load_samples(given)] == [True, True]


def test_no_more_are_taken_than_needed() -> None:
    assert len(load_samples(itertools.repeat(PICTURE))) == MAX_SAMPLES


@pytest.mark.parametrize("wrong", [PICTURE.astype(np.float32), PICTURE[0], PICTURE[..., :1], PICTURE[:0]])
def test_anything_but_rgb_bytes_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ImageDataError):
        load_samples([wrong])


def test_a_file_with_a_pickle_inside_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ImageDataError):
        load_samples(tmp_path / "objects.npy")


def test_noise_is_always_the_same() -> None:
    assert all(np.array_equal(a, b) for a, b in zip(noise_pictures(), noise_pictures(), strict=True))


@pytest.mark.parametrize(
    ("dtype", "raw", "low", "high"),
    [
        (np.float32, False, -1.0, 1.0),
        (np.float32, True, 0, 255),
        (np.uint8, False, 0, 255),
        (np.int8, False, -128, 127),
    ],
)
def test_pixels_become_what_the_input_type_wants(dtype, raw: bool, low: float, high: float) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[4:] = 255
    inputs = model_inputs([picture], (1, 8, 8, 3), np.dtype(dtype), raw_pixels=raw)
    assert inputs.shape == (1, 1, 8, 8, 3)
    assert inputs.dtype == dtype
    assert (inputs.min(), inputs.max()) == (low, high)


def test_another_size_and_one_channel_and_no_image_at_all() -> None:
    dtype = np.dtype(np.float32)
    assert model_inputs([PICTURE], (1, 10, 12, 3), dtype, raw_pixels=False).shape == (1, 1, 10, 12, 3)
    assert model_inputs([PICTURE], (1, 10, 12, 1), dtype, raw_pixels=False).shape == (1, 1, 10, 12, 1)
    assert model_inputs([PICTURE] * 2, (1, 7), dtype, raw_pixels=False).shape == (2, 1, 7)
