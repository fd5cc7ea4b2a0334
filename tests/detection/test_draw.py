"""Drawn boxes lie where the detections say, labels can be read, and nothing leaves the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coralsmith.detection import draw
from coralsmith.detection.detections import Detections
from coralsmith.detection.draw import PALETTE, class_colour, draw_detections, side_by_side

LABELS = ["fish", "starfish", "turtle"]
GREY = (90, 90, 90)


def detections(*boxes: tuple[float, float, float, float], scores: list[float] | None = None) -> Detections:
    chosen = scores or np.linspace(0.9, 0.5, len(boxes)).tolist()
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.arange(len(boxes)) % 3, np.array(chosen, np.float32)
    )


def blank(width: int = 400, height: int = 300) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    return (np.asarray(before).astype(int) != np.asarray(after)).any(axis=2)


class TestBoxes:
    def test_sides_have_the_colour_of_the_class_and_lie_on_the_box(self) -> None:
        pixels = np.asarray(draw_detections(blank(), detections((0.25, 0.25, 0.75, 0.5)), LABELS))
        for y, x in ((75 + 1, 180), (225 - 1, 150), (150, 100 + 1), (150, 200 - 1)):
            assert tuple(pixels[y, x]) == class_colour(0)
        assert tuple(pixels[150, 150]) == GREY

    def test_the_image_itself_is_left_alone(self) -> None:
        image = blank()
        pixels = np.array(image)
        draw_detections(image, detections((0.1, 0.1, 0.9, 0.9)), LABELS)
        draw_detections(pixels, detections((0.1, 0.1, 0.9, 0.9)), LABELS)
        assert not changed(image, blank()).any()
        assert np.array_equal(pixels, np.asarray(blank()))

    def test_pixels_and_pictures_give_the_same(self) -> None:
        found = detections((0.1, 0.1, 0.9, 0.9))
        assert not changed(
            draw_detections(blank(), found, LABELS), draw_detections(np.array(blank()), found, LABELS)
        ).any()

    def test_detections_below_the_threshold_and_none_at_all_draw_nothing(self) -> None:
        found = detections((0.1, 0.1, 0.9, 0.9), scores=[0.3])
        assert not changed(draw_detections(blank(), found, LABELS, min_score=0.4), blank()).any()
        assert not changed(draw_detections(blank(), detections(), LABELS), blank()).any()

    def test_the_best_detection_is_on_top(self) -> None:
        pixels = np.asarray(
            draw_detections(blank(), detections((0.2, 0.2, 0.8, 0.8), (0.2, 0.2, 0.8, 0.8)), LABELS)
        )
        assert tuple(pixels[180, 81]) == class_colour(0)

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.tuples(*[st.floats(-2, 3, width=32) | st.sampled_from([np.nan, np.inf])] * 4), max_size=4),
        st.integers(1, 60),
        st.integers(1, 60),
    )
    def test_any_box_on_any_picture_is_drawn(self, boxes: list, width: int, height: int) -> None:
        drawn = draw_detections(blank(width, height), detections(*boxes), LABELS)
        assert drawn.size == (width, height)


class TestLabels:
    @pytest.mark.parametrize(
        "box",
        [(0, 0, 0.2, 0.1), (0, 0.9, 0.1, 1), (0.9, 0.9, 1, 1), (0.9, 0, 1, 0.1), (0, 0, 1, 1), (-1, -1, 2, 2)],
    )
    def test_a_label_at_the_edge_of_the_image_stays_whole(self, box: tuple[float, float, float, float]) -> None:
        font = draw._font(14)
        size = draw._chip_size("starfish 98%", font)
        place = draw._place_chip(size, draw._to_pixels(np.array(box, np.float32), (400, 300)), (400, 300), [])
        assert (place[2] - place[0], place[3] - place[1]) == size
        assert min(place) >= 0
        assert place[2] <= 400
        assert place[3] <= 300

    def test_labels_of_the_same_box_do_not_cover_each_other(self) -> None:
        taken: list[draw.Rectangle] = []
        for _ in range(4):
            place = draw._place_chip((80, 20), (100, 100, 300, 250), (400, 300), taken)
            assert not any(draw._overlap(place, other) for other in taken)
            taken.append(place)

    def test_a_long_label_is_cut_to_the_picture(self) -> None:
        font = draw._font(14)
        text = draw._shorten("an extraordinarily long label 98%", font, 100)
        assert text.endswith("...")
        assert draw._chip_size(text, font)[0] <= 100

    def test_a_class_without_a_name_shows_its_number(self) -> None:
        found = Detections(
            np.array([[0.3, 0.3, 0.6, 0.6]], np.float32), np.array([7]), np.array([0.5], np.float32)
        )
        named = draw_detections(blank(), found, [f"class {i}" for i in range(8)])
        assert not changed(draw_detections(blank(), found, LABELS), named).any()

    def test_text_can_be_read_on_every_colour(self) -> None:
        for class_id in range(3 * len(PALETTE)):
            colour = class_colour(class_id)
            assert max(draw._contrast(ink, colour) for ink in (draw._DARK, draw._LIGHT)) >= 4.5

    def test_contrast_is_that_of_wcag(self) -> None:
        assert draw._contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
        assert draw._contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)

    def test_twenty_one_classes_have_colours_of_their_own(self) -> None:
        assert len({class_colour(i) for i in range(21)}) == 21


class TestSideBySide:
    def test_pictures_stand_under_their_titles_in_one_height(self) -> None:
        left, right = blank(400, 300), Image.new("RGB", (100, 150), (1, 2, 3))
        sheet = side_by_side(left, right, ("float", "int8"))
        pixels = np.asarray(sheet)
        assert sheet.width > 400 + 200
        assert tuple(pixels[-1, 0]) == GREY
        assert tuple(pixels[-1, -1]) == (1, 2, 3)
        assert tuple(pixels[-1, 402]) == (255, 255, 255)
        strip = pixels[: sheet.height - 300]
        assert (strip[:, :400] < 100).any()
        assert (strip[:, 404:] < 100).any()
