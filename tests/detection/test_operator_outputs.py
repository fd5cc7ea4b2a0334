"""The four outputs of a detection operator are told apart in every order, and read up to their count."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.builders import conv_graph

from coralsmith.detection.operator_outputs import OperatorOutputs, find_operator_outputs
from coralsmith.errors import DetectionHeadError, UnsupportedModelError
from coralsmith.graph import Graph, Op, Tensor

MOST = 10
SHAPES = {"boxes": (1, MOST, 4), "classes": (1, MOST), "scores": (1, MOST), "count": (1,)}


def model(order: tuple[str, ...], names: dict[str, str] | None = None) -> Graph:
    """A model that ends in an operator nobody knows."""
    outputs = [
        Tensor((names or {}).get(role, f"out:{place}"), SHAPES[role], np.dtype(np.float32))
        for place, role in enumerate(order)
    ]
    image = Tensor("image", (1, 8, 8, 3), np.dtype(np.uint8))
    return Graph([Op("CUSTOM", [image], outputs, custom_code="some detector")], [image], outputs)


@pytest.mark.parametrize("order", list(itertools.permutations(SHAPES)))
def test_names_tell_the_outputs_apart(order: tuple[str, ...]) -> None:
    names = {
        "boxes": "detection_boxes",
        "classes": "detection_classes",
        "scores": "detection_scores",
        "count": "num_detections",
    }
    found = find_operator_outputs(model(order, names))
    assert found is not None
    assert {role: getattr(found, role) for role in SHAPES} == {role: order.index(role) for role in SHAPES}


@pytest.mark.parametrize(
    "order", [("boxes", "classes", "scores", "count"), ("scores", "boxes", "count", "classes")]
)
def test_without_names_the_rule_of_pycoral_decides(order: tuple[str, ...]) -> None:
    found = find_operator_outputs(model(order))
    assert found is not None
    assert (found.boxes, found.classes, found.scores, found.count) == tuple(map(order.index, SHAPES))


def test_raw_heads_are_no_such_outputs() -> None:
    assert find_operator_outputs(conv_graph()) is None


def test_an_order_that_nobody_uses_is_refused() -> None:
    with pytest.raises(DetectionHeadError, match="have the shape"):
        find_operator_outputs(model(("classes", "boxes", "scores", "count")))


class TestReading:
    outputs = OperatorOutputs(0, 1, 2, 3)

    def arrays(self, scores: list[float], count: float) -> list[np.ndarray]:
        boxes = np.arange(len(scores) * 4, dtype=np.float32).reshape(1, -1, 4)
        return [boxes, np.arange(len(scores))[None] + 0.0, np.array([scores], np.float32), np.array([count])]

    def test_rows_behind_the_count_are_not_read(self) -> None:
        assert self.outputs.read(self.arrays([0.9, 0.8, np.nan], 2)).scores.tolist() == pytest.approx([0.9, 0.8])
        assert len(self.outputs.read(self.arrays([0.9], 0))) == 0
        assert len(self.outputs.read(self.arrays([0.9], 7))) == 1
        assert len(self.outputs.read(self.arrays([0.9], -1))) == 0

    def test_rows_are_sorted_with_their_boxes_and_classes(self) -> None:
        found = self.outputs.read(self.arrays([0.5, 0.9, 0.7], 3))
        assert found.class_ids.tolist() == [1, 2, 0]
        assert found.boxes[:, 0].tolist() == [4, 8, 0]

    def test_one_box_may_take_several_rows(self) -> None:
        assert len(OperatorOutputs(0, 1, 2, 3, rows_a_box=2).read(self.arrays([0.9, 0.8, 0.7, 0.1], 1))) == 2

    def test_nan_is_an_error(self) -> None:
        for arrays in (self.arrays([0.9, np.nan], 2), self.arrays([0.9], np.nan)):
            with pytest.raises(UnsupportedModelError, match="not a number"):
                self.outputs.read(arrays)
