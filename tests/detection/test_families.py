"""Each family of detectors is told from all others on photos, by a trained detector that speaks its convention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import builders
from tests.detection.respelled import (
    BOXES,
    MAPS,
    SOURCE,
    Convention,
    respelled,
    softmax_with_background,
    with_background,
)

from coralsmith.comparison import check_operator
from coralsmith.detection.anchors import CONFIG_RATIOS, default_boxes, multiscale_anchors, ssd_anchors
from coralsmith.detection.box_order import in_operator_order
from coralsmith.detection.decode import decode_boxes
from coralsmith.detection.head import BoxCoder, DetectionHead, ScoreSpec
from coralsmith.detection.pixel_priors import FAMILIES
from coralsmith.detection.postprocess_op import append_score_activation, attach_postprocess_op
from coralsmith.detection.raw_outputs import raw_outputs
from coralsmith.detection.recognition import recognise
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph
from coralsmith.graph.writer import serialize
from coralsmith.importers import import_model
from coralsmith.runtime.detector import Detector

pytestmark = pytest.mark.slow

SIZES = [(side, side) for side in MAPS]
IMAGE = (300, 300)
PIXEL_PRIORS = FAMILIES[1].anchors(SIZES, IMAGE)
UNREDUCED = ssd_anchors(SIZES, IMAGE, reduce_lowest=False)

FAMILY = {
    "TF Object Detection API": (Convention(SOURCE), "ssd_anchor_generator", ScoreSpec("sigmoid")),
    "MediaPipe, background in column 0": (
        Convention(ssd_anchors(SIZES, IMAGE, ratios=CONFIG_RATIOS), BoxCoder(), *with_background()),
        "ssd_anchor_generator",
        ScoreSpec("sigmoid", 0),
    ),
    "torchvision": (
        Convention(default_boxes(SIZES), BoxCoder("xywh"), *softmax_with_background()),
        "torchvision ssdlite320",
        ScoreSpec("softmax", 0),
    ),
    "qfgaohao, softmax in the graph": (
        Convention(PIXEL_PRIORS, BoxCoder("xywh"), *softmax_with_background(), "SOFTMAX"),
        "qfgaohao",
        ScoreSpec("none", 0),
    ),
    "Keras, no variances": (
        Convention(SOURCE, BoxCoder("yxhw", (1.0, 1.0, 1.0, 1.0))),
        "ssd_anchor_generator",
        ScoreSpec("sigmoid"),
    ),
    "Keras, all maps alike, x before y": (
        Convention(UNREDUCED, BoxCoder("xywh")),
        "ssd_anchor_generator",
        ScoreSpec("sigmoid"),
    ),
}


def own_rows(rows: np.ndarray) -> np.ndarray:
    """The rows that are the original detector's own, without those of neighbouring cells."""
    kept, first = [], 0
    for side, boxes in zip(MAPS, BOXES, strict=True):
        wanted = len(rows) - len(SOURCE) + side * side * boxes if side == MAPS[0] else side * side * boxes
        kept.append(rows[first : first + wanted].reshape(side * side, -1, 4)[:, :boxes].reshape(-1, 4))
        first += wanted
    return np.concatenate(kept)


def decoded(graph: Graph, head: DetectionHead, image: np.ndarray) -> np.ndarray:
    values = next(raw_outputs(graph, head.input, [image]))
    raw = values[[tensor.name for tensor in graph.outputs].index(head.boxes)][0]
    return decode_boxes(raw, head.anchors, head.box_coder)


@pytest.mark.parametrize("family", FAMILY)
def test_the_right_family_wins(family: str, bccd_graph: Graph, bccd_images: list[np.ndarray]) -> None:
    convention, name, score = FAMILY[family]
    graph = respelled(bccd_graph, convention)
    head = recognise(graph, bccd_images[:4])
    assert np.abs(head.anchors - convention.anchors).max() < 2e-4
    assert head.box_coder == convention.box_coder
    assert head.score == score
    assert f"anchors: {name}" in head.evidence
    original = replace(recognise(bccd_graph, bccd_images[:4]), input=head.input)
    expected = decoded(bccd_graph, original, bccd_images[0])
    np.testing.assert_allclose(own_rows(decoded(graph, head, bccd_images[0])), expected, atol=1e-3)


