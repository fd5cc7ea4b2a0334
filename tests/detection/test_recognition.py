"""A head is recovered where the evidence allows one answer, and asked for where it allows more."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.detection.spelled_detector import (
    ANCHORS,
    FULL,
    REDUCED,
    SIDE,
    SIZES,
    Scores,
    SpelledDetector,
    see_objects,
)

from coralsmith.detection.anchors import multiscale_anchors, ssd_anchors
from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.detection.head_decoder import decode_detections
from coralsmith.detection.postprocess_op import append_score_activation, attach_postprocess_op
from coralsmith.detection.raw_outputs import raw_outputs
from coralsmith.detection.recognition import recognise
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph
from coralsmith.graph.executor import Executor

BACKGROUND = Scores(background_column=0)
SOFTMAX = Scores(object=5.0, other=-1.2, background_column=0, background_empty=3.6, background_object=-2.6)


def photos(
    detector: SpelledDetector,
    anchors: np.ndarray = ANCHORS,
    scores: Scores | None = None,
    count: int = 12,
    **kw: Any,
) -> list[np.ndarray]:
    """Images with a few objects each, as the detector was 'trained' to see them."""
    scenes = [see_objects(anchors, detector.columns, scores or Scores(), seed=seed, **kw) for seed in range(count)]
    return [detector.spell(*scene) for scene in scenes]


class TestRecognise:
    detector = SpelledDetector(REDUCED, 3)

    def test_a_sigmoid_head_without_background(self) -> None:
        head = recognise(self.detector.graph(), photos(self.detector))
        assert (head.boxes, head.scores) == ("boxes", "scores")
        assert np.array_equal(head.anchors, ANCHORS)
        assert head.score == ScoreSpec("sigmoid", None)
        assert head.labels == ("class 0", "class 1", "class 2")
        assert head.input == InputSpec((SIDE, SIDE), scale=1 / 127.5, offset=-1.0)
        for fact in (
            "outputs:",
            "scores: sigmoid",
            "background: none",
            "anchors: ssd_anchor_generator",
            "convention",
        ):
            assert fact in head.evidence
        head.check_against(self.detector.graph())

    @pytest.mark.parametrize("column", [0, 2])
    def test_a_background_column_is_the_one_that_is_likely_nearly_everywhere(self, column: int) -> None:
        images = photos(self.detector, scores=replace(BACKGROUND, background_column=column))
        head = recognise(self.detector.graph(), images)
        assert head.score == ScoreSpec("sigmoid", column)
        assert len(head.labels) == 2

    def test_softmax_logits_sum_to_about_zero(self) -> None:
        detector = SpelledDetector(REDUCED, 4)
        head = recognise(detector.graph(), photos(detector, scores=SOFTMAX))
        assert head.score == ScoreSpec("softmax", 0)

    @pytest.mark.parametrize(("activation", "scores"), [("LOGISTIC", BACKGROUND), ("SOFTMAX", SOFTMAX)])
    def test_scores_that_are_probabilities_need_no_activation(self, activation: str, scores: Scores) -> None:
        detector = SpelledDetector(REDUCED, 4, activation)
        head = recognise(detector.graph(), photos(detector, scores=scores))
        assert head.score == ScoreSpec("none", 0)

    def test_boxes_and_scores_of_equal_shape_are_told_apart_by_their_values(self) -> None:
        detector = SpelledDetector(REDUCED, 4)
        for scores in (Scores(), BACKGROUND):
            head = recognise(detector.graph(), photos(detector, scores=scores))
            assert (head.boxes, head.scores) == ("boxes", "scores")
            assert "empty place" in head.evidence

    @pytest.mark.parametrize("kind", ["ssd", "pyramid"])
    def test_six_boxes_everywhere_are_decided_by_agreement(self, kind: str) -> None:
        detector = SpelledDetector(FULL, 3)
        sizes = [(height, width) for height, width, _ in FULL]
        makers: dict[str, Callable[[], np.ndarray]] = {
            "ssd": lambda: ssd_anchors(sizes, (SIDE, SIDE), reduce_lowest=False),
            "pyramid": lambda: multiscale_anchors(sizes, (SIDE, SIDE)),
        }
        anchors = makers[kind]()
        head = recognise(detector.graph(), photos(detector, anchors))
        assert np.abs(head.anchors - anchors).max() < 2e-4

    def test_boxes_whose_columns_are_x_y_w_h(self) -> None:
        scenes = [see_objects(ANCHORS, 3, Scores(), seed=seed) for seed in range(12)]
        images = [self.detector.spell(boxes[:, [1, 0, 3, 2]], scores) for boxes, scores in scenes]
        head = recognise(self.detector.graph(), images)
        assert head.box_coder == BoxCoder("xywh")
        assert "but boxes as x, y, w, h" in head.evidence

    def test_a_crowd_of_overlapping_objects_of_the_same_classes(self) -> None:
        for crowd in range(5):
            scenes = [see_objects(ANCHORS, 3, Scores(), seed=10 * crowd + image, objects=5) for image in range(8)]
            head = recognise(self.detector.graph(), [self.detector.spell(*scene) for scene in scenes])
            assert np.abs(head.anchors - ANCHORS).max() < 2e-4

    def test_an_output_beside_boxes_and_scores_does_no_harm(self) -> None:
        graph = self.detector.graph()
        graph.outputs.insert(0, next(op.output for op in graph.ops if op.name == "flat"))
        assert recognise(graph, photos(self.detector)).score == ScoreSpec("sigmoid", None)

    def test_given_labels_and_input_are_taken(self) -> None:
        spec = InputSpec((SIDE, SIDE), mean=(127.5,) * 3, std=(127.5,) * 3)
        head = recognise(self.detector.graph(), photos(self.detector), labels=["a", "b", "c"], input_spec=spec)
        assert head.labels == ("a", "b", "c")
        assert head.input == spec

    def test_one_label_less_than_columns_means_a_background(self) -> None:
        never_background = Scores(background_column=0, background_empty=-6.0, background_object=-6.0)
        images = photos(self.detector, scores=never_background)
        head = recognise(self.detector.graph(), images, labels=["a", "b"])
        assert head.score == ScoreSpec("sigmoid", 0)
        with pytest.raises(DetectionHeadError, match="may be a class or the background"):
            recognise(self.detector.graph(), images)

    def test_a_head_in_the_models_own_operator_is_read_from_it(self) -> None:
        graph = self.detector.graph()
        head = recognise(graph, photos(self.detector))
        attached = attach_postprocess_op(*append_score_activation(graph, head))
        read = recognise(attached, [], labels=["a", "b", "c"])
        assert np.array_equal(read.anchors, ANCHORS)
        assert read.labels == ("a", "b", "c")
        with pytest.raises(DetectionHeadError, match="2 labels"):
            recognise(attached, [], labels=["a", "b"])


class TestRefusals:
    detector = SpelledDetector(REDUCED, 3)

    def test_no_images(self) -> None:
        with pytest.raises(DetectionHeadError, match="there is none") as caught:
            recognise(self.detector.graph(), [])
        assert "--images" in caught.value.hint

    def test_images_without_objects(self) -> None:
        images = photos(self.detector, scores=Scores(object=-5.0))
        with pytest.raises(DetectionHeadError):
            recognise(self.detector.graph(), images, labels=["a", "b", "c"])

    @pytest.mark.parametrize(("low", "high"), [(0.1, 0.95), (0.3, 0.95), (0.2, 0.6)])
    def test_anchors_of_other_scales_than_published(self, low: float, high: float) -> None:
        anchors = ssd_anchors(SIZES, (SIDE, SIDE), min_scale=low, max_scale=high)
        with pytest.raises(DetectionHeadError, match=r"trained otherwise|No anchor set"):
            recognise(self.detector.graph(), photos(self.detector, anchors))

    def test_another_box_coder(self) -> None:
        images = photos(self.detector, scales=(2.0, 2.0, 2.0, 2.0))
        with pytest.raises(DetectionHeadError, match=r"trained otherwise|No anchor set"):
            recognise(self.detector.graph(), images)

    def test_noise(self) -> None:
        noise = np.random.default_rng(0)
        images = [noise.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(4)]
        with pytest.raises(DetectionHeadError):
            recognise(self.detector.graph(), images)

    def test_two_outputs_of_four_columns_whose_values_are_alike(self) -> None:
        detector = SpelledDetector(REDUCED, 4)
        noise = np.random.default_rng(0).normal(0, 1, (2, detector.anchors, 4))
        with pytest.raises(DetectionHeadError, match="do not tell boxes from scores"):
            recognise(detector.graph(), [detector.spell(*noise)])

    def test_two_columns_of_logits_may_be_sigmoid_or_softmax(self) -> None:
        detector = SpelledDetector(REDUCED, 2)
        scores = Scores(object=4.0, other=-4.0, background_column=0, background_empty=4.0)
        with pytest.raises(DetectionHeadError, match="sigmoid or of a softmax"):
            recognise(detector.graph(), photos(detector, scores=scores))

    def test_a_forgotten_label_does_not_make_the_first_class_a_background(self) -> None:
        with pytest.raises(DetectionHeadError, match=r"column 0 is best in .* as a class"):
            recognise(self.detector.graph(), photos(self.detector), labels=["a", "b"])

    def test_labels_that_contradict_the_columns(self) -> None:
        for labels, scores in ((["a"], Scores()), (["a", "b", "c"], BACKGROUND)):
            with pytest.raises(DetectionHeadError, match="labels for 3 score columns"):
                recognise(self.detector.graph(), photos(self.detector, scores=scores), labels=labels)

    def test_images_of_another_size(self) -> None:
        with pytest.raises(ValueError, match="the model's input"):
            recognise(self.detector.graph(), [np.zeros((8, 8, 3), np.uint8)])


class TestBccd:
    """The trained blood-cell detector, against the decoder that its makers trained and scored it with."""

    @pytest.fixture
    def reference(self, shared: Path) -> Any:
        """The makers' decode.py; the OpenCV it imports reads images only, which is not asked of it here."""
        folder = shared / "models/bccd_ssdlite"
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "cv2", ModuleType("cv2"))
            patch.setattr(sys, "dont_write_bytecode", True)
            spec = importlib.util.spec_from_file_location("bccd_decode", folder / "decode.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return module

    def test_the_anchors_of_training_are_recovered(
        self, bccd_graph: Graph, bccd_images: list[np.ndarray], shared: Path
    ) -> None:
        head = recognise(bccd_graph, bccd_images[:4], labels=["RBC", "WBC", "Platelets"])
        assert np.array_equal(head.anchors, np.load(shared / "models/bccd_ssdlite/anchors.npy"))
        assert head.score == ScoreSpec("sigmoid", None)
        assert [head.boxes, head.scores] == ["StatefulPartitionedCall_1:0", "StatefulPartitionedCall_1:1"]

    def test_detections_are_those_of_the_makers_decoder(
        self, bccd_graph: Graph, bccd_images: list[np.ndarray], reference: Any
    ) -> None:
        head = replace(
            recognise(bccd_graph, bccd_images[:4]), nms=NmsSpec(iou=0.5, score=0.25, max_detections=100)
        )
        for scores, boxes in raw_outputs(bccd_graph, head.input, bccd_images[:6]):
            found = decode_detections(boxes, scores, head)
            expected = reference_detections(reference, boxes[0], scores[0], head)
            assert len(expected) > 5
            assert found.class_ids.tolist() == [label for _, label, _ in expected]
            np.testing.assert_allclose(found.scores, [score for score, _, _ in expected], atol=1e-6)
            np.testing.assert_allclose(found.boxes, [box for _, _, box in expected], atol=1e-5)

    def test_the_attached_operator_finds_what_the_fast_decode_finds(
        self, bccd_graph: Graph, bccd_images: list[np.ndarray]
    ) -> None:
        head = recognise(bccd_graph, bccd_images[:4])
        raw, same_head = append_score_activation(bccd_graph, head)
        executor = Executor(attach_postprocess_op(raw, same_head))
        images = bccd_images[:6]
        for image, (scores, boxes) in zip(images, raw_outputs(raw, head.input, images), strict=True):
            expected = decode_detections(boxes, scores, same_head, per_class=False)
            found_boxes, classes, found_scores, count = executor.run(head.input.normalise(image)[None])
            kept = int(count[0])
            assert kept == len(expected) > 10
            assert classes[0, :kept].astype(int).tolist() == expected.class_ids.tolist()
            np.testing.assert_allclose(found_scores[0, :kept], expected.scores, atol=1e-5)
            np.testing.assert_allclose(found_boxes[0, :kept], expected.boxes, atol=1e-5)


def reference_detections(
    reference: Any, raw_boxes: np.ndarray, logits: np.ndarray, head: DetectionHead
) -> list[tuple[float, int, list[float]]]:
    """The makers' decode and suppression, without their clipping of boxes to the image before suppression."""
    boxes = reference.decode(raw_boxes, reference.make_anchors())
    scores = 1 / (1 + np.exp(-logits))
    found = []
    for label in range(scores.shape[1]):
        rows = np.flatnonzero(scores[:, label] >= head.nms.score)
        kept = rows[reference.nms(boxes[rows], scores[rows, label], head.nms.iou)]
        found += [(float(scores[row, label]), label, boxes[row].tolist()) for row in kept]
    return sorted(found, key=lambda detection: -detection[0])[: head.nms.max_detections]
