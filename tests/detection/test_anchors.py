"""Anchor generators agree with published counts, a trained model's own anchors, and their closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.detection.anchors import (
    CONFIG_RATIOS,
    Size,
    default_boxes,
    multiscale_anchors,
    retinanet_anchors,
    ssd_anchors,
)

sides = st.integers(1, 9)
sizes = st.tuples(sides, sides)
images = st.tuples(st.integers(32, 640), st.integers(32, 640))


def square(*sides: int) -> list[Size]:
    return [(side, side) for side in sides]


@pytest.mark.parametrize(
    ("maps", "image", "count"),
    [((19, 10, 5, 3, 2, 1), (300, 300), 1917), ((20, 10, 5, 3, 2, 1), (320, 320), 2034)],
)
def test_ssd_counts_are_the_published_ones(maps: tuple[int, ...], image: Size, count: int) -> None:
    assert ssd_anchors(square(*maps), image).shape == (count, 4)


@pytest.mark.parametrize(
    ("maps", "image", "count"),
    [((40, 20, 10, 5, 3), (320, 320), 12804), ((80, 40, 20, 10, 5), (640, 640), 51150)],
)
def test_multiscale_counts_are_the_published_ones(maps: tuple[int, ...], image: Size, count: int) -> None:
    assert multiscale_anchors(square(*maps), image).shape == (count, 4)


def test_ssd_anchors_are_bit_for_bit_those_a_model_was_trained_with(shared: Path) -> None:
    trained = np.load(shared / "models/bccd_ssdlite/anchors.npy")
    assert np.array_equal(ssd_anchors(square(19, 10, 5, 3, 2, 1), (300, 300)), trained)


def test_ssd_cells_follow_the_order_of_the_api() -> None:
    anchors = ssd_anchors([(2, 3), (1, 1)], (300, 300), min_scale=0.2, max_scale=0.8)
    assert anchors.shape == (2 * 3 * 3 + 6, 4)
    # Rows, then columns, then the boxes of a cell.
    assert np.allclose(anchors[:18:3, :2] * [2, 3], [(y + 0.5, x + 0.5) for y in range(2) for x in range(3)])
    # The reduced lowest layer: a small square, then one wide and one tall box.
    root = 2**0.5
    assert np.allclose(anchors[:3, 2:], [(0.1, 0.1), (0.2 / root, 0.2 * root), (0.2 * root, 0.2 / root)])
    # Ratios 1, 2, 1/2, 3, 1/3 at the scale of the map, then the square of the interpolated scale.
    wide = 3**0.5
    shapes = [(1, 1), (1 / root, root), (root, 1 / root), (1 / wide, wide), (wide, 1 / wide)]
    assert np.allclose(anchors[18:23, 2:], 0.8 * np.array(shapes))
    assert np.allclose(anchors[23], [0.5, 0.5, 0.8**0.5, 0.8**0.5])


def test_ratios_of_a_config_differ_from_exact_ones_in_the_tall_box_only() -> None:
    exact = ssd_anchors(square(10, 5), (300, 300), reduce_lowest=False)
    config = ssd_anchors(square(10, 5), (300, 300), ratios=CONFIG_RATIOS, reduce_lowest=False)
    differs = (exact != config).any(axis=1).reshape(-1, 6)
    assert differs[:, 4].all()
    assert not np.delete(differs, 4, axis=1).any()
    assert 0 < np.abs(exact - config).max() < 2e-4


@given(st.lists(sizes, min_size=1, max_size=6), images, st.booleans())
def test_ssd_anchors_of_any_maps(maps: list[Size], image: Size, reduce_lowest: bool) -> None:
    anchors = ssd_anchors(maps, image, reduce_lowest=reduce_lowest)
    boxes = [3 if reduce_lowest and index == 0 else 6 for index in range(len(maps))]
    assert len(anchors) == sum(h * w * n for (h, w), n in zip(maps, boxes, strict=True))
    assert (anchors[:, :2] > 0).all()
    assert (anchors[:, :2] < 1).all()
    assert (anchors[:, 2:] > 0).all()
    # In pixels a cell's areas do not depend on the aspect ratio, so squares are square in any image.
    pixels = anchors[:, 2:] * image
    last = pixels[-6 if not (reduce_lowest and len(maps) == 1) else -3 :]
    assert last[0, 0] == pytest.approx(last[0, 1], rel=1e-5)


@given(st.integers(1, 5), st.sampled_from([256, 300, 320, 513, 640]), st.sampled_from([256, 320, 500]))
def test_multiscale_anchors_equal_the_loop_over_cells(levels: int, height: int, width: int) -> None:
    maps = [(-(-height // 2**level), -(-width // 2**level)) for level in range(5, 5 + levels)]
    expected = []
    for level, (rows, columns) in enumerate(maps, start=5):
        stride = 2**level
        y_offset = stride / 2 if height % stride == 0 else 0
        x_offset = stride / 2 if width % stride == 0 else 0
        for y in range(rows):
            for x in range(columns):
                for ratio in (1.0, 2.0, 0.5):
                    for octave in (1.0, 2**0.5):
                        side = 4 * stride * octave
                        expected.append(
                            [
                                (y * stride + y_offset) / height,
                                (x * stride + x_offset) / width,
                                side / ratio**0.5 / height,
                                side * ratio**0.5 / width,
                            ]
                        )
    anchors = multiscale_anchors(maps, (height, width), min_level=5)
    assert np.allclose(anchors, np.array(expected), rtol=1e-6)


def test_default_boxes_equal_the_loop_of_torchvision() -> None:
    """`_generate_wh_pairs` and `_grid_default_boxes` of torchvision's anchor_utils.py, for ssdlite320."""
    maps = (20, 10, 5, 3, 2, 1)
    scales = [0.2 + 0.75 * k / 5 for k in range(6)] + [1.0]
    expected = []
    for k, size in enumerate(maps):
        pairs = [[scales[k]] * 2, [(scales[k] * scales[k + 1]) ** 0.5] * 2]
        for ratio in (2, 3):
            width, height = scales[k] * ratio**0.5, scales[k] / ratio**0.5
            pairs += [[width, height], [height, width]]
        for y in range(size):
            for x in range(size):
                for width, height in pairs:
                    expected.append([(y + 0.5) / size, (x + 0.5) / size, min(height, 1), min(width, 1)])
    found = default_boxes(square(*maps))
    assert found.shape == (3234, 4)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_retinanet_anchors_equal_the_loop_of_the_model_garden() -> None:
    """`Anchor._generate_boxes` of official/vision/ops/anchor.py, with Model Maker's values."""
    expected = []
    for level in range(3, 8):
        stride = 2**level
        for y in np.arange(stride / 2, 256, stride):
            for x in np.arange(stride / 2, 384, stride):
                for scale in range(3):
                    for ratio in (0.5, 1.0, 2.0):
                        side = 3 * stride * 2 ** (scale / 3)
                        expected.append([y / 256, x / 384, side * ratio**-0.5 / 256, side * ratio**0.5 / 384])
    maps = [(256 // 2**level, 384 // 2**level) for level in range(3, 8)]
    np.testing.assert_allclose(retinanet_anchors(maps, (256, 384)), expected, atol=1e-5)