def test_a_keras_ssd_that_puts_out_its_anchors_needs_no_recognition(
    bccd_graph: Graph, bccd_images: list[np.ndarray], tmp_path: Path
) -> None:
    """Probabilities, offsets, anchors (cx, cy, w, h) in pixels and variances side by side, as in ssd_keras."""
    convention = Convention(SOURCE, BoxCoder("xywh"), *softmax_with_background(), "SOFTMAX")
    graph = respelled(bccd_graph, convention)
    boxes, scores = graph.outputs
    table = (SOURCE[:, [1, 0, 3, 2]] * 300)[None]
    variances = np.tile(np.array([0.1, 0.1, 0.2, 0.2], np.float32), (1, len(SOURCE), 1))
    constants = [builders.constant("anchors", table, np.float32), builders.constant("variances", variances)]
    joined = [scores, boxes, *constants]
    graph.ops.append(builders.op("CONCATENATION", joined, "all", axis=2, fused_activation_function="NONE"))
    graph.outputs = [graph.ops[-1].output]
    (tmp_path / "keras.tflite").write_bytes(serialize(graph))
    imported = import_model(tmp_path / "keras.tflite", images=bccd_images[:4])
    head = imported.head
    assert head is not None
    assert head.score == ScoreSpec("none", 0)
    assert head.box_coder == BoxCoder("xywh")
    expected = decoded(bccd_graph, recognise(bccd_graph, bccd_images[:4]), bccd_images[0])
    np.testing.assert_allclose(decoded(imported.graph, head, bccd_images[0]), expected, atol=1e-4)


UNPUBLISHED: dict[str, Callable[[], Convention]] = {
    "scales 0.1 to 0.7": lambda: Convention(ssd_anchors(SIZES, IMAGE, min_scale=0.1, max_scale=0.7)),
    "other variances": lambda: Convention(SOURCE, BoxCoder("yxhw", (5.0, 5.0, 5.0, 5.0))),
    "a pyramid of other base boxes": lambda: Convention(
        multiscale_anchors(SIZES, IMAGE, min_level=4, anchor_scale=2.0)
    ),
}


@pytest.mark.parametrize("case", UNPUBLISHED)
def test_what_no_family_says_is_a_question_with_the_evidence(
    case: str, bccd_graph: Graph, bccd_images: list[np.ndarray]
) -> None:
    graph = respelled(bccd_graph, UNPUBLISHED[case]())
    with pytest.raises(DetectionHeadError, match=r"trained otherwise|No anchor set") as caught:
        recognise(graph, bccd_images[:4])
    assert "--head" in caught.value.hint
    assert len(caught.value.evidence) > 2
    assert all(float(fact.split()[0]) <= 1 for fact in caught.value.evidence)


def test_an_untrained_detector_is_a_question(bccd_graph: Graph, bccd_images: list[np.ndarray]) -> None:
    graph = respelled(bccd_graph, Convention(SOURCE))
    noise = np.random.default_rng(0)
    for op in graph.ops:
        if op.kind == "CONV_2D":
            weights = op.required_input("filter")
            op.inputs[1] = weights.constant(weights.name, noise.normal(0, 0.05, weights.shape).astype(np.float32))
    with pytest.raises(DetectionHeadError):
        recognise(graph, bccd_images[:4])


@pytest.mark.parametrize(
    "convention",
    [
        Convention(SOURCE),
        Convention(SOURCE, BoxCoder("xywh"), *softmax_with_background()),
        Convention(SOURCE, BoxCoder("yxhw", (1.0, 1.0, 1.0, 1.0)), *with_background()),
    ],
    ids=["sigmoid", "softmax with background, x before y", "background, no variances"],
)
def test_the_operator_finds_what_decoding_finds(
    convention: Convention, bccd_graph: Graph, bccd_images: list[np.ndarray]
) -> None:
    graph = respelled(bccd_graph, convention)
    head = recognise(graph, bccd_images[:4])
    raw, raw_head = append_score_activation(*in_operator_order(graph, head))
    final = attach_postprocess_op(raw, raw_head)
    assert [tensor.shape for tensor in final.outputs] == [(1, 100, 4), (1, 100), (1, 100), (1,)]
    assert check_operator(raw, final, raw_head, bccd_images[:4]) == []
    decoded_here = Detector(graph, head, per_class=False).detect_resized(bccd_images[0])
    by_operator = Detector(final, raw_head).detect_resized(bccd_images[0])
    assert by_operator.class_ids.tolist() == decoded_here.class_ids.tolist()
    np.testing.assert_allclose(by_operator.scores, decoded_here.scores, atol=1e-5)
    np.testing.assert_allclose(by_operator.boxes, decoded_here.boxes, atol=1e-4)
