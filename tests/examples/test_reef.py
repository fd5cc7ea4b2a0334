"""The scenes of examples/reef are reproducible and their boxes are true; the detector keeps to its conventions."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from coralsmith.detection.anchors import CONFIG_RATIOS, ssd_anchors
from coralsmith.detection.images import load_rgb

REEF = Path(__file__).resolve().parents[2] / "examples" / "reef"


def square(side: int, colour: tuple[int, int, int] = (250, 0, 0)) -> Image.Image:
    return Image.new("RGBA", (side, side), (*colour, 255))


@pytest.fixture
def draw_scenes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REEF)
    import draw_scenes

    return draw_scenes


@pytest.mark.slow
class TestScenes:
    def test_the_same_seed_draws_the_same_scene_and_another_seed_another(self, draw_scenes: ModuleType) -> None:
        first, again, other = (draw_scenes.draw_scene(seed, 3, longer_side=120) for seed in (7, 7, 8))
        assert np.array_equal(np.asarray(first.image), np.asarray(again.image))
        assert (first.labels, first.boxes) == (again.labels, again.boxes)
        assert not np.array_equal(np.asarray(first.image)[:50, :50], np.asarray(other.image)[:50, :50])

    def test_boxes_lie_inside_the_picture_and_have_a_size(self, draw_scenes: ModuleType) -> None:
        for index in range(4):
            scene = draw_scenes.draw_scene(7, index, longer_side=120)
            assert len(scene.labels) == len(scene.boxes)
            for x0, y0, x1, y1 in scene.boxes:
                assert 0 <= x0 < x1 <= scene.image.width
                assert 0 <= y0 < y1 <= scene.image.height

    def test_the_data_set_says_what_the_scenes_say(
        self, draw_scenes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scenes = [draw_scenes.draw_scene(7, index, longer_side=120) for index in range(2)]
        monkeypatch.setattr(draw_scenes, "draw_many", lambda seed, count: iter(scenes))
        draw_scenes.write_dataset(tmp_path, seed=7, count=2)
        coco = json.loads((tmp_path / "annotations.json").read_text())
        boxes = [tuple(one["bbox"]) for one in coco["annotations"]]
        assert boxes == [(x, y, right - x, bottom - y) for scene in scenes for x, y, right, bottom in scene.boxes]
        for image, scene in zip(coco["images"], scenes, strict=True):
            pixels = load_rgb(tmp_path / "images" / image["file_name"])
            assert (image["width"], image["height"]) == scene.image.size == pixels.shape[1::-1]


class TestPainter:
    @pytest.fixture
    def painter(self, draw_scenes: ModuleType):
        return draw_scenes.Painter(np.zeros((100, 200, 3)), (0, 0, 90))

    def test_a_box_is_tight_around_what_is_visible(self, painter) -> None:
        assert painter.claim(square(40), 20, 30, creature=True)
        assert painter.claim(square(40), 50, 30, creature=True)
        assert painter.boxes() == [(20, 30, 50, 70), (50, 30, 90, 70)]

    def test_nothing_may_hide_a_creature_by_more_than_a_third(self, painter) -> None:
        painter.claim(square(40), 20, 30, creature=True)
        assert not painter.claim(square(40), 30, 30, creature=True)
        assert not painter.claim(square(40), 30, 30, creature=False)
        assert painter.boxes() == [(20, 30, 60, 70)]

    def test_a_creature_stays_mostly_inside_the_picture(self, painter) -> None:
        assert not painter.claim(square(40), -20, 30, creature=True)
        assert painter.claim(square(40), -10, 30, creature=True)
        assert painter.boxes() == [(0, 30, 30, 70)]

    def test_distance_fades_towards_the_water(self, painter) -> None:
        painter.paint(square(10), 0, 0, distance=0.0)
        painter.paint(square(10), 20, 0, distance=1.0)
        near, far = painter.picture.getpixel((5, 5)), painter.picture.getpixel((25, 5))
        assert near[:3] == (250, 0, 0)
        assert far[0] < near[0]
        assert far[2] > near[2]


@pytest.mark.slow
class TestDetector:
    @pytest.fixture
    def detector(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        pytest.importorskip("keras", reason="the optional group 'tensorflow' is not installed")
        monkeypatch.syspath_prepend(REEF)
        import detector

        return detector

    def test_anchors_are_those_of_the_object_detection_api(self, detector: ModuleType) -> None:
        maps = [(grid, grid) for grid in detector.GRIDS]
        expected = ssd_anchors(maps, (detector.SIZE, detector.SIZE), ratios=CONFIG_RATIOS)
        np.testing.assert_allclose(detector.make_anchors(), expected, rtol=1e-6)

    def test_every_box_has_an_anchor_that_decodes_to_it(self, detector: ModuleType) -> None:
        anchors = detector.make_anchors()
        boxes = np.array([[0.1, 0.2, 0.3, 0.5], [0.12, 0.2, 0.33, 0.5], [0.0, 0.0, 0.05, 0.04]], np.float32)
        encoded, classes = detector.match(boxes, np.array([0, 1, 2]), anchors)
        for label, box in enumerate(boxes):
            chosen = classes == label
            assert chosen.any()
            np.testing.assert_allclose(detector.decode(encoded[chosen], anchors[chosen])[0], box, atol=1e-5)

    def test_no_creature_no_answer(self, detector: ModuleType) -> None:
        encoded, classes = detector.match(np.zeros((0, 4), np.float32), np.zeros(0, int), detector.make_anchors())
        assert not encoded.any()
        assert (classes == -1).all()

    def test_the_better_of_two_answers_for_one_creature_remains(self, detector: ModuleType) -> None:
        anchors = np.array([[0.5, 0.5, 0.4, 0.4], [0.52, 0.5, 0.4, 0.4], [0.2, 0.2, 0.1, 0.1]], np.float32)
        logits = np.array([[2.0, -9], [3.0, -9], [-9, 1.0]])
        found = detector.detect(np.zeros((3, 4)), logits, anchors)
        assert [(label, round(score, 3)) for _, label, score in found] == [(0, 0.953), (1, 0.731)]
