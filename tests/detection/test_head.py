"""A detection head checks itself, keeps every bit through `head.json`, and tells which field is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.errors import DetectionHeadError, OutputError
from coralsmith.graph import Graph, Tensor

SIGNED_UNIT = InputSpec((300, 300), scale=1 / 127.5, offset=-1.0)
ANCHORS = np.array([[0.25, 0.25, 0.1, 0.2], [0.75, 0.75, 0.3, 0.4], [0.5, 0.5, 0.9, 0.9]], np.float32)


def make_head(**changes: Any) -> DetectionHead:
    fields: dict[str, Any] = {
        "input": SIGNED_UNIT,
        "boxes": "raw_boxes",
        "scores": "raw_scores",
        "anchors": ANCHORS,
        "labels": ("cat", "dog"),
        "box_coder": BoxCoder("yxhw", (10.0, 10.0, 5.0, 5.0)),
        "score": ScoreSpec("sigmoid", None),
        "nms": NmsSpec(0.6, 0.3, 20),
        "category_ids": (17, 18),
        "evidence": "made for a test",
    }
    return DetectionHead(**{**fields, **changes})


def make_graph(
    boxes: tuple[int, ...] = (1, 3, 4),
    scores: tuple[int, ...] = (1, 3, 2),
    size: tuple[int, int] = (300, 300),
) -> Graph:
    real = np.dtype(np.float32)
    outputs = [Tensor("raw_scores", scores, real), Tensor("raw_boxes", boxes, real)]
    return Graph([], [Tensor("image", (1, *size, 3), real)], outputs)


class TestNormalisation:
    def test_scale_and_offset_act_on_pixels(self) -> None:
        pixels = np.array([[[0, 51, 255]]], np.uint8)
        assert np.allclose(SIGNED_UNIT.normalise(pixels), [[[-1.0, -0.6, 1.0]]], atol=1e-6)

    def test_mean_and_std_act_on_each_channel(self) -> None:
        spec = InputSpec((2, 2), mean=(100.0, 50.0, 0.0), std=(50.0, 25.0, 255.0))
        pixels = np.full((4, 2, 2, 3), 100, np.uint8)
        real = spec.normalise(pixels)
        assert real.dtype == np.float32
        assert real.shape == pixels.shape
        assert np.allclose(real[3, 1, 1], [0.0, 2.0, 100 / 255])

    def test_real_range_spans_all_channels(self) -> None:
        assert SIGNED_UNIT.real_range() == pytest.approx((-1.0, 1.0))
        spec = InputSpec((2, 2), mean=(0.0, 127.5, 255.0), std=(255.0, 127.5, 255.0))
        assert spec.real_range() == pytest.approx((-1.0, 1.0))

    def test_pixels_that_are_already_real_are_refused(self) -> None:
        with pytest.raises(TypeError, match="uint8"):
            SIGNED_UNIT.normalise(np.zeros((300, 300, 3), np.float32))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"scale": 1.0},
            {"scale": 1.0, "offset": 0.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
            {"scale": 1.0, "std": (1.0, 1.0, 1.0)},
            {"scale": 0.0, "offset": 0.0},
            {"mean": (0.0, 0.0, 0.0), "std": (1.0, 0.0, 1.0)},
        ],
    )
    def test_exactly_one_usable_normalisation_is_given(self, changes: dict[str, Any]) -> None:
        with pytest.raises(DetectionHeadError, match="input"):
            InputSpec((300, 300), **changes)


class TestParts:
    @pytest.mark.parametrize(
        ("field", "make"),
        [
            ("input.size", lambda: InputSpec((300, 0), scale=1.0, offset=0.0)),
            ("box_coder.order", lambda: BoxCoder("hwyx")),  # type: ignore[arg-type]
            ("box_coder.scales", lambda: BoxCoder("yxhw", (10.0, 10.0, 5.0, 0.0))),
            ("box_coder.scales", lambda: BoxCoder("yxhw", (10.0, 10.0, 5.0, float("nan")))),
            ("scores.activation", lambda: ScoreSpec("relu")),  # type: ignore[arg-type]
            ("scores.background", lambda: ScoreSpec("sigmoid", -1)),
            ("scores.background", lambda: make_head(score=ScoreSpec("softmax", 3))),
            ("nms.iou", lambda: NmsSpec(iou=0.0)),
            ("nms.score", lambda: NmsSpec(score=1.5)),
            ("nms.max_detections", lambda: NmsSpec(max_detections=0)),
            ("labels", lambda: make_head(labels=())),
            ("category_ids", lambda: make_head(category_ids=(1,))),
            ("outputs", lambda: make_head(boxes="same", scores="same")),
            (r"anchors\[1\]", lambda: make_head(anchors=ANCHORS * [[1], [np.nan], [1]])),
            (r"anchors\[2\]", lambda: make_head(anchors=ANCHORS * [[1], [1], [-1]])),
            ("anchors", lambda: make_head(anchors=ANCHORS[:, :3])),
            ("anchors", lambda: make_head(anchors=ANCHORS[:0])),
            ("anchors .* not in pixels", lambda: make_head(anchors=ANCHORS * 300)),
        ],
    )
    def test_a_wrong_value_is_told_by_the_name_of_its_field(self, field: str, make: Callable[[], object]) -> None:
        with pytest.raises(DetectionHeadError, match=field) as caught:
            make()
        assert caught.value.hint

    def test_a_background_adds_a_score_column(self) -> None:
        assert make_head().score_columns == 2
        assert make_head(score=ScoreSpec("softmax", 0)).score_columns == 3

    def test_anchors_cannot_be_changed_from_outside(self) -> None:
        mine = ANCHORS.copy()
        head = make_head(anchors=mine)
        mine[:] = 7
        assert np.array_equal(head.anchors, ANCHORS)
        with pytest.raises(ValueError, match="read-only"):
            head.anchors[0] = 0


class TestDocument:
    def test_has_the_fields_of_the_published_schema(self) -> None:
        assert json.loads(json.dumps(make_head().to_json())) == {
            "schema": "coralsmith/head/1",
            "input": {"size": [300, 300], "scale": 1 / 127.5, "offset": -1.0, "resize": "stretch"},
            "outputs": {"boxes": "raw_boxes", "scores": "raw_scores"},
            "anchors": [[0.25, 0.25, 0.1, 0.2], [0.75, 0.75, 0.3, 0.4], [0.5, 0.5, 0.9, 0.9]],
            "box_coder": {"order": "yxhw", "scales": [10.0, 10.0, 5.0, 5.0]},
            "scores": {"activation": "sigmoid", "background": None},
            "nms": {"iou": 0.6, "score": 0.3, "max_detections": 20},
            "labels": ["cat", "dog"],
            "category_ids": [17, 18],
            "evidence": "made for a test",
        }

    @pytest.mark.parametrize(
        "head",
        [
            make_head(),
            make_head(input=InputSpec((192, 256), mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), resize="letterbox")),
            make_head(score=ScoreSpec("softmax", 0), category_ids=None, box_coder=BoxCoder("xywh")),
            make_head(labels=('"anchors": []', "红细胞"), evidence='"anchors": []\n'),
        ],
    )
    def test_a_saved_head_loads_as_it_was(self, head: DetectionHead, tmp_path: Path) -> None:
        path = tmp_path / "a folder" / "head.json"
        path.parent.mkdir()
        head.save(path)
        assert DetectionHead.load(path).to_json() == head.to_json()
        assert [entry.name for entry in path.parent.iterdir()] == ["head.json"]

    @given(
        arrays.arrays(
            np.float32,
            (5, 4),
            elements=st.floats(np.float32(1e-30), 4.0, width=32, allow_subnormal=False),
        )
    )
    def test_anchors_keep_every_bit(self, anchors: np.ndarray) -> None:
        text = json.dumps(make_head(anchors=anchors).to_json())
        assert np.array_equal(DetectionHead.from_json(json.loads(text)).anchors, anchors)

    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("schema", lambda d: d.update(schema="coralsmith/head/9")),
            ("schema", lambda d: d.pop("schema")),
            ("anchors.1.3", lambda d: d["anchors"][1].__setitem__(3, "wide")),
            ("anchors.0.2", lambda d: d["anchors"][0].__setitem__(2, float("nan"))),
            ("anchors.2.3", lambda d: d["anchors"][2].pop()),
            ("anchors", lambda d: d["anchors"][0].__setitem__(2, 1e300)),
            ("input.size", lambda d: d["input"].update(size=[300])),
            ("input.size.1", lambda d: d["input"].update(size=[300, 300.5])),
            ("input.resize", lambda d: d["input"].update(resize="crop")),
            ("input", lambda d: d["input"].pop("offset")),
            ("input.ofset", lambda d: d["input"].update(ofset=1.0)),
            ("outputs.scores", lambda d: d["outputs"].pop("scores")),
            ("box_coder.order", lambda d: d["box_coder"].update(order="hwyx")),
            ("box_coder.scales", lambda d: d["box_coder"].update(scales=[10.0, 10.0, 5.0])),
            ("scores.background", lambda d: d["scores"].update(background=True)),
            ("nms.iou", lambda d: d["nms"].update(iou=2.0)),
            ("labels.0", lambda d: d["labels"].__setitem__(0, 1)),
            ("category_ids", lambda d: d.update(category_ids=[1, 2, 3])),
        ],
    )
    def test_a_wrong_field_is_named(self, field: str, change: Callable[[Any], None]) -> None:
        document = make_head().to_json()
        change(document)
        with pytest.raises(DetectionHeadError, match=field):
            DetectionHead.from_json(document)

    def test_what_is_no_json_is_refused(self) -> None:
        for document in (None, [], {"labels": {"cat", "dog"}}):
            with pytest.raises(DetectionHeadError):
                DetectionHead.from_json(document)

    @pytest.mark.parametrize(
        "content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"schema": 1' * 3, b"9" * 9999]
    )
    def test_a_file_that_is_no_head_is_refused(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "head.json"
        path.write_bytes(content)
        with pytest.raises(DetectionHeadError) as caught:
            DetectionHead.load(path)
        assert "b'" not in caught.value.message

    def test_a_missing_file_and_a_huge_file_are_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(DetectionHeadError, match="No such file"):
            DetectionHead.load(tmp_path / "none.json")
        monkeypatch.setattr("coralsmith.detection.head_document.MAX_FILE_BYTES", 10)
        make_head().save(tmp_path / "head.json")
        with pytest.raises(DetectionHeadError, match="larger than 10 bytes"):
            DetectionHead.load(tmp_path / "head.json")

    def test_a_folder_that_is_not_there_is_an_output_error(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError):
            make_head().save(tmp_path / "none" / "head.json")


class TestCheckAgainst:
    def test_a_head_that_belongs_to_the_graph_passes_whatever_the_order_of_outputs(self) -> None:
        make_head().check_against(make_graph())
        make_head(score=ScoreSpec("softmax", 0)).check_against(make_graph(scores=(1, 3, 3)))

    @pytest.mark.parametrize(
        ("message", "head", "graph"),
        [
            ("input.size", make_head(), make_graph(size=(320, 320))),
            ("outputs.boxes.*'other'.*'raw_scores' \\[1, 3, 2\\]", make_head(boxes="other"), make_graph()),
            ("swapped", make_head(boxes="raw_scores", scores="raw_boxes"), make_graph()),
            ("anchors is a list of 3", make_head(), make_graph((1, 5, 4), (1, 5, 2))),
            ("labels is for 2 columns", make_head(), make_graph(scores=(1, 3, 3))),
            ("outputs.boxes is for 4 columns", make_head(), make_graph(boxes=(1, 3, 5))),
        ],
    )
    def test_what_differs_is_told(self, message: str, head: DetectionHead, graph: Graph) -> None:
        with pytest.raises(DetectionHeadError, match=message):
            head.check_against(graph)
