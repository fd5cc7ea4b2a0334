"""What wrong labels look like in the detections, and what does not look like wrong labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from coralsmith.evaluation.class_findings import class_findings
from coralsmith.evaluation.classes import match_classes
from coralsmith.evaluation.dataset import Dataset
from coralsmith.evaluation.looking import Seen
from coralsmith.findings import Finding
from tests.evaluation.data_sets import annotated, detections

LABELS = ("ant", "bee", "cat", "dog")
BOXES = [[0.0, 0.0, 0.2, 0.2], [0.3, 0.3, 0.5, 0.5], [0.6, 0.6, 0.8, 0.8]]


def found_as(true: Sequence[int], called: Sequence[int], labels: Sequence[str] = LABELS) -> list[Finding]:
    """The findings where three objects in each of four images are located, and called something."""
    images = [annotated(BOXES, true, name=f"{i}.png") for i in range(4)]
    dataset = Dataset(images, LABELS)
    seen = Seen(images, [detections(BOXES, called, [0.9, 0.8, 0.7])] * 4)
    return class_findings(seen, dataset, labels, match_classes(dataset, labels))


def rules(findings: list[Finding]) -> set[str]:
    return {finding.rule for finding in findings} - {"class-without-objects", "class-not-in-dataset"}


def test_right_labels_are_no_finding() -> None:
    assert not rules(found_as([0, 1, 2], [0, 1, 2]))


@pytest.mark.parametrize(("called", "where"), [([1, 2, 3], "behind"), ([0, 1, 2], "before")])
def test_labels_that_are_off_by_one_are_told_with_the_ap_of_the_right_ones(called: list[int], where: str) -> None:
    true = [0, 1, 2] if where == "behind" else [1, 2, 3]
    (shifted,) = (f for f in found_as(true, called) if f.rule == "labels-shifted")
    assert f"the label one {where} theirs" in shifted.reason
    assert shifted.measured == "12 of 12 located objects; AP 0.000, and 1.000 with the labels moved by one"


def test_the_shift_is_one_of_the_models_classes_in_their_order_not_of_the_data_sets() -> None:
    """The model has the classes in another order: its label file is shifted, whatever the data set's numbers."""
    labels = ("dog", "cat", "bee", "ant")
    (shifted,) = (f for f in found_as([3, 2, 1], [1, 2, 3], labels) if f.rule == "labels-shifted")
    assert "behind" in shifted.reason


def test_labels_that_went_round_are_off_by_one_too() -> None:
    (shifted,) = (f for f in found_as([0, 1, 3], [1, 2, 0]) if f.rule == "labels-shifted")
    assert "AP 0.000, and 1.000" in (shifted.measured or "")


def test_two_exchanged_labels_are_told() -> None:
    exchanged = [f for f in found_as([0, 0, 2], [2, 2, 2]) if f.rule == "labels-exchanged"]
    assert [(f.reason, f.measured) for f in exchanged] == [
        ("Objects of 'ant' are found as 'cat'.", "8 of 8 located objects")
    ]


def test_a_few_confusions_are_no_finding() -> None:
    assert not rules(found_as([0, 1, 2], [0, 1, 1]))


def test_of_fewer_than_five_objects_nothing_is_concluded() -> None:
    images = [annotated(BOXES, [0, 1, 2])]
    dataset = Dataset(images, LABELS)
    seen = Seen(images, [detections(BOXES, [1, 2, 3], [0.9, 0.8, 0.7])])
    assert not rules(class_findings(seen, dataset, LABELS, np.arange(4)))


def test_boxes_that_lie_elsewhere_or_are_hardly_believed_say_nothing() -> None:
    images = [annotated(BOXES, [0, 1, 2], name=f"{i}.png") for i in range(4)]
    elsewhere = detections([[0.8, 0, 0.9, 0.1]], [3], [0.9])
    unsure = detections(BOXES, [1, 2, 3], [0.2, 0.2, 0.2])
    for found in (elsewhere, unsure):
        assert not rules(class_findings(Seen(images, [found] * 4), Dataset(images, LABELS), LABELS, np.arange(4)))


def test_classes_without_objects_and_classes_that_only_the_model_has_are_told() -> None:
    found = found_as([0, 1, 1], [0, 1, 1], (*LABELS, "emu"))
    assert {f.rule: f.measured for f in found} == {
        "class-without-objects": "cat, dog",
        "class-not-in-dataset": "emu",
    }
