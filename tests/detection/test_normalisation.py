"""A declared normalisation is doubted only where another makes the model clearly surer of its detections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.detection.spelled_detector import ANCHORS, REDUCED, SIDE, Scores, SpelledDetector, see_objects

from coralsmith.detection.head import DetectionHead, InputSpec
from coralsmith.detection.normalisation import RULE, check_normalisation
from coralsmith.graph import Graph

SIGNED: dict[str, Any] = {"scale": 1 / 127.5, "offset": -1.0}
UNIT: dict[str, Any] = {"scale": 1 / 255, "offset": 0.0}
PIXELS: dict[str, Any] = {"scale": 1.0, "offset": 0.0}
IMAGENET: dict[str, Any] = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}


class TestSpelled:
    """A detector that reads its outputs from pixels mapped to [-1, 1]."""

    detector = SpelledDetector(REDUCED, 3)
    graph = detector.graph()

    def head(self, **normalisation: float) -> DetectionHead:
        spec = InputSpec((SIDE, SIDE), **normalisation)
        return DetectionHead(spec, "boxes", "scores", ANCHORS, ("a", "b", "c"))

    def images(self, count: int) -> list[np.ndarray]:
        scenes = [see_objects(ANCHORS, 3, Scores(), seed=seed) for seed in range(count)]
        return [self.detector.spell(*scene) for scene in scenes]

    def test_the_right_one_is_not_doubted(self) -> None:
        assert check_normalisation(self.graph, self.head(**SIGNED), self.images(12)) == []

    def test_too_few_images_tell_nothing(self) -> None:
        assert check_normalisation(self.graph, self.head(**PIXELS), self.images(5)) == []

    def test_noise_from_an_untrained_model_is_no_evidence(self) -> None:
        noise = np.random.default_rng(0)
        images = [noise.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(8)]
        assert check_normalisation(self.graph, self.head(**UNIT), images) == []

    def test_a_finding_says_what_was_measured_and_what_to_write(self) -> None:
        (finding,) = check_normalisation(self.graph, self.head(**PIXELS), self.images(8))
        assert (finding.rule, finding.severity, finding.tensor) == (RULE, "warning", "image")
        assert finding.measured is not None
        assert "with [0, 255] as declared" in finding.measured
        assert "higher on 8 of 8 images" in finding.measured
        assert '"scale": 0.007843137255, "offset": -1' in finding.fix


@pytest.mark.slow
class TestBccd:
    """The trained blood-cell detector wants [-1, 1]."""

    @pytest.fixture
    def head(self, bccd_graph: Graph, shared: Path) -> DetectionHead:
        scores, boxes = (tensor.name for tensor in bccd_graph.outputs)
        anchors = np.load(shared / "models/bccd_ssdlite/anchors.npy")
        return DetectionHead(InputSpec((300, 300), **SIGNED), boxes, scores, anchors, ("RBC", "WBC", "Platelets"))

    @pytest.mark.parametrize("right", [SIGNED, {"mean": (127.0,) * 3, "std": (128.0,) * 3}])
    def test_its_own_and_a_nearly_equal_one_are_not_doubted(
        self, bccd_graph: Graph, head: DetectionHead, bccd_images: list[np.ndarray], right: dict[str, Any]
    ) -> None:
        declared = replace(head, input=InputSpec((300, 300), **right))
        assert check_normalisation(bccd_graph, declared, bccd_images) == []

    @pytest.mark.parametrize("wrong", [UNIT, PIXELS, IMAGENET])
    def test_any_other_is_doubted_in_favour_of_its_own(
        self, bccd_graph: Graph, head: DetectionHead, bccd_images: list[np.ndarray], wrong: dict[str, Any]
    ) -> None:
        declared = replace(head, input=InputSpec((300, 300), **wrong))
        (finding,) = check_normalisation(bccd_graph, declared, bccd_images)
        assert finding.rule == RULE
        assert finding.measured is not None
        assert "with [-1, 1]; higher" in finding.measured
