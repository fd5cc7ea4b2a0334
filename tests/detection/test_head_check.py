"""A given head that is not the one of training is told by what the model sees, and the right one is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.detection.respelled import SOURCE, Convention, respelled, with_background
from tests.tiny_detector import tiny_detector, tiny_head

from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec, ScoreSpec
from coralsmith.detection.head_check import check_head
from coralsmith.graph import Graph

CORNERS = np.concatenate([SOURCE[:, :2] - SOURCE[:, 2:] / 2, SOURCE[:, :2] + SOURCE[:, 2:] / 2], axis=1)


def bccd_head(graph: Graph) -> DetectionHead:
    boxes, scores = sorted((tensor for tensor in graph.outputs), key=lambda tensor: tensor.shape[2] != 4)
    return DetectionHead(
        InputSpec((300, 300), 1 / 127.5, -1.0), boxes.name, scores.name, SOURCE, ("RBC", "WBC", "Platelets")
    )


def rules(graph: Graph, head: DetectionHead, images: list[np.ndarray]) -> list[str]:
    return [finding.rule for finding in check_head(graph, head, images)]


def test_the_head_of_training_is_left_alone(bccd_graph: Graph, bccd_images: list[np.ndarray]) -> None:
    assert rules(bccd_graph, bccd_head(bccd_graph), bccd_images[:3]) == []


WRONG: dict[str, tuple[Callable[[DetectionHead], DetectionHead], str]] = {
    "columns x, y, w, h": (lambda head: replace(head, box_coder=BoxCoder("xywh")), "head-implausible"),
    "scales of 1": (lambda head: replace(head, box_coder=BoxCoder("yxhw", (1.0,) * 4)), "head-implausible"),
    "anchors x before y": (lambda head: replace(head, anchors=SOURCE[:, [1, 0, 3, 2]]), "anchors-off-cells"),
    "another order of ratios": (
        lambda head: replace(head, anchors=np.concatenate([SOURCE[:1083], SOURCE[1083:, [0, 1, 3, 2]]])),
        "head-implausible",
    ),
    "coarsest map first": (lambda head: replace(head, anchors=SOURCE[::-1]), "anchors-off-cells"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_head_is_told(case: str, bccd_graph: Graph, bccd_images: list[np.ndarray]) -> None:
    change, rule = WRONG[case]
    assert rule in rules(bccd_graph, change(bccd_head(bccd_graph)), bccd_images[:3])


def test_anchors_given_as_corners_are_named(bccd_graph: Graph, bccd_images: list[np.ndarray]) -> None:
    positive = np.where(CORNERS[:, 2:] > 0, CORNERS[:, 2:], 0.01)
    head = replace(bccd_head(bccd_graph), anchors=np.concatenate([CORNERS[:, :2], positive], axis=1))
    (finding,) = [each for each in check_head(bccd_graph, head, []) if each.rule == "anchors-off-cells"]
    assert "read as corners (ymin, xmin, ymax, xmax)" in finding.reason


def test_outputs_of_equal_shape_that_are_swapped_are_an_error(
    bccd_graph: Graph, bccd_images: list[np.ndarray]
) -> None:
    graph = respelled(bccd_graph, Convention(SOURCE, BoxCoder(), *with_background()))
    head = replace(bccd_head(bccd_graph), boxes="boxes", scores="scores", score=ScoreSpec("sigmoid", 0))
    assert rules(graph, head, bccd_images[:2]) == []
    (finding,) = check_head(graph, replace(head, boxes="scores", scores="boxes"), bccd_images[:2])
    assert (finding.rule, finding.severity) == ("head-outputs-swapped", "error")


def test_a_background_that_is_not_declared(bccd_graph: Graph, bccd_images: list[np.ndarray]) -> None:
    graph = respelled(bccd_graph, Convention(SOURCE, BoxCoder(), *with_background()))
    head = replace(bccd_head(bccd_graph), boxes="boxes", scores="scores", labels=("a", "b", "c", "d"))
    assert "background-not-declared" in rules(graph, head, bccd_images[:2])


def test_a_class_that_is_called_the_background(bccd_graph: Graph, bccd_images: list[np.ndarray]) -> None:
    head = replace(bccd_head(bccd_graph), labels=("WBC", "Platelets"), score=ScoreSpec("sigmoid", 0))
    assert "background-is-a-class" in rules(bccd_graph, head, bccd_images[:2])


def test_scores_that_are_probabilities_already(bccd_graph: Graph, bccd_images: list[np.ndarray]) -> None:
    graph = respelled(bccd_graph, Convention(SOURCE, activation="LOGISTIC"))
    head = replace(bccd_head(bccd_graph), boxes="boxes", scores="scores")
    assert "scores-activated-twice" in rules(graph, head, bccd_images[:2])


def test_images_that_do_not_tell_are_said_not_to() -> None:
    assert rules(tiny_detector(), tiny_head(), []) == ["head-not-tested"]
