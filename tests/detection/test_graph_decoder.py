"""A decoder inside a graph is found, solved by its answers and cut off, however it is spelled."""

from __future__ import annotations

import numpy as np
import pytest
from tests.detection.conv_detector import HEIGHT, WIDTH, Spelling, anchors, conv_detector

from coralsmith.detection.decode import decode_boxes
from coralsmith.detection.graph_decoder import find_graph_decoder
from coralsmith.graph.executor import Executor

SPELLINGS = [
    Spelling(x_first, corners, in_pixels, scales)
    for x_first in (True, False)
    for corners in (True, False)
    for in_pixels in (True, False)
    for scales in ((10.0, 10.0, 5.0, 5.0), (1.0, 1.0, 1.0, 1.0))
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=str)
def test_every_spelling_gives_its_anchors_coder_and_boxes(spelling: Spelling) -> None:
    graph = conv_detector(spelling)
    decoder = find_graph_decoder(graph)
    assert decoder is not None
    np.testing.assert_allclose(decoder.anchors, anchors(), atol=1e-5)
    assert decoder.box_coder.order == ("xywh" if spelling.x_first else "yxhw")
    assert decoder.box_coder.scales == spelling.scales

    image = np.random.default_rng(1).uniform(-1, 1, graph.inputs[0].shape).astype(np.float32)
    own = decoder.form.corners(Executor(graph).run(image)[0][0])
    shorter = decoder.cut(graph)
    shorter.verify("the test")
    raw, scores = Executor(shorter).run(image)
    np.testing.assert_allclose(decode_boxes(raw[0], decoder.anchors, decoder.box_coder), own, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(scores, Executor(graph).run(image)[1])
    assert "EXP" not in [op.kind for op in shorter.ops]
    assert [tensor.name for tensor in graph.outputs] == ["boxes", "scores"], "the graph itself is as it was"


def test_raw_boxes_are_no_decoder() -> None:
    assert find_graph_decoder(conv_detector()) is None


def test_a_decoder_that_clips_to_anything_but_the_image_is_left_in_place() -> None:
    assert find_graph_decoder(conv_detector(Spelling(clipped=(0.3, 0.7)))) is None
    assert find_graph_decoder(conv_detector(Spelling(clipped=(0.0, 1.0), in_pixels=True))) is None


@pytest.mark.parametrize("in_pixels", [False, True])
@pytest.mark.parametrize("x_first", [False, True])
def test_a_decoder_that_clips_to_the_image_is_recovered(in_pixels: bool, x_first: bool) -> None:
    limits = np.array([WIDTH, HEIGHT] * 2 if x_first else [HEIGHT, WIDTH] * 2) if in_pixels else 1.0
    decoder = find_graph_decoder(conv_detector(Spelling(x_first, in_pixels=in_pixels, clipped=(0.0, limits))))
    assert decoder is not None
    assert decoder.clips
    np.testing.assert_allclose(decoder.anchors, anchors(), atol=1e-5)


def test_scales_that_differ_are_told_in_the_order_of_the_columns() -> None:
    decoder = find_graph_decoder(conv_detector(Spelling(scales=(8.0, 9.0, 4.0, 3.0))))
    assert decoder is not None
    assert decoder.box_coder.scales == (8.0, 9.0, 4.0, 3.0)
