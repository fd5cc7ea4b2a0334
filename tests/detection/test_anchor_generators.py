"""Anchor generators with every parameter of a config agree with the API's own loops, written out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from coralsmith.detection.anchor_generators import MultiscaleGenerator, SsdGenerator
from coralsmith.detection.text_format import parse_text_format
from coralsmith.errors import InputError

MAPS, IMAGE = [(3, 4), (2, 2), (1, 1)], (60, 80)


def api_ssd_anchors(
    scales: Sequence[float],
    ratios: Sequence[float],
    *,
    between: float = 1.0,
    reduced: bool = True,
    base: tuple[float, float] = (1.0, 1.0),
    strides: Sequence[tuple[float, float]] | None = None,
    offsets: Sequence[tuple[float, float]] | None = None,
) -> np.ndarray:
    """`create_ssd_anchors` and `MultipleGridAnchorGenerator._generate`, one anchor at a time."""
    height, width = IMAGE
    rows = []
    for layer, (rows_of, columns_of) in enumerate(MAPS):
        boxes = [(scales[layer], ratio) for ratio in ratios]
        following = [*scales, 1.0][layer + 1]
        if between > 0:
            boxes.append(((scales[layer] * following) ** 0.5, between))
        if layer == 0 and reduced:
            boxes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        stride = (1 / rows_of, 1 / columns_of)
        if strides:
            stride = (strides[layer][0] / height, strides[layer][1] / width)
        offset = (stride[0] / 2, stride[1] / 2)
        if offsets:
            offset = (offsets[layer][0] / height, offsets[layer][1] / width)
        side = min(height, width)
        for y, x, (scale, ratio) in itertools.product(range(rows_of), range(columns_of), boxes):
            rows.append(
                (
                    y * stride[0] + offset[0],
                    x * stride[1] + offset[1],
                    scale / ratio**0.5 * base[0] * side / height,
                    scale * ratio**0.5 * base[1] * side / width,
                )
            )
    return np.array(rows)


def ssd(text: str) -> SsdGenerator:
    return SsdGenerator.read(parse_text_format("num_layers: 3 aspect_ratios: [1.0, 2.0, 0.5] " + text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"scales": (0.2, 0.575, 0.95)}),
        ("min_scale: 0.1 max_scale: 0.9", {"scales": (0.1, 0.5, 0.9)}),
        ("scales: [0.1, 0.3, 0.8]", {"scales": (0.1, 0.3, 0.8)}),
        ("reduce_boxes_in_lowest_layer: false", {"scales": (0.2, 0.575, 0.95), "reduced": False}),
        ("interpolated_scale_aspect_ratio: 0.0", {"scales": (0.2, 0.575, 0.95), "between": 0.0}),
        ("interpolated_scale_aspect_ratio: 1.5", {"scales": (0.2, 0.575, 0.95), "between": 1.5}),
        ("base_anchor_height: 0.5 base_anchor_width: 2", {"scales": (0.2, 0.575, 0.95), "base": (0.5, 2.0)}),
        (
            "height_stride: [16, 32, 64] width_stride: [16, 30, 60]",
            {"scales": (0.2, 0.575, 0.95), "strides": ((16, 16), (32, 30), (64, 60))},
        ),
        (
            "height_stride: [16, 32, 64] width_stride: [16, 30, 60] "
            "height_offset: [0, 1, 2] width_offset: [3, 4, 5]",
            {
                "scales": (0.2, 0.575, 0.95),
                "strides": ((16, 16), (32, 30), (64, 60)),
                "offsets": ((0, 3), (1, 4), (2, 5)),
            },
        ),
    ],
)
def test_every_field_of_ssd_anchor_generator(text: str, expected: dict) -> None:
    generator = ssd(text)
    reference = api_ssd_anchors(ratios=(1.0, 2.0, 0.5), **expected)
    assert np.allclose(generator.anchors(MAPS, IMAGE), reference, atol=1e-6)
    cells = [rows * columns for rows, columns in MAPS]
    assert sum(np.multiply(cells, generator.boxes)) == len(reference)


def test_the_fields_of_multiscale_anchor_generator() -> None:
    text = "min_level: 4 max_level: 6 anchor_scale: 3.0 aspect_ratios: [1.0, 2.0] scales_per_octave: 3"
    generator = MultiscaleGenerator.read(parse_text_format(text))
    assert generator.boxes == [6, 6, 6]
    maps = [(4, 5), (2, 3), (1, 2)]  # of 64x80: the strides 32 and 64 do not divide 80
    rows = []
    for level, (height, width) in zip((4, 5, 6), maps, strict=True):
        stride = 2.0**level
        offset_y, offset_x = (stride / 2 if side % stride == 0 else 0.0 for side in (64, 80))
        for y, x, ratio, step in itertools.product(range(height), range(width), (1.0, 2.0), range(3)):
            side = 3.0 * stride * 2 ** (step / 3)
            box = (side / ratio**0.5 / 64, side * ratio**0.5 / 80)
            rows.append(((y * stride + offset_y) / 64, (x * stride + offset_x) / 80, *box))
    assert np.allclose(generator.anchors(maps, (64, 80)), rows, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_layers: 0", "num_layers"),
        ("num_layers: 1000000000", "num_layers"),
        ("num_layers: 2.5", "num_layers"),
        ("num_layers: nan", "num_layers"),
        ("min_scale: -1", "positive"),
        ("base_anchor_height: 0", "positive"),
        ("height_stride: [1, 2]", "need 3 numbers each"),
        ("aspect_ratios: 0", "aspect ratios"),
        ("aspect_ratios: wide", "not a number"),
    ],
)
def test_what_makes_no_anchors_is_an_error(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ssd(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "aspect ratios"),
        ("aspect_ratios: 1 max_level: 2", "max_level"),
        ("aspect_ratios: 1 anchor_scale: 0", "anchor_scale"),
        ("aspect_ratios: 1 scales_per_octave: 1e9", "scales_per_octave"),
        ("aspect_ratios: 1 normalize_coordinates: false", "in pixels"),
    ],
)
def test_what_makes_no_pyramid_is_an_error(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MultiscaleGenerator.read(parse_text_format(text))
