"""One trained face detector in four forms: with and without its decoder, as ONNX, PyTorch weights and .tflite.

The forms must give the same detections on the photos that show faces.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.compat.check import check_graph
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.head_decoder import decode_detections
from coralsmith.detection.nms import intersection_over_union
from coralsmith.detection.preprocess import resize_image
from coralsmith.detection.raw_outputs import raw_outputs
from coralsmith.detection.recognition import recognise
from coralsmith.graph import Graph
from coralsmith.importers import Imported, import_model
from tests.importers.conftest import photos

pytest.importorskip("onnx", reason="needs coralsmith[onnx]")
pytestmark = pytest.mark.slow

FACTORY = "tests.importers.torch.ultralight:FaceDetector"
SIZE = (240, 320)
PHOTOS = 20


@pytest.fixture(scope="module")
def pictures(shared: Path) -> list[np.ndarray]:
    paths = sorted((shared / "data/coco_permissive_train").rglob("*.jpg"))[:PHOTOS]
    return [resize_image(photo, SIZE) for photo in photos(paths)]


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "models/ultralight_face"


@pytest.fixture(scope="module")
def decoding(folder: Path, pictures: list[np.ndarray]) -> Imported:
    return import_model(folder / "version-RFB-320.onnx", images=pictures)


@pytest.fixture(scope="module")
def raw(folder: Path, pictures: list[np.ndarray]) -> Imported:
    return import_model(folder / "version-RFB-320_without_postprocessing.onnx", images=pictures)


def detections(graph: Graph, head: DetectionHead, pictures: list[np.ndarray]) -> list[Detections]:
    names = [tensor.name for tensor in graph.outputs]
    places = names.index(head.boxes), names.index(head.scores)
    return [
        decode_detections(values[places[0]], values[places[1]], head)
        for values in raw_outputs(graph, head.input, pictures)
    ]


def share_found_again(sources: list[Detections], found: list[Detections]) -> float:
    """Share of the source's detections of score 0.3 or more that are found with the class and IoU 0.99."""
    again, count = 0, 0
    for source, other in zip(sources, found, strict=True):
        for box, label, score in zip(source.boxes, source.class_ids, source.scores, strict=True):
            if score < 0.3:
                continue
            count += 1
            same = other.boxes[other.class_ids == label]
            again += bool(len(same)) and float(intersection_over_union(box, same.T).max()) >= 0.99
    assert count > 20, "the photos show faces"
    return again / count


def test_the_decoder_is_cut_off_and_its_head_proved(decoding: Imported) -> None:
    head = decoding.head
    assert head is not None
    assert [op.kind for op in decoding.graph.ops if op.kind in ("EXP", "TRANSPOSE", "SHAPE", "FILL")] == []
    assert (head.box_coder.order, head.box_coder.scales) == ("xywh", (10.0, 10.0, 5.0, 5.0))
    assert (head.score.activation, head.score.background) == ("none", 0)
    assert head.input.mean == (127.0, 127.0, 127.0)
    assert decoding.verification is not None
    assert decoding.verification.images == 8
    assert decoding.verification.worst.relative <= 1e-4
    assert len(decoding.verification.detections) == 2


def test_without_a_decoder_the_head_is_recognised_on_photos(
    raw: Imported, decoding: Imported, pictures: list[np.ndarray]
) -> None:
    head = recognise(raw.graph, pictures)
    assert decoding.head is not None
    np.testing.assert_allclose(head.anchors, decoding.head.anchors, atol=1e-6)
    assert head.box_coder == decoding.head.box_coder
    assert head.score == decoding.head.score
    assert "Ultra-Light face detector" in head.evidence


def test_all_but_the_softmax_are_predicted_on_the_edge_tpu_in_one_partition(decoding: Imported) -> None:
    report = check_graph(decoding.graph, model="face", as_if_quantized=True)
    elsewhere = {(op.kind, op.target) for op in report.ops if op.target != "edgetpu"}
    assert elsewhere == {("SOFTMAX", "unknown")}
    assert report.partitions == 1


@pytest.mark.parametrize("form", ["raw.onnx", "tflite", "pth"])
def test_every_form_gives_the_same_detections(
    form: str, raw: Imported, decoding: Imported, folder: Path, pictures: list[np.ndarray]
) -> None:
    assert decoding.head is not None
    expected = detections(decoding.graph, decoding.head, pictures)
    if form == "raw.onnx":
        graph = raw.graph
    elif form == "tflite":
        graph = import_model(folder / "version-RFB-320_without_postprocessing.tflite", images=pictures).graph
    else:
        pytest.importorskip("torch", reason="needs coralsmith[torch]")
        pytest.importorskip("onnxscript", reason="needs coralsmith[torch]")
        imported = import_model(
            folder / "version-RFB-320.pth", factory=FACTORY, input_size=SIZE, images=pictures[:4]
        )
        assert imported.verification is not None
        assert imported.verification.reference.startswith("torch ")
        graph = imported.graph
    found = detections(graph, recognise(graph, pictures), pictures)
    assert share_found_again(expected, found) >= 0.995
    assert share_found_again(found, expected) >= 0.995
