"""Feature maps and boxes a cell are read from the graph, or the model is told to be no detector."""

from __future__ import annotations

import numpy as np
import pytest
from tests import builders
from tests.detection.spelled_detector import ANCHORS, FULL, REDUCED, SpelledDetector

from coralsmith.detection.layout import FeatureMap, find_layouts
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph, Op, Tensor


def test_maps_and_boxes_a_cell_come_from_the_graph() -> None:
    layout, *others = find_layouts(SpelledDetector(REDUCED, 3).graph())
    assert not others
    assert (layout.boxes.name, layout.scores.name) == ("boxes", "scores")
    assert layout.maps == tuple(FeatureMap(*grid) for grid in REDUCED)
    assert layout.applied is None


@pytest.mark.parametrize("activation", ["LOGISTIC", "SOFTMAX"])
def test_an_activation_in_the_graph_is_seen(activation: str) -> None:
    assert find_layouts(SpelledDetector(FULL, 3, activation).graph())[0].applied == activation


def test_a_shape_computed_for_an_unknown_batch_is_no_way_to_the_feature_maps() -> None:
    """Converters write SHAPE, STRIDED_SLICE and PACK before each RESHAPE of a model whose batch is unknown."""
    graph = SpelledDetector(REDUCED, 3).graph()
    expected = find_layouts(graph)
    for reshape in [op for op in graph.ops if op.kind == "RESHAPE"]:
        computed = Tensor(f"{reshape.name}/shape", (4,), np.dtype(np.int32))
        graph.ops.insert(graph.ops.index(reshape), Op("SHAPE", [reshape.inputs[0]], [computed]))
        reshape.inputs[1:] = [computed]
    assert [layout.maps for layout in find_layouts(graph)] == [layout.maps for layout in expected]


def test_two_outputs_of_four_columns_may_be_read_both_ways() -> None:
    layouts = find_layouts(SpelledDetector(FULL, 4).graph())
    assert {(layout.boxes.name, layout.scores.name) for layout in layouts} == {
        ("boxes", "scores"),
        ("scores", "boxes"),
    }


def test_cells_lie_in_the_order_of_the_anchors() -> None:
    centres, sizes = find_layouts(SpelledDetector(REDUCED, 3).graph())[0].cells()
    assert np.allclose(centres, ANCHORS[:, :2])
    assert np.allclose(sizes[[0, 300, -1]], [[0.1, 0.1], [0.2, 0.2], [1, 1]])


@pytest.mark.parametrize("graph", [builders.conv_graph(), SpelledDetector(FULL, 3, "RELU").graph()])
def test_a_model_that_is_no_detector_is_told(graph: Graph) -> None:
    with pytest.raises(DetectionHeadError, match="no pair of boxes"):
        find_layouts(graph)


def test_a_transposed_feature_map_has_an_unknown_order() -> None:
    graph = SpelledDetector(FULL, 3).graph()
    position, op = next((i, op) for i, op in enumerate(graph.ops) if op.name == "boxes_0_flat")
    order = builders.constant("order", [0, 2, 1, 3], np.int32)
    turned = builders.op("TRANSPOSE", [op.inputs[0], order], "turned")
    graph.ops.insert(position, turned)
    op.inputs[0] = turned.output
    with pytest.raises(DetectionHeadError, match="no pair of boxes"):
        find_layouts(graph)
