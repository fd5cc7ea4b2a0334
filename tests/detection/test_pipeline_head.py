"""A pipeline.config makes the head of a bare network, completes a carried one, and must belong to the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.detection.test_pipeline_config import pipeline
from tests.tiny_detector import CLASSES, MAPS, SIDE, tiny_detector, tiny_head

from coralsmith.detection.anchors import CONFIG_RATIOS, ssd_anchors
from coralsmith.detection.head import DetectionHead, InputSpec, NmsSpec
from coralsmith.detection.head_choice import choose_head
from coralsmith.detection.pipeline_config import PipelineConfig, read_pipeline_config
from coralsmith.detection.pipeline_head import completed_by_pipeline, head_from_pipeline
from coralsmith.detection.postprocess_op import append_score_activation, attach_postprocess_op
from coralsmith.errors import DetectionHeadError, InputError

ANCHORS = ssd_anchors([(cells, cells) for cells, _ in MAPS], (SIDE, SIDE), ratios=CONFIG_RATIOS)
FITTING = {
    "resizer": f"image_resizer {{ fixed_shape_resizer {{ height: {SIDE} width: {SIDE} }} }}",
    "classes": f"num_classes: {CLASSES} add_background_class: false",
}
LABEL_MAP = "item { id: 1 name: 'port' } item { id: 2 name: 'starboard' }"
NAMES_MAP = "train_input_reader { label_map_path: '/content/labels.pbtxt' }"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pipeline.config"


def config(path: Path, tail: str = "", **changed: str) -> PipelineConfig:
    path.write_text(pipeline(tail, **{**FITTING, **changed}))
    return read_pipeline_config(path)


def measured() -> DetectionHead:
    """A head whose normalisation and suppression are no usual assumptions."""
    return replace(tiny_head(), input=InputSpec((SIDE, SIDE), 1 / 255, 0.0), nms=NmsSpec(0.55, 0.3, 20))


def test_it_makes_the_head_of_a_bare_network(path: Path) -> None:
    head = head_from_pipeline(tiny_detector(), config(path))
    head.check_against(tiny_detector())
    assert np.array_equal(head.anchors, ANCHORS)
    assert (head.score.activation, head.score.background) == ("sigmoid", None)
    assert head.input == InputSpec((SIDE, SIDE), scale=1 / 127.5, offset=-1.0)
    assert head.category_ids == (1, 2)
    for fact in ("the graph", "ssd_anchor_generator", "sigmoid by pipeline.config", "names no label map"):
        assert fact in head.evidence


def test_an_activation_in_the_graph_is_not_applied_again(path: Path) -> None:
    graph, _ = append_score_activation(tiny_detector(), tiny_head())
    head = head_from_pipeline(graph, config(path))
    assert head.score.activation == "none"
    assert "the graph applies LOGISTIC" in head.evidence


def test_labels_come_from_the_map_beside_the_file(path: Path) -> None:
    found = config(path, NAMES_MAP)
    assert "'labels.pbtxt' is not beside" in head_from_pipeline(tiny_detector(), found).evidence
    (path.parent / "labels.pbtxt").write_text(LABEL_MAP)
    assert head_from_pipeline(tiny_detector(), found).labels == ("port", "starboard")
    (path.parent / "labels.pbtxt").write_text(LABEL_MAP + "item { id: 3 name: 'keel' }")
    with pytest.raises(DetectionHeadError, match=r"'labels\.pbtxt' names 3 classes, .* has 2"):
        head_from_pipeline(tiny_detector(), found)
    (path.parent / "labels.pbtxt").write_text("item { id: 1")
    with pytest.raises(InputError, match=r"labels\.pbtxt"):
        head_from_pipeline(tiny_detector(), found)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"resizer": "image_resizer { fixed_shape_resizer { } }"}, "the input.*32x32 pixels.*300x300"),
        ({"classes": "num_classes: 2"}, "2 columns.*2 classes and a background column"),
        ({"classes": "num_classes: 9 add_background_class: false"}, "2 columns.*9 classes and no background"),
        (
            {"anchors": "anchor_generator { ssd_anchor_generator { num_layers: 2 aspect_ratios: 1 } }"},
            r"\[3, 6\] boxes a cell.*\[3, 2\]",
        ),
        (
            {"anchors": "anchor_generator { multiscale_anchor_generator { aspect_ratios: 1 } }"},
            r"boxes a cell.*\[2, 2, 2, 2, 2\]",
        ),
        ({"extractor": "feature_extractor { type: 'mine' }"}, "'mine', whose normalisation is not known"),
        ({"post": "post_processing { score_converter: SIGMOID logit_scale: 3 }"}, "divides raw scores by 3"),
    ],
)
def test_a_file_of_another_model_makes_no_head(path: Path, changed: dict[str, str], message: str) -> None:
    with pytest.raises(DetectionHeadError, match=message) as caught:
        head_from_pipeline(tiny_detector(), config(path, **changed))
    assert caught.value.hint


def test_boxes_and_scores_of_four_columns_are_told_by_their_names_or_not_at_all(path: Path) -> None:
    from tests.detection.spelled_detector import REDUCED, SpelledDetector

    detector = SpelledDetector(REDUCED, 4).graph()
    size = detector.inputs[0].shape[1]
    fitting = {
        "resizer": f"image_resizer {{ fixed_shape_resizer {{ height: {size} width: {size} }} }}",
        "classes": "num_classes: 3",
        "anchors": f"anchor_generator {{ ssd_anchor_generator {{ num_layers: {len(REDUCED)} "
        "aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333] } }",
    }
    assert head_from_pipeline(detector, config(path, **fitting)).boxes == "boxes"
    for tensor in detector.outputs:
        tensor.name = f"Identity_{tensor.name[0]}"
    with pytest.raises(DetectionHeadError, match="Both outputs have four columns"):
        head_from_pipeline(detector, config(path, **fitting))


def test_a_carried_head_keeps_what_was_measured(path: Path) -> None:
    resnet = config(path, extractor="feature_extractor { type: 'my_own' }")
    head = completed_by_pipeline(measured(), tiny_detector(), resnet)
    assert head.input == measured().input
    assert head.nms == measured().nms
    assert np.array_equal(head.anchors, measured().anchors)
    assert head.labels == ("class 1", "class 2")
    assert "ssd_anchor_generator of pipeline.config makes the same anchors" in head.evidence


def test_what_was_only_assumed_comes_from_the_file(path: Path) -> None:
    assumed = replace(tiny_head(), nms=NmsSpec())
    found = config(
        path,
        extractor="feature_extractor { type: 'ssd_resnet50_v1_fpn_keras' }",
        post="post_processing { score_converter: SIGMOID batch_non_max_suppression { iou_threshold: 0.7 } }",
    )
    head = completed_by_pipeline(assumed, tiny_detector(), found)
    assert head.input.mean == (123.68, 116.779, 103.939)
    assert head.nms == NmsSpec(0.7, 0.0, 100)
    assert "ssd_resnet50_v1_fpn_keras" in head.evidence


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"resizer": "image_resizer { fixed_shape_resizer { } }"}, "the input"),
        ({"classes": "num_classes: 3 add_background_class: false"}, "2 classes in the model, 3 in the file"),
        ({"coder": "box_coder { faster_rcnn_box_coder { y_scale: 5 } }"}, "the box coder"),
        (
            {"anchors": "anchor_generator { ssd_anchor_generator { num_layers: 2 min_scale: 0.3 "
                        "aspect_ratios: [1, 2, 0.5, 3, 0.3333] } }"},
            "the anchors",
        ),
        ({"extractor": "feature_extractor { type: 'ssd_resnet50_v1_fpn' }"}, "another normalisation"),
    ],
)  # fmt: skip
def test_a_contradiction_to_the_model_is_an_error(path: Path, changed: dict[str, str], message: str) -> None:
    with pytest.raises(DetectionHeadError, match=f"does not belong to the model: .*{message}") as caught:
        completed_by_pipeline(measured(), tiny_detector(), config(path, **changed))
    assert "rename the file" in caught.value.hint


def test_it_is_found_beside_the_model_or_given_as_the_head(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "model.tflite"
    config(path)
    for head in (
        choose_head(tiny_detector(), path.parent / "model.tflite"),
        choose_head(tiny_detector(), elsewhere, head_file=path),
    ):
        assert np.array_equal(head.anchors, ANCHORS)
    with pytest.raises(DetectionHeadError, match="recognised on images"):
        choose_head(tiny_detector(), elsewhere)


def test_the_operator_in_a_model_is_completed_too(path: Path) -> None:
    config(path, NAMES_MAP)
    (path.parent / "labels.pbtxt").write_text(LABEL_MAP)
    graph = attach_postprocess_op(*append_score_activation(tiny_detector(), tiny_head()))
    head = choose_head(graph, path.parent / "model.tflite")
    assert head.labels == ("port", "starboard")
    assert head.nms == NmsSpec(0.6, 0.2, 10)
