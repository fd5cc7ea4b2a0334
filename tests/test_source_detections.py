"""A source that its own framework runs finds what the float graph made of it finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coralsmith.detection.head import InputSpec
from coralsmith.evaluation.agreement import measure_agreement
from coralsmith.evaluation.dataset import AnnotatedImage
from coralsmith.evaluation.ledger import Contender
from coralsmith.evaluation.looking import look
from coralsmith.findings import Finding
from coralsmith.importers.imported import ImportOptions
from coralsmith.importers.importing import import_model
from coralsmith.measured_model import MeasuredModel, decoding_of, detector_like, load_model, measured_graph
from coralsmith.source_detections import source_contender
from tests.tiny_detector import write_photos, write_tiny_detector

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def images_of(folder: Path, count: int) -> list[AnnotatedImage]:
    nothing = np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, bool)
    return [AnnotatedImage(path, None, *nothing) for path in sorted(folder.glob("*.*"))[:count]]


@pytest.fixture(scope="module")
def decoding_face(shared: Path) -> MeasuredModel:
    """A trained face detector as ONNX that decodes its boxes itself; pixels are normalised in a way of its own."""
    pytest.importorskip("onnxruntime")
    return load_model(shared / "models" / "ultralight_face" / "version-RFB-320.onnx")


@pytest.fixture(scope="module")
def face(decoding_face: MeasuredModel, shared: Path) -> MeasuredModel:
    """The same detector without its decoder, with the head that the decoder gave."""
    imported = import_model(shared / "models" / "ultralight_face" / "version-RFB-320_without_postprocessing.onnx")
    boxes, scores = sorted(imported.graph.outputs, key=lambda tensor: -tensor.shape[-1])
    head = replace(decoding_face.head, boxes=boxes.name, scores=scores.name)
    return replace(measured_graph(imported.graph, head, "face.onnx"), imported=imported)


def run(model: MeasuredModel, images: list[AnnotatedImage]) -> Contender | Finding | None:
    assert model.imported is not None
    return source_contender(model.imported, model.head, ImportOptions(), decoding_of(model), images)


def test_onnxruntime_finds_what_the_float_graph_finds(face: MeasuredModel, shared: Path) -> None:
    images = images_of(shared / "data" / "coco_permissive_val" / "images", 6)
    source = run(face, images)
    assert isinstance(source, Contender) and source.form == "source" and source.name.startswith("ONNX")
    graph = look(detector_like(face, decoding_of(face)).detect, images)
    assert sum(map(len, graph.detections)) > 0
    for found, expected in zip(source.seen.detections, graph.detections, strict=True):
        np.testing.assert_array_equal(found.class_ids, expected.class_ids)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-4)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    again = run(face, images)  # from the cache
    assert isinstance(again, Contender)
    assert measure_agreement(again.seen, source.seen, source.classes, resamples=10).ap == pytest.approx(1)


def test_a_source_that_would_be_fed_otherwise_is_not_measured(face: MeasuredModel, shared: Path) -> None:
    """The check of what the source was fed: here its outputs are read with a head of another image size."""
    assert face.imported is not None
    images = images_of(shared / "data" / "coco_permissive_val" / "images", 1)
    other = replace(face.head, input=InputSpec((120, 160), 1 / 128, -127 / 128))
    result = source_contender(face.imported, other, ImportOptions(), decoding_of(face), images)
    assert isinstance(result, Finding) and result.rule == "source-not-measured"


def test_a_source_whose_raw_heads_were_cut_out_of_it_is_not_measured(
    decoding_face: MeasuredModel, shared: Path
) -> None:
    result = run(decoding_face, images_of(shared / "data" / "coco_permissive_val" / "images", 1))
    assert isinstance(result, Finding) and "decodes its boxes itself" in result.reason


def test_a_tflite_source_has_no_other_framework(tmp_path: Path) -> None:
    model = load_model(write_tiny_detector(tmp_path))
    assert run(model, images_of(write_photos(tmp_path / "photos", 1), 1)) is None
