"""The whole road from an ONNX detector with its decoder inside to an int8 model that ends in the operator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.api import convert
from coralsmith.detection.feeding import model_input
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.head_decoder import decode_detections
from coralsmith.detection.postprocess_op import detach_postprocess_op
from coralsmith.detection.preprocess import resize_image
from coralsmith.graph.executor import Executor, real_outputs
from coralsmith.graph.reader import read_tflite
from tests.importers.conftest import photos

pytest.importorskip("onnx", reason="needs coralsmith[onnx]")
pytestmark = pytest.mark.slow


def test_a_face_detector_ends_in_int8_with_the_operator_and_all_but_its_softmax_on_the_edge_tpu(
    shared: Path, tmp_path: Path
) -> None:
    source = shared / "models/ultralight_face/version-RFB-320.onnx"
    images = shared / "data/coco_permissive_train"
    report = convert(source, images, tmp_path / "out", samples=30, compiler="none")
    assert report.verdict.status != "blocked"
    elsewhere = [(op["kind"], op["target"]) for op in report.check["ops"] if op["target"] != "edgetpu"]
    assert sorted(elsewhere) == [
        ("CUSTOM", "cpu"),
        ("DEQUANTIZE", "cpu"),
        ("DEQUANTIZE", "cpu"),
        ("SOFTMAX", "unknown"),
    ]
    assert report.check["partitions"] == 1

    final = read_tflite(tmp_path / "out/version-RFB-320_int8.tflite")
    assert [tuple(tensor.shape) for tensor in final.outputs] == [(1, 100, 4), (1, 100), (1, 100), (1,)]
    head = DetectionHead.load(tmp_path / "out/head.json")
    assert head.box_coder.order == "yxhw"
    assert head.score.background == 0
    raw, _ = detach_postprocess_op(final)
    operator, network = Executor(final), Executor(raw)
    seen = 0
    for photo in photos(sorted(images.rglob("*.jpg"))):
        pixels = resize_image(photo, head.input.size)[None]
        boxes, classes, scores, count = operator.run(model_input(final.inputs[0], pixels, head.input))
        network.invoke(model_input(raw.inputs[0], pixels, head.input))
        found = decode_detections(*real_outputs(network), head, per_class=False)
        number = int(count[0])
        assert number == len(found.scores)
        np.testing.assert_allclose(scores[0, :number], found.scores, atol=1e-5)
        np.testing.assert_allclose(np.sort(boxes[0, :number], axis=0), np.sort(found.boxes, axis=0), atol=1e-4)
        assert not classes[0, :number].any()
        seen += int((found.scores >= 0.5).sum())
    assert seen >= 5, "the photos show faces"
