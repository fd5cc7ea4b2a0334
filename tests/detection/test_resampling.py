"""Sampling is that of OpenCV and TensorFlow, and takes any size to any other."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from coralsmith.detection.images import load_rgb
from coralsmith.detection.preprocess import resize_image
from coralsmith.detection.resampling import sample_bilinear, sample_quickly


def sampled(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = np.empty((*size, 3), np.uint8)
    sample_bilinear(pixels, size, out)
    return out


def test_on_a_photo_it_is_opencv_to_one_level(shared: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    photo = load_rgb(sorted((shared / "data/coco_permissive_val/images").iterdir())[0])
    difference = np.abs(sampled(photo, (300, 300)).astype(int) - cv2.resize(photo, (300, 300)))
    assert difference.max() <= 1
    assert difference.mean() < 0.2


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (40, 40)])
def test_any_size_becomes_any_other(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for size in ((1, 1), (7, 300), (300, 7), shape):
        found = sampled(pixels, size)
        assert found.min() >= pixels.min() and found.max() <= pixels.max()
    assert np.array_equal(sampled(pixels, shape), pixels)


def test_flat_areas_keep_their_colour_to_the_bit() -> None:
    for level in (0, 1, 127, 128, 254, 255):
        assert (sampled(np.full((37, 53, 3), level, np.uint8), (29, 71)) == level).all()


def test_opencv_does_it_where_the_program_has_imported_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, out = np.zeros((4, 4, 3), np.uint8), np.empty((2, 2, 3), np.uint8)
    stand_in = SimpleNamespace(INTER_LINEAR=1, resize=lambda image, size, interpolation: np.full((2, 2, 3), 9))
    monkeypatch.setitem(sys.modules, "cv2", stand_in)
    sample_quickly(pixels, (2, 2), out)
    assert (out == 9).all()
    monkeypatch.delitem(sys.modules, "cv2")
    sample_quickly(pixels, (2, 2), out)
    assert (out == 0).all()


def test_the_target_may_be_a_view_of_a_larger_array_with_its_channels_turned() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    target = np.zeros((1, 20, 20, 3), np.uint8)
    resize_image(pixels, (20, 20), "letterbox", out=target[0][..., ::-1])
    assert np.array_equal(target[0], resize_image(pixels[..., ::-1], (20, 20), "letterbox"))
