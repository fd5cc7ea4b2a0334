"""Anchors of the PyTorch SSDs, against their projects' own loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from coralsmith.detection.pixel_priors import FAMILIES, PriorFamily

ULTRA_LIGHT, QFGAOHAO, SSD300_VOC, SSD300_COCO = FAMILIES


def test_the_face_detectors_priors_are_those_of_its_project() -> None:
    """`generate_priors` of vision/utils/box_utils.py, with `define_img_size(320)` of fd_config.py."""
    width, height = 320, 240
    expected = []
    boxes = [[10, 16, 24], [32, 48], [64, 96], [128, 192, 256]]
    for (columns, rows), sides in zip([(40, 30), (20, 15), (10, 8), (5, 4)], boxes, strict=True):
        for j, i in itertools.product(range(rows), range(columns)):
            expected += [((j + 0.5) / rows, (i + 0.5) / columns, side / height, side / width) for side in sides]
    maps = [(30, 40), (15, 20), (8, 10), (4, 5)]
    assert ULTRA_LIGHT.fits([3, 2, 2, 3], (height, width))
    found = ULTRA_LIGHT.anchors(maps, (height, width))
    assert found.shape == (4420, 4)
    np.testing.assert_allclose(found, np.array(expected).clip(0, 1), atol=1e-7)


def test_the_ssd_priors_are_those_of_its_project() -> None:
    """`generate_ssd_priors` of qfgaohao/pytorch-ssd, vision/utils/box_utils.py."""
    specs = [
        (19, 16, 60, 105), (10, 32, 105, 150), (5, 64, 150, 195),
        (3, 100, 195, 240), (2, 150, 240, 285), (1, 300, 285, 330),
    ]  # fmt: skip
    expected = []
    for size, shrinkage, small, large in specs:
        scale = 300 / shrinkage
        for j, i in itertools.product(range(size), repeat=2):
            x, y = (i + 0.5) / scale, (j + 0.5) / scale
            expected += [(y, x, side / 300, side / 300) for side in (small, math.sqrt(small * large))]
            for ratio in (math.sqrt(2), math.sqrt(3)):
                expected.append((y, x, small / 300 / ratio, small / 300 * ratio))
                expected.append((y, x, small / 300 * ratio, small / 300 / ratio))
    found = QFGAOHAO.anchors([(spec[0], spec[0]) for spec in specs], (300, 300))
    assert found.shape == (3000, 4)
    np.testing.assert_allclose(found, np.array(expected).clip(0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("family", "sides"),
    [(SSD300_VOC, (30, 60, 111, 162, 213, 264, 315)), (SSD300_COCO, (21, 45, 99, 153, 207, 261, 315))],
)
def test_the_priors_of_the_paper_are_those_of_ssd_pytorch(family: PriorFamily, sides: tuple[int, ...]) -> None:
    """`PriorBox.forward` of amdegroot/ssd.pytorch, layers/functions/prior_box.py."""
    expected = []
    maps, steps = (38, 19, 10, 5, 3, 1), (8, 16, 32, 64, 100, 300)
    ratios = [[2], [2, 3], [2, 3], [2, 3], [2], [2]]
    for k, size in enumerate(maps):
        for j, i in itertools.product(range(size), repeat=2):
            x, y = (i + 0.5) / (300 / steps[k]), (j + 0.5) / (300 / steps[k])
            small = sides[k] / 300
            between = math.sqrt(small * sides[k + 1] / 300)
            expected += [(y, x, small, small), (y, x, between, between)]
            for ratio in ratios[k]:
                root = math.sqrt(ratio)
                expected += [(y, x, small / root, small * root), (y, x, small * root, small / root)]
    assert family.fits([4, 6, 6, 6, 4, 4], (300, 300))
    found = family.anchors([(size, size) for size in maps], (300, 300))
    assert found.shape == (8732, 4)
    np.testing.assert_allclose(found, np.array(expected).clip(0, 1), atol=1e-6)


def test_a_family_fits_by_its_boxes_and_its_image_size() -> None:
    assert QFGAOHAO.fits([6] * 6, (300, 300))
    assert not QFGAOHAO.fits([6] * 6, (320, 320))
    assert not ULTRA_LIGHT.fits([3, 2, 3, 2], (240, 320))
    assert ULTRA_LIGHT.fits([3, 2, 2, 3], (480, 640))
