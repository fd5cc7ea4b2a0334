"""From integers comes what comes from the numbers behind them, and what the C++ operator finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.detection.operator_graph import operator_graph

from coralsmith.detection.anchors import ssd_anchors
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.detection.head_decoder import HeadDecoder, decode_detections
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Quant, Tensor
from coralsmith.graph.executor import Executor, as_real

ANCHORS = ssd_anchors([(8, 8), (4, 4)], (64, 64))
CLASSES = 5
SCALES = {"none": 1 / 256, "sigmoid": 0.1, "softmax": 0.1}


def make_head(**fields: Any) -> DetectionHead:
    names = tuple(f"class {index}" for index in range(CLASSES))
    usual = DetectionHead(InputSpec((64, 64), 1 / 127.5, -1.0), "boxes", "scores", ANCHORS, names)
    return replace(usual, **fields)


def outputs(head: DetectionHead, dtype: Any = np.int8) -> tuple[Tensor, Tensor]:
    lowest = int(np.iinfo(dtype).min)
    scale = SCALES[head.score.activation]
    zero = lowest if head.score.activation == "none" else lowest + 150
    shape, count = np.dtype(dtype), len(ANCHORS)
    return (
        Tensor("boxes", (1, count, 4), shape, quant=Quant.per_tensor(0.08, lowest + 120)),
        Tensor("scores", (1, count, head.score_columns), shape, quant=Quant.per_tensor(scale, zero)),
    )


def noise(tensors: tuple[Tensor, Tensor], seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    limits = np.iinfo(tensors[0].dtype)
    return [generator.integers(limits.min, limits.max, t.shape, endpoint=True).astype(t.dtype) for t in tensors]


def assert_same(first: Detections, second: Detections, tolerance: float = 0.0) -> None:
    np.testing.assert_array_equal(first.class_ids, second.class_ids)
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-6, atol=tolerance)
    np.testing.assert_allclose(first.boxes, second.boxes, rtol=1e-6, atol=tolerance)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["none", "sigmoid", "softmax"]),
    st.sampled_from([None, 0, 2, CLASSES]),
    st.sampled_from([np.int8, np.uint8]),
    st.sampled_from(["yxhw", "xywh"]),
    st.booleans(),
    st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    st.integers(0, 99),
)
def test_integers_decode_to_what_their_real_numbers_do(
    activation: Any, background: int | None, dtype: Any, order: Any, per_class: bool, score: float, seed: int
) -> None:
    head = make_head(
        score=ScoreSpec(activation, background),
        box_coder=BoxCoder(order, (10.0, 8.0, 5.0, 4.0)),
        nms=NmsSpec(0.5, score, 30),
    )
    tensors = outputs(head, dtype)
    raw = noise(tensors, seed)
    real = [as_real(tensor, values) for tensor, values in zip(tensors, raw, strict=True)]
    found = HeadDecoder(head, *tensors, per_class=per_class).decode(*raw)
    assert_same(found, decode_detections(real[0], real[1], head, per_class=per_class))


@pytest.mark.parametrize("background", [None, 0])
@pytest.mark.parametrize("score", [0.0, 0.01, 0.6])
def test_it_finds_what_the_operator_finds_in_the_same_order(background: int | None, score: float) -> None:
    head = make_head(score=ScoreSpec("none", background), nms=NmsSpec(0.5, score, 40))
    boxes, scores = outputs(head)
    executor = Executor(operator_graph(head, boxes, scores))
    for seed in range(5):
        raw = noise((boxes, scores), seed)
        their_boxes, classes, their_scores, count = executor.run(*raw)
        kept = int(count[0])
        expected = Detections(their_boxes[0, :kept], classes[0, :kept].astype(np.int64), their_scores[0, :kept])
        found = HeadDecoder(head, boxes, scores, per_class=False).decode(*raw)
        assert_same(found, expected, tolerance=1e-6)


@pytest.mark.parametrize("per_class", [True, False])
def test_each_class_may_have_its_own_limit(per_class: bool) -> None:
    head = make_head(score=ScoreSpec("none"), nms=NmsSpec(0.5, 0.01, 1000))
    tensors = outputs(head)
    limits = np.array([0.5, 0.9, 1.0, 0.2, 0.99], np.float32)
    raw = noise(tensors, 1)
    found = HeadDecoder(head, *tensors, per_class=per_class, min_scores=limits).decode(*raw)
    assert len(found)
    assert (found.scores >= limits[found.class_ids]).all()
    assert 2 not in found.class_ids  # its limit is above every integer of the type
    real = [as_real(tensor, values) for tensor, values in zip(tensors, raw, strict=True)]
    assert_same(found, HeadDecoder(head, per_class=per_class, min_scores=limits).decode(*real))


@pytest.mark.parametrize("activation", ["none", "sigmoid", "softmax"])
def test_scores_and_boxes_that_are_not_numbers_are_an_error(activation: Any) -> None:
    head = make_head(score=ScoreSpec(activation, 0))
    boxes = np.zeros((1, len(ANCHORS), 4), np.float32)
    scores = np.full((1, len(ANCHORS), CLASSES + 1), 0.5, np.float32)
    scores[0, 7, 3] = np.nan
    with pytest.raises(UnsupportedModelError, match="score that is not a number"):
        decode_detections(boxes, scores, head)
    scores[0, 7, 3] = 0.9
    boxes[0, 7, 2] = np.nan
    with pytest.raises(UnsupportedModelError, match="box that is not a number"):
        decode_detections(boxes, scores, head)


def test_further_columns_behind_the_box_are_left_alone() -> None:
    head = make_head(score=ScoreSpec("none"))
    boxes, scores = outputs(head)
    raw_boxes, raw_scores = noise((boxes, scores), 3)
    wide = np.concatenate([raw_boxes, raw_boxes[..., ::-1]], axis=2)
    decoder = HeadDecoder(head, boxes, scores)
    assert_same(decoder.decode(wide, raw_scores), decoder.decode(raw_boxes, raw_scores))
