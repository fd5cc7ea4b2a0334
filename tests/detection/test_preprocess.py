"""Images reach the model's size without tricks, and boxes find the way back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coralsmith.detection.preprocess import LARGEST_PLAIN_REDUCTION, PADDING, fit, resize_image

sides = st.integers(1, 4000)
sizes = st.tuples(sides, sides)
inputs = st.tuples(st.integers(8, 640), st.integers(8, 640))


def gradient(height: int, width: int) -> np.ndarray:
    rows = np.linspace(0, 255, height)[:, None, None]
    return np.broadcast_to(rows, (height, width, 3)).astype(np.uint8)


def plain_bilinear(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The textbook formula, one dimension after the other."""

    def along(values: np.ndarray, size: int) -> np.ndarray:
        centres = np.clip((np.arange(size) + 0.5) * len(values) / size - 0.5, 0, len(values) - 1)
        low = np.floor(centres).astype(int)
        high = np.minimum(low + 1, len(values) - 1)
        share = (centres - low)[:, None, None]
        return values[low] * (1 - share) + values[high] * share

    across = along(along(pixels.astype(float), rows).transpose(1, 0, 2), columns)
    return across.transpose(1, 0, 2)


class TestFit:
    @given(sizes, inputs)
    def test_stretch_fills_the_input(self, image: tuple[int, int], size: tuple[int, int]) -> None:
        place = fit(image, size, "stretch")
        assert (place.top, place.left, place.height, place.width) == (0, 0, *size)

    @given(sizes, inputs)
    def test_letterbox_touches_two_edges_is_centred_and_keeps_the_aspect(
        self, image: tuple[int, int], size: tuple[int, int]
    ) -> None:
        place = fit(image, size, "letterbox")
        assert place.height == size[0] or place.width == size[1]
        assert abs(2 * place.top + place.height - size[0]) <= 1
        assert abs(2 * place.left + place.width - size[1]) <= 1
        factor = min(size[0] / image[0], size[1] / image[1])
        assert abs(place.height - max(1, image[0] * factor)) <= 0.5
        assert abs(place.width - max(1, image[1] * factor)) <= 0.5

    @given(sizes, inputs, st.sampled_from(["stretch", "letterbox"]))
    def test_boxes_go_to_the_input_and_back(
        self, image: tuple[int, int], size: tuple[int, int], resize: str
    ) -> None:
        place = fit(image, size, resize)
        boxes = np.array([[0, 0, 1, 1], [0.25, 0.5, 0.75, 0.625]], np.float32)
        back = place.to_image(place.to_input(boxes))
        np.testing.assert_allclose(back, boxes, atol=1e-4 * max(size))

    def test_the_whole_image_is_the_content_rectangle(self) -> None:
        place = fit((480, 640), (320, 320), "letterbox")
        assert (place.top, place.left, place.height, place.width) == (40, 0, 240, 320)
        whole = place.to_input(np.array([[0, 0, 1, 1]], np.float32))
        np.testing.assert_allclose(whole, [[40 / 320, 0, 280 / 320, 1]])

    def test_a_box_in_the_padding_lies_outside_the_image(self) -> None:
        place = fit((480, 640), (320, 320), "letterbox")
        assert place.to_image(np.array([[0, 0, 0.1, 1]], np.float32))[0, 2] < 0


class TestResizeImage:
    @given(st.integers(8, 90), st.integers(8, 90), st.integers(8, 40), st.integers(8, 40))
    def test_it_is_plain_bilinear_sampling_with_half_pixel_centres(
        self, height: int, width: int, rows: int, columns: int
    ) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        if min(height / rows, width / columns) <= LARGEST_PLAIN_REDUCTION:
            expected = plain_bilinear(pixels, rows, columns)
            np.testing.assert_allclose(resize_image(pixels, (rows, columns)), expected, atol=1.51)

    def test_a_large_photo_is_averaged_first_so_that_every_pixel_counts(self) -> None:
        stripes = np.zeros((1200, 1200, 3), np.uint8)
        stripes[:, ::2] = 255
        assert np.ptp(resize_image(stripes, (100, 100))) <= 3

    def test_letterbox_pads_with_grey_around_the_stretched_content(self) -> None:
        image = gradient(480, 640)
        boxed = resize_image(image, (320, 320), "letterbox")
        assert (boxed[:40] == PADDING).all()
        assert (boxed[280:] == PADDING).all()
        assert np.array_equal(boxed[40:280], resize_image(image, (240, 320)))

    def test_an_image_of_the_right_size_is_untouched(self) -> None:
        pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
        for mode in ("stretch", "letterbox"):
            assert np.array_equal(resize_image(pixels, (30, 40), mode), pixels)

    def test_pixels_and_pictures_give_the_same(self) -> None:
        pixels = gradient(50, 70)
        assert np.array_equal(resize_image(pixels, (20, 20)), resize_image(Image.fromarray(pixels), (20, 20)))

    def test_a_thin_image_keeps_at_least_a_line(self) -> None:
        boxed = resize_image(np.zeros((1, 5000, 3), np.uint8), (64, 64), "letterbox")
        assert (boxed == 0).all(axis=2).sum() == 64
