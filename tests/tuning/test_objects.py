"""What a crop and a mirror leave of the objects in an image."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.tuning.objects import Objects


def one(box: list[float], *, ignored: bool = False) -> Objects:
    return Objects(np.array([box]), np.array([3]), np.array([ignored]))


def test_a_box_is_told_in_the_coordinates_of_the_crop() -> None:
    seen = one([0.25, 0.5, 0.5, 0.75]).seen_through(np.array([0.0, 0.5, 0.5, 1.0]), mirrored=False)
    np.testing.assert_allclose(seen.boxes, [[0.5, 0.0, 1.0, 0.5]])
    assert seen.columns.tolist() == [3]
    assert not seen.ignored.any()


def test_a_mirrored_box_changes_left_and_right_only() -> None:
    seen = one([0.1, 0.2, 0.3, 0.6]).seen_through(np.array([0.0, 0.0, 1.0, 1.0]), mirrored=True)
    np.testing.assert_allclose(seen.boxes, [[0.1, 0.4, 0.3, 0.8]])


@pytest.mark.parametrize(("left", "ignored"), [(0.35, False), (0.25, True)])
def test_an_object_of_which_too_little_is_left_is_ignored(left: float, ignored: bool) -> None:
    seen = one([0.0, 0.0, 1.0, 1.0]).seen_through(np.array([0.0, 0.0, left, 1.0]), mirrored=False)
    assert seen.ignored.tolist() == [ignored]


def test_an_object_outside_the_crop_is_gone() -> None:
    assert len(one([0.0, 0.0, 0.2, 0.2]).seen_through(np.array([0.5, 0.5, 1.0, 1.0]), mirrored=False).boxes) == 0


def test_a_crowd_stays_one() -> None:
    seen = one([0.0, 0.0, 1.0, 1.0], ignored=True).seen_through(np.array([0.0, 0.0, 1.0, 1.0]), mirrored=False)
    assert seen.ignored.all()


@pytest.mark.slow
def test_boxes_follow_the_pixels_of_a_varied_image() -> None:
    """A white rectangle is where its box says, after the mirror and the crop that `vary` makes."""
    import torch

    from coralsmith.tuning.augmentation import vary

    box = np.array([0.3, 0.35, 0.6, 0.55])
    image = np.zeros((1, 80, 80, 3), np.float32)
    image[0, 24:48, 28:44] = 1.0
    for seed in range(6):
        views = vary(torch.from_numpy(image), np.random.default_rng(seed), None)
        light = views.images[0, ..., 0].numpy()
        rows, columns = np.nonzero(light > (light.min() + light.max()) / 2)
        found = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / 80
        seen = one(box.tolist()).seen_through(views.windows[0], bool(views.mirrored[0]))
        np.testing.assert_allclose(found, seen.boxes[0], atol=1.01 / 80)
