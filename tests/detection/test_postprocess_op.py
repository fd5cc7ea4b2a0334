"""LiteRT's own TFLite_Detection_PostProcess, attached by us, finds what the numpy decode finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import builders

from coralsmith.detection.anchors import ssd_anchors
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.detection.head_decoder import decode_detections
from coralsmith.detection.postprocess_op import (
    OUTPUT_NAMES,
    append_score_activation,
    attach_postprocess_op,
    detach_postprocess_op,
    find_postprocess_op,
)
from coralsmith.errors import DetectionHeadError, MalformedModelError
from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.graph.executor import Executor, as_real
from coralsmith.graph.reader import parse_tflite, read_tflite
from coralsmith.graph.writer import serialize


def table_graph(count: int, columns: int, dtype: str = "float32") -> Graph:
    """A graph that hands channel 0 of its image [1, count, 4 + columns, 3] out as raw boxes and scores."""
    image = builders.activation("image", (1, count, 4 + columns, 3))
    ops, outputs = [], []
    for name, begin, width in (("boxes", 0, 4), ("scores", 4, columns)):
        limits = [
            builders.constant(f"{name}_begin", [0, 0, begin, 0], np.int32),
            builders.constant(f"{name}_size", [1, count, width, 1], np.int32),
        ]
        cut = builders.activation(f"{name}_cut", (1, count, width, 1))
        ops.append(Op("SLICE", [image, *limits], [cut]))
        shape = builders.constant(f"{name}_shape", [1, count, width], np.int32)
        ops.append(builders.op("RESHAPE", [cut, shape], f"raw_{name}"))
        if dtype != "float32":
            ops.append(builders.op("QUANTIZE", [ops[-1].output], f"quantized_{name}", np.dtype(dtype)))
            zero_point = 128 + int(np.iinfo(dtype).min) if name == "boxes" else int(np.iinfo(dtype).min)
            scale = 0.08 if name == "boxes" else 1 / 256
            ops[-1].output.quant = Quant.per_tensor(scale, zero_point)
        outputs.append(ops[-1].output)
    return builders.graph(ops, [image], outputs)


def head_for(graph: Graph, classes: int, nms: NmsSpec, score: ScoreSpec, seed: int = 0) -> DetectionHead:
    _, height, width, _ = graph.inputs[0].shape
    noise = np.random.default_rng(seed)
    anchors = np.concatenate([noise.uniform(0, 1, (height, 2)), noise.uniform(0.05, 0.6, (height, 2))], axis=1)
    names = tuple(f"class {index}" for index in range(classes))
    spec = InputSpec((height, width), scale=1.0, offset=0.0)
    boxes, scores = (tensor.name for tensor in graph.outputs)
    return DetectionHead(spec, boxes, scores, anchors.astype(np.float32), names, score=score, nms=nms)


def as_image(raw_boxes: np.ndarray, raw_scores: np.ndarray) -> np.ndarray:
    table = np.concatenate([raw_boxes, raw_scores], axis=1).astype(np.float32)
    return np.repeat(table[None, :, :, None], 3, axis=3)


def run_op(graph: Graph, *inputs: np.ndarray) -> Detections:
    """The rows that the operator counts; rows beyond the count are never written."""
    boxes, classes, scores, count = Executor(graph, threads=1).run(*inputs)
    found = int(count[0])
    return Detections(boxes[0, :found], classes[0, :found].astype(np.int64), scores[0, :found])


def assert_same(found: Detections, expected: Detections) -> None:
    assert found.class_ids.tolist() == expected.class_ids.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-5)


@st.composite
def scenes(draw: st.DrawFn) -> dict[str, Any]:
    """Random raw outputs with tied scores, and limits."""
    count, classes = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    background = draw(st.sampled_from([None, 0]))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([4, 20, 250]))
    columns = classes + (background is not None)
    return {
        "classes": classes,
        "background": background,
        "boxes": noise.normal(0, 3, (count, 4)),
        "scores": noise.integers(0, levels + 1, (count, columns)) / levels,
        "nms": NmsSpec(
            draw(st.sampled_from([0.1, 0.3, 0.5, 0.6, 1.0])),
            draw(st.sampled_from([0.0, 0.25, 0.5, 0.9])),
            draw(st.integers(1, 50)),
        ),
        "dtype": draw(st.sampled_from(["float32", "int8", "uint8"])),
    }


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_the_operator_finds_what_the_fast_numpy_decode_finds(scene: dict[str, Any]) -> None:
    graph = table_graph(*scene["scores"].shape, scene["dtype"])
    head = head_for(graph, scene["classes"], scene["nms"], ScoreSpec("none", scene["background"]))
    image = as_image(scene["boxes"], scene["scores"])
    raw = Executor(graph, threads=1).run(image)
    real = [as_real(tensor, value) for tensor, value in zip(graph.outputs, raw, strict=True)]
    assert_same(run_op(attach_postprocess_op(graph, head), image), decode_detections(*real, head, per_class=False))


class TestAttach:
    graph = table_graph(6, 3)
    head = head_for(graph, 3, NmsSpec(0.5, 0.25, 7), ScoreSpec("none"))

    def test_outputs_stand_in_the_order_that_frigate_and_pycoral_read(self) -> None:
        attached = attach_postprocess_op(self.graph, self.head)
        assert tuple(tensor.name for tensor in attached.outputs) == OUTPUT_NAMES
        assert [tensor.shape for tensor in attached.outputs] == [(1, 7, 4), (1, 7), (1, 7), (1,)]
        assert {tensor.dtype for tensor in attached.outputs} == {np.dtype(np.float32)}

    def test_the_given_graph_stays_as_it_was(self) -> None:
        before = len(self.graph.ops)
        attach_postprocess_op(self.graph, self.head)
        assert len(self.graph.ops) == before
        assert [tensor.name for tensor in self.graph.outputs] == ["raw_boxes", "raw_scores"]

    @pytest.mark.parametrize("dtype", ["int8", "uint8"])
    def test_quantized_outputs_are_dequantized_and_anchors_stay_float(self, dtype: str) -> None:
        graph = table_graph(6, 3, dtype)
        head = head_for(graph, 3, NmsSpec(), ScoreSpec("none"))
        attached = attach_postprocess_op(graph, head)
        assert [op.kind for op in attached.ops[-3:]] == ["DEQUANTIZE", "DEQUANTIZE", "CUSTOM"]
        anchors = attached.ops[-1].inputs[2]
        assert anchors is not None
        assert anchors.dtype == np.float32

    def test_the_written_file_holds_the_operator_and_works(self) -> None:
        attached = parse_tflite(serialize(attach_postprocess_op(self.graph, self.head)))
        image = as_image(np.zeros((6, 4)), np.eye(6, 3) * 0.9)
        expected = decode_detections(np.zeros((6, 4)), np.eye(6, 3) * 0.9, self.head, per_class=False)
        assert len(expected) == 3
        assert_same(run_op(attached, image), expected)

    def test_same_head_same_bytes(self) -> None:
        first, second = (serialize(attach_postprocess_op(self.graph, self.head)) for _ in range(2))
        assert first == second

    @pytest.mark.parametrize(
        ("field", "changes"),
        [
            ("scores.activation", {"score": ScoreSpec("sigmoid")}),
            ("box_coder.order", {"box_coder": BoxCoder("xywh")}),
            ("scores.background", {"labels": ("a", "b"), "score": ScoreSpec("none", 2)}),
            ("labels", {"labels": ("a", "b")}),
        ],
    )
    def test_a_head_it_cannot_express_is_refused(self, field: str, changes: dict[str, Any]) -> None:
        with pytest.raises(DetectionHeadError, match=field):
            attach_postprocess_op(self.graph, replace(self.head, **changes))


class TestActivation:
    @pytest.mark.parametrize(("activation", "kind"), [("sigmoid", "LOGISTIC"), ("softmax", "SOFTMAX")])
    def test_moves_from_the_head_into_the_graph(self, activation: Any, kind: str) -> None:
        graph = table_graph(5, 3)
        head = head_for(graph, 2, NmsSpec(0.5, 0.0, 9), ScoreSpec(activation, 0))
        with_op, same_head = append_score_activation(graph, head)
        assert with_op.ops[-1].kind == kind
        assert same_head.score == ScoreSpec("none", 0)
        same_head.check_against(with_op)
        noise = np.random.default_rng(3)
        image = as_image(noise.normal(0, 1, (5, 4)), noise.normal(0, 4, (5, 3)))
        before = decode_detections(*Executor(graph).run(image), head)
        after = decode_detections(*Executor(with_op).run(image), same_head)
        assert len(before) > 0
        assert_same(after, before)

    def test_probabilities_are_left_alone(self) -> None:
        graph = table_graph(5, 2)
        head = head_for(graph, 2, NmsSpec(), ScoreSpec("none"))
        assert append_score_activation(graph, head) == (graph, head)

    def test_a_quantized_score_output_is_refused(self) -> None:
        graph = table_graph(5, 2, "int8")
        with pytest.raises(DetectionHeadError, match="int8"):
            append_score_activation(graph, head_for(graph, 2, NmsSpec(), ScoreSpec("sigmoid")))


class TestDetach:
    @pytest.mark.parametrize("dtype", ["float32", "int8"])
    @pytest.mark.parametrize("background", [None, 0])
    def test_gives_back_what_was_attached(self, dtype: str, background: int | None) -> None:
        graph = table_graph(6, 3, dtype)
        classes = 3 - (background is not None)
        head = head_for(graph, classes, NmsSpec(0.6, 0.25, 7), ScoreSpec("none", background))
        raw, read = detach_postprocess_op(attach_postprocess_op(graph, head))
        assert [repr(op) for op in raw.ops] == [repr(op) for op in graph.ops]
        assert [tensor.name for tensor in raw.outputs] == [tensor.name for tensor in graph.outputs]
        expected, found = head.to_json(), read.to_json()
        assert {key for key in expected if expected[key] != found[key]} <= {"input", "evidence"}

    def test_a_graph_without_the_operator_is_told(self) -> None:
        with pytest.raises(DetectionHeadError, match="holds no TFLite_Detection_PostProcess"):
            detach_postprocess_op(table_graph(5, 2))

    @given(st.data())
    @settings(max_examples=150)
    def test_damaged_options_are_a_clear_error(self, data: st.DataObject) -> None:
        attached = attach_postprocess_op(TestAttach.graph, TestAttach.head)
        content = bytearray(attached.ops[-1].custom_options)
        for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
            content[position] = data.draw(st.integers(0, 255))
        attached.ops[-1].custom_options = bytes(content[: data.draw(st.integers(0, len(content)))])
        try:
            _, head = detach_postprocess_op(attached)
        except (MalformedModelError, DetectionHeadError) as error:
            assert error.message
        else:
            assert head.score_columns == 3

    def test_reads_the_head_of_the_classic_coco_model(self, shared: Path) -> None:
        graph = read_tflite(shared / "models/ssd_mobilenet_v1_coco_quant/model.tflite")
        raw, head = detach_postprocess_op(graph)
        assert find_postprocess_op(raw) is None
        assert [tensor.shape for tensor in raw.outputs] == [(1, 1917, 4), (1, 1917, 91)]
        assert len(head.labels) == 90
        assert head.score == ScoreSpec("none", 0)
        assert head.nms == NmsSpec(0.6, 1e-8, 10)
        assert head.input == InputSpec((300, 300), scale=1 / 128, offset=-1.0)
        formula = ssd_anchors([(side, side) for side in (19, 10, 5, 3, 2, 1)], (300, 300))
        quant_step = 0.0065
        assert np.abs(head.anchors - formula).max() < quant_step
        noise = np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3), np.uint8)
        self._assert_ops_agree(graph, raw, head, noise)

    @staticmethod
    def _assert_ops_agree(graph: Graph, raw: Graph, head: DetectionHead, image: np.ndarray) -> None:
        """The model's own operator, ours on dequantized outputs, and numpy: three times the same."""
        values = Executor(raw).run(image)
        real = [as_real(tensor, value) for tensor, value in zip(raw.outputs, values, strict=True)]
        expected = decode_detections(*real, head, per_class=False)
        assert_same(run_op(graph, image), expected)
        assert_same(run_op(attach_postprocess_op(raw, head), image), expected)


def test_a_quantized_input_states_its_normalisation() -> None:
    graph = attach_postprocess_op(TestAttach.graph, TestAttach.head)
    source = graph.inputs[0]
    real = np.array([-1.0, 0.0, 1.0])
    for dtype, zero_point in (("uint8", 128), ("int8", 0)):
        quant = Quant.per_tensor(1 / 128, zero_point)
        image = Tensor("image", source.shape, np.dtype(dtype), quant=quant)
        pixels = np.array([0, 128, 255], np.uint8)
        quantized = graph.copy()
        quantized.replace_tensor(quantized.inputs[0], image)
        quantized.inputs = [image]
        spec = detach_postprocess_op(quantized)[1].input
        assert np.allclose(spec.normalise(pixels[None, :, None].repeat(3, axis=2))[0, :, 0], real, atol=0.01)
