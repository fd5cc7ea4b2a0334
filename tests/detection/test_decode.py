"""Decoding agrees with closed forms, for every coder order, activation and background column."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coralsmith.detection.decode import class_probabilities, decode_boxes, encode_boxes, sigmoid, softmax
from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.detection.head_decoder import decode_detections
from coralsmith.errors import DetectionHeadError

CODER = BoxCoder("yxhw", (10.0, 10.0, 5.0, 5.0))
ANCHORS = np.array([[0.25, 0.25, 0.2, 0.4], [0.75, 0.75, 0.2, 0.2]], np.float32)
logits = arrays.arrays(np.float32, (7, 4), elements=st.floats(-200, 200, width=32))


def make_head(score: ScoreSpec, labels: int, nms: NmsSpec | None = None) -> DetectionHead:
    spec = InputSpec((8, 8), scale=1.0, offset=0.0)
    names = tuple(f"class {index}" for index in range(labels))
    return DetectionHead(spec, "boxes", "scores", ANCHORS, names, CODER, score, nms or NmsSpec())


class TestBoxes:
    def test_zero_offsets_give_the_anchors_as_corners(self) -> None:
        boxes = decode_boxes(np.zeros((2, 4), np.float32), ANCHORS, CODER)
        assert np.allclose(boxes, [[0.15, 0.05, 0.35, 0.45], [0.65, 0.65, 0.85, 0.85]])

    def test_offsets_are_in_anchor_sizes_and_log_ratios(self) -> None:
        raw = np.array([[10.0, -5.0, 5 * np.log(2), 0.0], [0, 0, 0, 0]], np.float32)
        # One anchor height down, half an anchor width to the left, twice as high.
        assert np.allclose(decode_boxes(raw, ANCHORS, CODER)[0], [0.25, -0.15, 0.65, 0.25], atol=1e-6)

    @given(arrays.arrays(np.float32, (2, 4), elements=st.floats(-20, 20, width=32)))
    def test_xywh_is_yxhw_with_columns_swapped(self, raw: np.ndarray) -> None:
        swapped = decode_boxes(raw[:, [1, 0, 3, 2]], ANCHORS, BoxCoder("xywh", CODER.scales))
        assert np.array_equal(swapped, decode_boxes(raw, ANCHORS, CODER))

    def test_scales_stand_in_the_order_of_the_columns(self) -> None:
        raw = np.array([[1.0, 2.0, 3.0, 4.0]] * 2, np.float32)
        by_rows = decode_boxes(raw, ANCHORS, BoxCoder("yxhw", (1.0, 2.0, 3.0, 4.0)))
        by_columns = decode_boxes(raw[:, [1, 0, 3, 2]], ANCHORS, BoxCoder("xywh", (2.0, 1.0, 4.0, 3.0)))
        assert np.array_equal(by_rows, by_columns)

    def test_a_wild_exponent_makes_an_infinite_box_and_no_warning(self) -> None:
        raw = np.array([[0, 0, 1e6, 0]] * 2, np.float32)
        assert np.isinf(decode_boxes(raw, ANCHORS, CODER)[0, [0, 2]]).all()

    def test_columns_behind_the_fourth_are_ignored(self) -> None:
        raw = np.arange(12, dtype=np.float32).reshape(2, 6)
        assert np.array_equal(decode_boxes(raw, ANCHORS, CODER), decode_boxes(raw[:, :4], ANCHORS, CODER))

    @pytest.mark.parametrize("coder", [CODER, BoxCoder("xywh", (1.0, 2.0, 3.0, 4.0))])
    def test_what_is_encoded_decodes_to_the_same_boxes(self, coder: BoxCoder) -> None:
        boxes = np.array([[0.1, 0.2, 0.9, 0.3], [0.5, 0.0, 0.52, 1.0]])
        assert np.allclose(decode_boxes(encode_boxes(boxes, ANCHORS, coder), ANCHORS, coder), boxes, atol=1e-6)


class TestScores:
    @given(logits)
    def test_sigmoid_is_exact_to_float_rounding_everywhere(self, values: np.ndarray) -> None:
        exact = 1.0 / (1.0 + np.exp(-values.astype(np.float64)))
        np.testing.assert_allclose(sigmoid(values), exact, rtol=1e-6, atol=1e-37)

    @given(logits)
    def test_softmax_sums_to_one_and_ignores_a_common_shift(self, values: np.ndarray) -> None:
        assert np.allclose(softmax(values).sum(axis=1), 1.0, atol=1e-5)
        exact = np.exp(values.astype(np.float64))
        assert np.allclose(softmax(values), exact / exact.sum(axis=1, keepdims=True), atol=1e-5)

    @pytest.mark.parametrize("column", [0, 2])
    def test_the_background_column_takes_part_in_the_softmax_and_is_dropped(self, column: int) -> None:
        raw = np.log(np.array([[0.7, 0.1, 0.2], [0.2, 0.3, 0.5]], np.float32))
        scores = class_probabilities(raw, ScoreSpec("softmax", column))
        assert np.allclose(scores, np.delete(np.exp(raw), column, axis=1))

    def test_no_activation_leaves_the_scores_as_they_are(self) -> None:
        raw = np.array([[0.25, 0.5]], np.float32)
        assert np.array_equal(class_probabilities(raw, ScoreSpec("none", None)), raw)


class TestDetections:
    def test_a_box_bears_several_classes_unless_the_mode_is_fast(self) -> None:
        head = make_head(ScoreSpec("none"), 2, NmsSpec(0.5, 0.3, 10))
        raw_scores = np.array([[[0.9, 0.5], [0.1, 0.6]]], np.float32)
        raw_boxes = np.zeros((1, 2, 4), np.float32)
        every = decode_detections(raw_boxes, raw_scores, head)
        assert every.class_ids.tolist() == [0, 1, 1]
        assert np.allclose(every.scores, [0.9, 0.6, 0.5])
        best = decode_detections(raw_boxes, raw_scores, head, per_class=False)
        assert best.class_ids.tolist() == [0, 1]
        assert np.allclose(best.boxes, [[0.15, 0.05, 0.35, 0.45], [0.65, 0.65, 0.85, 0.85]])

    def test_class_ids_do_not_count_the_background(self) -> None:
        head = make_head(ScoreSpec("none", 0), 2)
        raw_scores = np.array([[0.0, 0.0, 0.9], [1.0, 0.0, 0.0]], np.float32)
        found = decode_detections(np.zeros((2, 4), np.float32), raw_scores, head)
        assert found.class_ids.tolist() == [1]
        assert found.class_ids.dtype == np.int64

    def test_nothing_above_the_limit_gives_empty_arrays_of_the_right_shape(self) -> None:
        head = make_head(ScoreSpec("none"), 1)
        for per_class in (True, False):
            found = decode_detections(
                np.zeros((2, 4), np.float32), np.zeros((2, 1), np.float32), head, per_class=per_class
            )
            assert len(found) == 0
            assert found.boxes.shape == (0, 4)

    def test_clipping_cuts_boxes_at_the_image(self) -> None:
        head = make_head(ScoreSpec("none"), 1)
        raw_boxes = np.array([[-30.0, 0, 0, 0], [0, 0, 0, 0]], np.float32)
        found = decode_detections(raw_boxes, np.array([[0.9], [0.0]], np.float32), head)
        assert found.boxes[0, 0] < 0
        assert found.clipped().boxes[0, 0] == 0

    @pytest.mark.parametrize("swap", [False, True])
    def test_outputs_of_another_shape_are_refused(self, swap: bool) -> None:
        head = make_head(ScoreSpec("none"), 5)
        boxes, scores = np.zeros((1, 2, 4), np.float32), np.zeros((1, 2 + (not swap), 5), np.float32)
        with pytest.raises(DetectionHeadError, match="score output"):
            decode_detections(scores if swap else boxes, boxes if swap else scores, head)
