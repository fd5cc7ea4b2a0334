"""Box columns x, y, w, h become y, x, h, w by exchanging filters, for the operator that reads only those."""

from __future__ import annotations

import numpy as np
import pytest
from tests import builders
from tests.detection.conv_detector import CLASSES, HEIGHT, WIDTH, anchors, conv_detector

from coralsmith.detection.box_order import in_operator_order
from coralsmith.detection.decode import decode_boxes
from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec, ScoreSpec
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph, Op
from coralsmith.graph.executor import Executor

XYWH = BoxCoder("xywh", (10.0, 9.0, 5.0, 4.0))


def head(coder: BoxCoder = XYWH) -> DetectionHead:
    return DetectionHead(
        input=InputSpec((HEIGHT, WIDTH), scale=1 / 127.5, offset=-1.0),
        boxes="boxes",
        scores="scores",
        anchors=anchors(),
        labels=tuple("abc"[:CLASSES]),
        box_coder=coder,
        score=ScoreSpec("sigmoid"),
    )


def test_the_decoded_boxes_stay_the_same() -> None:
    graph = conv_detector()
    image = np.random.default_rng(2).uniform(-1, 1, graph.inputs[0].shape).astype(np.float32)
    changed, new = in_operator_order(graph, head())
    assert new.box_coder == BoxCoder("yxhw", (9.0, 10.0, 4.0, 5.0))
    old_boxes, old_scores = Executor(graph).run(image)
    boxes, scores = Executor(changed).run(image)
    expected = decode_boxes(old_boxes[0], head().anchors, XYWH)
    np.testing.assert_allclose(decode_boxes(boxes[0], new.anchors, new.box_coder), expected, atol=1e-6)
    np.testing.assert_array_equal(scores, old_scores)
    assert len(changed.ops) == len(graph.ops), "nothing is added that would run"


def test_a_reshape_that_asks_for_the_shape_of_the_boxes_does_no_harm() -> None:
    graph = conv_detector()
    shape = Op(
        "SHAPE", [graph.tensor("boxes_0")], [builders.activation("shape", (4,), np.int32)], {"out_type": "INT32"}
    )
    graph.ops.append(shape)
    graph.outputs.append(shape.output)
    assert in_operator_order(graph, head())[1].box_coder.order == "yxhw"


def test_the_right_order_is_left_alone() -> None:
    graph = conv_detector()
    assert in_operator_order(graph, head(BoxCoder()))[0] is graph


def refused(graph: Graph, match: str) -> None:
    with pytest.raises(DetectionHeadError, match=match) as caught:
        in_operator_order(graph, head())
    assert "--postprocess none" in caught.value.hint


def test_boxes_that_share_their_convolution_are_refused() -> None:
    graph = conv_detector()
    convolution = graph.tensor("boxes_0")
    graph.ops.append(Op("RELU", [convolution], [builders.activation("more", convolution.shape)]))
    graph.outputs.append(graph.ops[-1].output)
    refused(graph, "'boxes_0' is not a convolution of its own")


def test_boxes_with_an_activation_behind_their_convolution_are_refused() -> None:
    graph = conv_detector()
    op = graph.producers()[graph.tensor("boxes_1")]
    op.attributes["fused_activation_function"] = "RELU"
    refused(graph, "'boxes_1' is not a convolution of its own")
