"""pipeline.config is read with the defaults of its schema; what no head describes is named, damage too."""

from __future__ import annotations

from pathlib import Path

import pytest

from coralsmith.detection import pipeline_config
from coralsmith.detection.anchor_generators import MultiscaleGenerator
from coralsmith.detection.head import BoxCoder, NmsSpec
from coralsmith.detection.pipeline_config import find_pipeline_config, read_pipeline_config
from coralsmith.errors import DetectionHeadError, InputError

PARTS = {
    "classes": "num_classes: 2",
    "resizer": "image_resizer { fixed_shape_resizer { height: 32 width: 48 } }",
    "extractor": "feature_extractor { type: 'ssd_mobilenet_v2_keras' }",
    "coder": "box_coder { faster_rcnn_box_coder { } }",
    "anchors": "anchor_generator { ssd_anchor_generator { num_layers: 2 aspect_ratios: [1, 2, 0.5, 3, 0.3333] } }",
    "post": "post_processing { score_converter: SIGMOID }",
}


def pipeline(tail: str = "", **changed: str) -> str:
    """The text of a small pipeline.config with some parts in place of others."""
    return "model { ssd { " + "\n".join((PARTS | changed).values()) + " } }\n" + tail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pipeline.config"


def read(path: Path, tail: str = "", **changed: str) -> pipeline_config.PipelineConfig:
    path.write_text(pipeline(tail, **changed))
    return read_pipeline_config(path)


def test_a_genuine_file(shared: Path) -> None:
    config = read_pipeline_config(shared / "models/tf2_od_api_ssd_mobilenet_v2_random/pipeline.config")
    assert (config.image_size, config.resize, config.extractor) == (
        (300, 300),
        "stretch",
        "ssd_mobilenet_v2_keras",
    )
    assert (config.classes, config.background, config.activation) == (5, True, "sigmoid")
    assert config.generator.boxes == [3, 6, 6, 6, 6, 6]
    assert config.box_coder == BoxCoder("yxhw", (10, 10, 5, 5))
    assert config.nms == NmsSpec(0.6, 1e-8, 100)
    assert config.label_map == ""


def test_what_is_left_out_has_the_default_of_the_schema(path: Path) -> None:
    config = read(path, post="", resizer="image_resizer { fixed_shape_resizer { } }")
    assert config.image_size == (300, 300)
    assert config.box_coder == BoxCoder("yxhw", (10, 10, 5, 5))
    assert config.nms == NmsSpec(0.6, 0.0, 100)
    assert (config.activation, config.logit_scale, config.background) == ("none", 1.0, True)


def test_every_other_value_is_taken(path: Path) -> None:
    config = read(
        path,
        coder="box_coder { faster_rcnn_box_coder { y_scale: 1 x_scale: 2 height_scale: 3 width_scale: 4 } }",
        post="""post_processing {
            batch_non_max_suppression { score_threshold: 0.2 iou_threshold: 0.4 max_total_detections: 7 }
            score_converter: SOFTMAX logit_scale: 2 }""",
        classes="num_classes: 3 add_background_class: false",
        anchors="anchor_generator { multiscale_anchor_generator { aspect_ratios: 1 min_level: 4 max_level: 5 } }",
        tail=r"eval_input_reader { label_map_path: 'C:\\data\\labels.pbtxt' }",
    )
    assert config.box_coder.scales == (1, 2, 3, 4)
    assert config.nms == NmsSpec(0.4, 0.2, 7)
    assert (config.activation, config.logit_scale, config.background) == ("softmax", 2.0, False)
    assert isinstance(config.generator, MultiscaleGenerator)
    assert config.label_map == "labels.pbtxt"


def test_only_the_name_of_a_label_map_counts(path: Path) -> None:
    assert read(path, "train_input_reader { label_map_path: '../../etc/passwd' }").label_map == "passwd"


def test_padding_keeps_the_aspect_ratio_and_without_it_the_size_is_open(path: Path) -> None:
    keeping = "image_resizer {{ keep_aspect_ratio_resizer {{ min_dimension: 320 max_dimension: 320 {} }} }}"
    config = read(path, resizer=keeping.format("pad_to_max_dimension: true"))
    assert (config.image_size, config.resize) == ((320, 320), "letterbox")
    assert read(path, resizer=keeping.format("")).image_size is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"coder": "box_coder { mean_stddev_box_coder { } }"}, "box coder is mean_stddev_box_coder"),
        ({"coder": ""}, "box coder is none"),
        (
            {"anchors": "anchor_generator { grid_anchor_generator { } }"},
            "anchor generator is grid_anchor_generator",
        ),
        ({"anchors": ""}, "anchor generator is none"),
        ({"resizer": "image_resizer { identity_resizer { } }"}, "image resizer is identity_resizer"),
        ({"post": "post_processing { score_converter: MAGIC }"}, "score converter is MAGIC"),
        ({"coder": "box_coder { faster_rcnn_box_coder { y_scale: 0 } }"}, "box_coder.scales"),
        ({"post": "post_processing { batch_non_max_suppression { iou_threshold: 2 } }"}, "nms.iou"),
    ],
)
def test_what_no_head_describes_is_named(path: Path, changed: dict[str, str], message: str) -> None:
    with pytest.raises(DetectionHeadError, match=rf"pipeline\.config: .*{message}") as caught:
        read(path, **changed)
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["faster_rcnn", "center_net"])
def test_another_kind_of_detector_is_no_ssd(path: Path, kind: str) -> None:
    path.write_text(f"model {{ {kind} {{ num_classes: 3 }} }}")
    with pytest.raises(DetectionHeadError, match=f"'{kind}', not an SSD"):
        read_pipeline_config(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no 'model"),
        (b"train_config { }", "no 'model"),
        (pipeline()[:-9].encode(), "open messages"),
        (b"a {" * 100_000, "nests deeper"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (pipeline(classes="num_classes: 0").encode(), "num_classes"),
        (pipeline(classes="num_classes: many").encode(), "not a number"),
        (pipeline(resizer="image_resizer { fixed_shape_resizer { height: 100000000 } }").encode(), "height"),
    ],
)
def test_damage_is_an_error_that_names_the_file_and_the_way_out(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"pipeline\.config.*{message}") as caught:
        read_pipeline_config(path)
    assert "rename the file" in caught.value.hint


def test_a_large_file_is_not_read_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_config, "MAX_BYTES", 100)
    path.write_text(pipeline())
    with pytest.raises(InputError, match="larger than 100 bytes"):
        read_pipeline_config(path)


def test_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_pipeline_config(path)


def test_it_is_found_in_the_folder_of_a_model_and_beside_it(tmp_path: Path) -> None:
    saved_model = tmp_path / "exported" / "saved_model"
    saved_model.mkdir(parents=True)
    model = tmp_path / "exported" / "model.tflite"
    model.touch()
    assert find_pipeline_config(saved_model) is None
    (tmp_path / "exported" / "pipeline.config").touch()
    for source in (saved_model, model, saved_model.parent):
        assert find_pipeline_config(source) == tmp_path / "exported" / "pipeline.config"
    (saved_model / "pipeline.config").touch()
    assert find_pipeline_config(saved_model) == saved_model / "pipeline.config"
