"""Imports through TensorFlow, most on small models written for the test, the last ones on trained detectors."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import numpy as np
import pytest

from coralsmith.detection.anchors import CONFIG_RATIOS, ssd_anchors
from coralsmith.errors import InputError, MalformedModelError, MissingExtraError, UnsupportedModelError
from coralsmith.graph.writer import serialize
from coralsmith.importers import Imported, framework_import, import_model
from coralsmith.importers.canonical import canonicalise

slow = pytest.mark.slow


def test_without_tensorflow_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(framework_import, "find_spec", lambda name: None if name == "tensorflow" else find(name))
    path = tmp_path / "detector.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(MissingExtraError) as caught:
        import_model(path)
    assert caught.value.hint == "pip install 'coralsmith[tensorflow]'"
    assert caught.value.exit_code == 3


def check_tiny_detector(imported: Imported, outputs: tuple[str, str]) -> None:
    assert [(t.name, t.shape) for t in imported.graph.outputs] == [
        (outputs[0], (1, 2560, 4)),
        (outputs[1], (1, 2560, 3)),
    ]
    assert imported.graph.inputs[0].shape == (1, 64, 64, 3)
    assert not any(tensor.shape_signature for tensor in imported.graph.tensors())
    assert imported.verification is not None
    assert imported.verification.worst.relative < 1e-5


@slow
@pytest.mark.parametrize(
    ("name", "library", "outputs"),
    [
        ("keras3.h5", "keras", ("boxes", "classes")),
        ("keras2.h5", "tf_keras", ("boxes", "classes")),
        ("own_losses.keras", "keras", ("boxes", "classes")),
        ("saved model", "tensorflow", ("output_0", "output_1")),
    ],
)
def test_every_form_of_a_keras_model_imports(
    sources: Path, name: str, library: str, outputs: tuple[str, str]
) -> None:
    imported = import_model(sources / name)
    check_tiny_detector(imported, outputs)
    assert library in imported.source.versions
    assert imported.source.usage is not None
    assert imported.source.usage.seconds > 0


@slow
@pytest.mark.parametrize("name", ["dynamic_batch.tflite", "dynamic_range.tflite", "half.tflite"])
def test_what_the_converter_writes_by_default_becomes_static(sources: Path, name: str) -> None:
    imported = import_model(sources / name)
    assert [t.shape for t in imported.graph.outputs] == [(1, 2560, 4), (1, 2560, 3)]
    assert not any(t.shape_signature for t in imported.graph.tensors())
    constants = [t for each in imported.graph.ops for t in each.inputs if t is not None and t.is_constant]
    assert {t.dtype.name for t in constants} <= {"float32", "int32"}
    assert imported.verification is not None
    assert imported.verification.passed


@slow
def test_an_int8_model_of_the_converter_is_kept(sources: Path) -> None:
    imported = import_model(sources / "int8.tflite")
    assert imported.is_quantized
    assert imported.verification is not None
    assert imported.verification.worst_difference == 0


@slow
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("lambda.keras", UnsupportedModelError, "code of its own: Lambda, __lambda__"),
        ("only.weights.h5", MalformedModelError, "weights only"),
        ("open_size.keras", UnsupportedModelError, "no fixed size"),
        ("open_size.tflite", UnsupportedModelError, "no fixed size"),
        ("two_signatures", UnsupportedModelError, "not clear which signature.*convolve, halve"),
        ("without_anchors.pb", MalformedModelError, "TFLite_Detection_PostProcess in the graph has 2 inputs"),
        ("without_weights.tflite", UnsupportedModelError, "VAR_HANDLE, READ_VARIABLE"),
    ],
)
def test_what_cannot_be_read_says_why(sources: Path, name: str, error: type[InputError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        import_model(sources / name)
    assert caught.value.hint


@slow
def test_a_lambda_layer_runs_only_with_trust(sources: Path) -> None:
    imported = import_model(sources / "lambda.keras", trust=True)
    assert imported.verification is not None
    assert imported.verification.passed


@slow
@pytest.mark.parametrize("name", ["open_size.keras", "open_size.tflite"])
def test_an_open_size_takes_the_callers(sources: Path, name: str) -> None:
    imported = import_model(sources / name, input_size=(48, 80))
    assert imported.graph.inputs[0].shape == (1, 48, 80, 3)
    assert imported.graph.outputs[0].shape == (1, 2 * (24 * 40 + 12 * 20), 4)


@slow
def test_a_named_signature_is_read(sources: Path) -> None:
    imported = import_model(sources / "two_signatures", signature="halve")
    assert [(t.name, t.shape) for t in imported.graph.outputs] == [("half", (1, 32, 32, 3))]


@slow
def test_a_damaged_file_leaves_a_log_but_nothing_in_the_temporary_folder(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    damaged = tmp_path / "cut.h5"
    damaged.write_bytes((sources / "keras3.h5").read_bytes()[:3000])
    with pytest.raises(MalformedModelError, match="damaged"):
        import_model(damaged, log=tmp_path / "log.txt")
    assert "Traceback" in (tmp_path / "log.txt").read_text()
    assert list(temporary.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@slow
def test_a_frozen_classifier_imports_without_a_head(sources: Path) -> None:
    imported = import_model(sources / "classifier.pb")
    assert imported.head is None
    assert [(t.name, t.shape) for t in imported.graph.outputs] == [("probabilities", (1, 5))]


@slow
def test_a_frozen_detector_with_other_conventions_gives_its_head_away(
    sources: Path, street_photos: list[np.ndarray]
) -> None:
    imported = import_model(sources / "frozen.pb", images=street_photos)
    head = imported.head
    assert head is not None
    assert head.input.size == (48, 64)
    assert (head.input.mean, head.input.std) == ((120, 110, 100), (60, 62, 64))
    assert (head.box_coder.order, head.box_coder.scales) == ("xywh", (8, 8, 4, 4))
    assert (head.score.activation, head.score.background) == ("softmax", 2)
    assert (head.nms.iou, head.nms.score, head.nms.max_detections) == (0.45, 0.2, 7)
    np.testing.assert_allclose(head.anchors, np.load(sources / "frozen_anchors.npy"), atol=1e-6)
    assert imported.verification is not None
    assert max(difference.worst for difference in imported.verification.detections) < 1e-5


@slow
def test_a_frozen_graph_that_ends_in_the_operator_tells_its_head(sources: Path) -> None:
    imported = import_model(sources / "postprocess.pb")
    head = imported.head
    assert head is not None
    head.check_against(imported.graph)
    np.testing.assert_array_equal(head.anchors, np.load(sources / "frozen_anchors.npy"))
    assert (head.box_coder.order, head.box_coder.scales) == ("yxhw", (8, 8, 4, 4))
    assert (head.score.activation, head.score.background) == ("none", 0)
    assert (head.nms.iou, head.nms.score, head.nms.max_detections) == (0.55, 0.0, 9)


@slow
def test_the_frozen_coco_detector_is_cut_at_its_raw_heads_and_proved(
    shared: Path, street_photos: list[np.ndarray]
) -> None:
    path = shared / "models/coco_ssdlite_mobilenet_v2/coco_ssdlite_frozen.pb"
    imported = import_model(path, images=street_photos)
    assert [(t.name, t.shape) for t in imported.graph.outputs] == [
        ("boxes", (1, 1917, 4)),
        ("scores", (1, 1917, 91)),
    ]
    assert imported.source.output_names == {"boxes": "concat", "scores": "concat_1"}
    kinds = {each.kind for each in imported.graph.ops}
    assert kinds == {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "ADD_N", "RESHAPE", "CONCATENATION"}
    head = imported.head
    assert head is not None
    head.check_against(imported.graph)
    assert (head.input.size, head.input.resize) == ((300, 300), "stretch")
    assert (head.input.scale, head.input.offset) == (pytest.approx(1 / 127.5), -1)
    assert (head.box_coder.order, head.box_coder.scales) == ("yxhw", (10, 10, 5, 5))
    assert (head.score.activation, head.score.background) == ("sigmoid", 0)
    assert head.category_ids == tuple(range(1, 91))
    maps = [(n, n) for n in (19, 10, 5, 3, 2, 1)]
    generated = ssd_anchors(maps, (300, 300), ratios=CONFIG_RATIOS)
    np.testing.assert_allclose(head.anchors, generated, atol=1e-5)
    assert imported.verification is not None
    assert imported.verification.worst.relative < 1e-4
    assert [difference.name for difference in imported.verification.detections] == [
        "decoded boxes",
        "class probabilities",
    ]


@slow
def test_three_forms_of_one_detector_give_the_same_bytes(
    shared: Path, sources: Path, blood_cells: list[np.ndarray]
) -> None:
    """Their weights are bit-identical after conversion; order and names are what canonicalise makes equal."""
    model = shared / "models/bccd_ssdlite"
    files = set()
    for path in (model / "bccd_ssdlite.keras", sources / "detector", model / "bccd_ssdlite_float.tflite"):
        imported = import_model(path, images=blood_cells)
        assert imported.verification is not None
        assert imported.verification.worst.relative < 1e-4
        boxes, scores = (tensor.name for tensor in imported.graph.outputs)
        canonicalise(imported.graph, {boxes: "boxes", scores: "scores"})
        files.add(serialize(imported.graph))
    assert len(files) == 1
