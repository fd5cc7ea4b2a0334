"""How many of the float model's detections the int8 model finds again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from coralsmith.comparison import check_operator, matches, short_names
from coralsmith.detection.detections import Detections
from coralsmith.detection.postprocess_op import append_score_activation, attach_postprocess_op
from tests.tiny_detector import SIDE, tiny_detector, tiny_head


def detections(*rows: tuple[float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4].astype(np.int64), np.full(len(table), 0.9, np.float32))


BOX = (0.1, 0.1, 0.5, 0.5)
NEAR = (0.12, 0.1, 0.52, 0.5)
FAR = (0.6, 0.6, 0.9, 0.9)


def test_the_same_box_of_the_same_class_is_found_again() -> None:
    assert matches(detections((*BOX, 0)), detections((*NEAR, 0))) == 1


def test_another_class_or_place_is_not() -> None:
    assert matches(detections((*BOX, 0)), detections((*BOX, 1), (*FAR, 0))) == 0


def test_one_detection_answers_for_one_object_only() -> None:
    assert matches(detections((*BOX, 0), (*NEAR, 0)), detections((*BOX, 0))) == 1


def test_nothing_matches_nothing() -> None:
    assert matches(detections(), detections((*BOX, 0))) == 0
    assert matches(detections((*BOX, 0)), detections()) == 0


def test_an_operator_that_finds_something_else_is_an_error() -> None:
    graph, head = append_score_activation(tiny_detector(), tiny_head())
    images = [np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8) for seed in range(3)]
    final = attach_postprocess_op(graph, head)
    assert check_operator(graph, final, head, images) == []
    stricter = attach_postprocess_op(graph, replace(head, nms=replace(head.nms, max_detections=1)))
    assert [finding.rule for finding in check_operator(graph, stricter, head, images)] == ["operator-disagrees"]


def test_two_pictures_of_one_name_are_told_apart_by_their_folders() -> None:
    paths = [Path("a/x/1.jpg"), Path("b/x/1.jpg"), Path("b/2.jpg")]
    assert short_names(paths) == dict(zip(paths, ["a/x/1.jpg", "b/x/1.jpg", "b/2.jpg"], strict=True))
    assert short_names(paths[1:]) == dict(zip(paths[1:], ["1.jpg", "2.jpg"], strict=True))
