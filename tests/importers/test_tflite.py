from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.errors import InputError, MalformedModelError, UnsupportedModelError
from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.graph.writer import serialize, serialize_for_interpreter
from coralsmith.importers import import_model
from coralsmith.importers.tflite import DYNAMIC_RANGE_TOLERANCE
from tests.builders import CONVOLUTION, activation, conv_graph, graph, op, random_constant


def written(source: Graph, folder: Path) -> Path:
    path = folder / "a model.tflite"
    path.write_bytes(serialize_for_interpreter(source)[0])
    return path


def test_a_float_model_comes_back_verified_and_named(tmp_path: Path) -> None:
    imported = import_model(written(conv_graph(), tmp_path))
    assert imported.source.format == "tflite"
    assert len(imported.source.sha256) == 64
    assert imported.head is None
    assert not imported.is_quantized
    assert imported.source.output_names == {"conv": "conv"}
    assert imported.graph.inputs[0].name == "image"
    assert imported.verification is not None
    assert imported.verification.reference == "LiteRT"
    assert imported.verification.worst_difference == 0


def test_without_pictures_it_says_that_noise_was_used(tmp_path: Path) -> None:
    path = written(conv_graph(), tmp_path)
    assert "import-verified-on-noise" in [finding.rule for finding in import_model(path).findings]
    pictures = [np.zeros((20, 30, 3), np.uint8), np.full((9, 9, 3), 200, np.uint8)]
    imported = import_model(path, images=pictures)
    assert imported.findings == []
    assert imported.verification is not None
    assert (imported.verification.images, imported.verification.real_images) == (2, True)


def test_a_relative_path_and_a_folder_that_may_only_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(conv_graph(), tmp_path)
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o500)
    try:
        assert import_model(path.name).source.path == path
    finally:
        tmp_path.chmod(0o700)


def test_a_path_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(conv_graph(), tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert import_model("~/a model.tflite").source.path == path


def test_half_weights_are_expanded_and_the_outputs_stay(tmp_path: Path) -> None:
    image = activation("image", (1, 8, 8, 3))
    values = np.random.default_rng(0).normal(0, 0.3, (4, 3, 3, 3)).astype(np.float16)
    weights = Tensor("weights", values.shape, np.dtype(np.float32))
    expand = Op("DEQUANTIZE", [Tensor.constant("half", values)], [weights])
    conv = op("CONV_2D", [image, weights, random_constant("bias", (4,))], "conv", **CONVOLUTION)
    imported = import_model(written(graph([expand, conv], [image]), tmp_path))
    assert [each.kind for each in imported.graph.ops] == ["CONV_2D"]
    assert imported.source.notes == ("1 weights stored in fewer bits were expanded to float32.",)
    assert imported.verification is not None
    assert imported.verification.worst.relative < 1e-6


def test_dynamic_range_weights_are_expanded_within_the_rounding_of_the_interpreter(tmp_path: Path) -> None:
    image = activation("image", (1, 8, 8, 16))
    integers = np.random.default_rng(0).integers(-127, 128, (16, 3, 3, 16)).astype(np.int8)
    weights = Tensor.constant("weights", integers, Quant(np.full(16, 0.01, np.float32), np.zeros(16, np.int64), 0))
    conv = op("CONV_2D", [image, weights, random_constant("bias", (16,))], "conv", **CONVOLUTION)
    imported = import_model(written(graph([conv], [image]), tmp_path))
    assert not imported.is_quantized
    assert imported.graph.ops[0].required_input("filter").dtype == np.float32
    assert imported.verification is not None
    assert 0 < imported.verification.worst.relative < 0.02
    assert imported.verification.tolerance == DYNAMIC_RANGE_TOLERANCE


def quantized_conv() -> Graph:
    image = activation("image", (1, 8, 8, 3), np.int8, Quant.per_tensor(1 / 127.5, 0))
    weights = Tensor.constant("weights", np.full((4, 1, 1, 3), 50, np.int8), Quant.per_tensor(0.01, 0))
    bias = Tensor.constant("bias", np.arange(4, dtype=np.int32), Quant.per_tensor(0.01 / 127.5, 0))
    conv = op("CONV_2D", [image, weights, bias], "conv", **CONVOLUTION)
    conv.output.quant = Quant.per_tensor(0.02, 3)
    return graph([conv], [image])


def test_a_quantized_model_is_marked_and_left_as_it_is(tmp_path: Path) -> None:
    source = quantized_conv()
    imported = import_model(written(source, tmp_path))
    assert imported.is_quantized
    assert "already-quantized" in [finding.rule for finding in imported.findings]
    assert serialize(imported.graph) == serialize(source)
    assert imported.verification is not None
    assert imported.verification.worst_difference == 0


def test_an_unknown_custom_operator_leaves_the_import_unverified_and_says_so(tmp_path: Path) -> None:
    image = activation("image", (1, 4, 4, 3))
    unknown = Op("CUSTOM", [image], [activation("out", (1, 4))], custom_code="MyOwnOperator")
    imported = import_model(written(graph([unknown], [image]), tmp_path))
    assert imported.verification is None
    assert [finding.rule for finding in imported.findings] == ["import-not-verified"]


def test_operators_of_tensorflow_are_refused_by_name(tmp_path: Path) -> None:
    image = activation("image", (1, 4, 4, 3))
    flex = Op("CUSTOM", [image], [activation("out", (1, 4))], custom_code="FlexErfinv")
    with pytest.raises(UnsupportedModelError, match="FlexErfinv"):
        import_model(written(graph([flex], [image]), tmp_path))


def test_a_fixed_batch_of_several_images_is_refused(tmp_path: Path) -> None:
    image = activation("image", (4, 8, 8, 3))
    relu = op("RELU", [image], "out")
    with pytest.raises(UnsupportedModelError, match="4 images at once"):
        import_model(written(graph([relu], [image]), tmp_path))


def test_another_size_than_the_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="takes images of 8x8, not 9x8"):
        import_model(written(conv_graph(), tmp_path), input_size=(9, 8))


def test_a_cut_file_is_damaged(tmp_path: Path) -> None:
    path = written(conv_graph(), tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MalformedModelError):
        import_model(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        import_model(tmp_path / "nothing.tflite")


REAL = {
    "bccd_ssdlite/bccd_ssdlite_float.tflite": (False, 125),
    "ultralight_face/version-RFB-320_without_postprocessing.tflite": (False, None),
    "ssd_mobilenet_v1_coco_quant/model.tflite": (True, 64),
}


@pytest.mark.parametrize("name", REAL)
def test_trained_models_import_without_any_difference(shared: Path, name: str) -> None:
    quantized, operators = REAL[name]
    imported = import_model(shared / "models" / name)
    assert imported.is_quantized == quantized
    assert operators in (None, len(imported.graph.ops))
    assert imported.verification is not None
    assert imported.verification.worst_difference == 0


def test_the_outputs_of_a_trained_model_stay_under_their_own_names(shared: Path) -> None:
    """The file has classes before boxes; the graph has boxes first, each with the values of its own name."""
    from ai_edge_litert.interpreter import Interpreter

    path = shared / "models/bccd_ssdlite/bccd_ssdlite_float.tflite"
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image = np.random.default_rng(0).uniform(-1, 1, (1, 300, 300, 3)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    expected = {o["name"]: interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()}
    source = import_model(path).graph
    assert [tensor.shape[-1] for tensor in source.outputs] == [4, 3]
    for tensor, value in zip(source.outputs, Executor(source).run(image), strict=True):
        np.testing.assert_allclose(value, expected[tensor.name], atol=1e-5)
