"""What of an ONNX file is refused, and how the error helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.errors import InputError, MalformedModelError, UnsupportedModelError
from coralsmith.importers.source_files import source_digest
from tests.importers.onnx.models import (
    TensorProto,
    compared,
    fix_image_input,
    helper,
    kinds,
    loading,
    model,
    node,
    noise,
    translate,
)

load_model = loading.load_model

WEIGHTS = noise(4, 3, 3, 3)


def saved(source: Any, folder: Path) -> Path:
    path = folder / "a model.onnx"
    path.write_bytes(source.SerializeToString())
    return path


def with_external_weights(location: str, **place: int) -> Any:
    """A convolution whose weights lie in a file beside it."""
    source = model([node("Conv", ["x", "w"])], {"w": WEIGHTS})
    tensor = source.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **place}.items():
        tensor.external_data.add(key=key, value=str(value))
    return source


def refused(source: Any, error: type[InputError], match: str, *, size: tuple[int, int] | None = None) -> str:
    """The hint of the error that a model is refused with while it is read."""
    with pytest.raises(error, match=match) as caught:
        translate(source, fix_image_input(source, size))
    return caught.value.hint


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    (tmp_path / "model.data").write_bytes(b"\0" * 64 + WEIGHTS.tobytes())
    path = saved(with_external_weights("model.data", offset=64, length=WEIGHTS.nbytes), tmp_path)
    assert kinds(compared(load_model(path))) == ["CONV_2D"]


def test_weights_beside_the_model_belong_to_its_hash(tmp_path: Path) -> None:
    (tmp_path / "model.data").write_bytes(WEIGHTS.tobytes())
    path = saved(with_external_weights("model.data"), tmp_path)
    before = source_digest(path)
    assert before == source_digest(path)
    (tmp_path / "unrelated.data").write_bytes(b"x")
    assert source_digest(path) == before
    (tmp_path / "model.data").write_bytes((2 * WEIGHTS).tobytes())
    assert source_digest(path) != before


@pytest.mark.parametrize("location", ["../outside.data", "/etc/hostname", "inner/../../outside.data", "", "."])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "outside.data").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(UnsupportedModelError, match="outside the folder of the model") as caught:
        load_model(saved(with_external_weights(location), folder))
    assert "beside the model" in caught.value.hint


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.data").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.data").symlink_to(tmp_path / "outside.data")
    with pytest.raises(UnsupportedModelError, match="outside the folder"):
        load_model(saved(with_external_weights("link.data"), folder))


@pytest.mark.parametrize("place", [{"offset": 1 << 40}, {"length": 1 << 40}, {"offset": -4}, {"length": -1}])
def test_weights_beyond_their_file_are_refused(tmp_path: Path, place: dict[str, int]) -> None:
    (tmp_path / "model.data").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(MalformedModelError, match="which has 432 bytes"):
        load_model(saved(with_external_weights("model.data", **place), tmp_path))


def test_a_missing_weight_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedModelError, match=r"'model\.data' is missing") as caught:
        load_model(saved(with_external_weights("model.data"), tmp_path))
    assert "together" in caught.value.hint


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MAX_BYTES", 1000)
    (tmp_path / "model.data").write_bytes(WEIGHTS.tobytes() * 4)
    with pytest.raises(UnsupportedModelError, match=r"model\.data"):
        load_model(saved(with_external_weights("model.data"), tmp_path))
    with pytest.raises(UnsupportedModelError, match=r"a model\.onnx"):
        load_model(saved(model([node("Conv", ["x", "w"])], {"w": noise(40, 3, 3, 3)}), tmp_path))


@pytest.mark.parametrize("length", [1, 40, 200])
def test_a_cut_file_is_damaged(tmp_path: Path, length: int) -> None:
    path = saved(model([node("Conv", ["x", "w"])], {"w": WEIGHTS}), tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError) as caught:
        load_model(path)
    assert caught.value.hint


@pytest.mark.parametrize("opset", [7, 8, 23])
def test_another_operator_set_is_refused(tmp_path: Path, opset: int) -> None:
    with pytest.raises(UnsupportedModelError, match=f"operator set {opset}; coralsmith reads 9 to 22") as caught:
        load_model(saved(model([node("Relu", ["x"])], opset=opset), tmp_path))
    assert "opset_version=18" in caught.value.hint


def test_a_foreign_operator_is_named_with_the_tensor_before_it(tmp_path: Path) -> None:
    foreign = helper.make_node("FusedConv", ["r"], ["y"], domain="com.microsoft", name="fused")
    source = model([node("Relu", ["x"], "r"), foreign])
    with pytest.raises(
        UnsupportedModelError, match=r"'fused' is FusedConv of the domain 'com\.microsoft'"
    ) as caught:
        load_model(saved(source, tmp_path))
    assert "up to the tensor 'r'" in caught.value.hint


def test_local_functions_are_put_in_place(tmp_path: Path) -> None:
    body = [helper.make_node("Relu", ["a"], ["b"])]
    function = helper.make_function("own", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
    source = model([helper.make_node("Twice", ["x"], ["y"], domain="own")])
    source.functions.append(function)
    source.opset_import.append(helper.make_opsetid("own", 1))
    assert kinds(compared(load_model(saved(source, tmp_path)))) == ["RELU"]


def test_control_flow_is_refused() -> None:
    branch = helper.make_graph(
        [node("Relu", ["x"], "b")], "branch", [], [helper.make_empty_tensor_value_info("b")]
    )
    choice = helper.make_node("If", ["c"], ["y"], name="choice", then_branch=branch, else_branch=branch)
    hint = refused(
        model([choice], {"c": np.array(True)}), UnsupportedModelError, r"'choice' \(If\) is control flow"
    )
    assert hint == ""


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("NonMaxSuppression", "selects boxes"),
        ("TopK", "selects boxes"),
        ("QuantizeLinear", "takes the float model"),
        ("LSTM", "has no form here"),
    ],
)
def test_an_operator_without_a_form_is_named_with_the_subset_to_export(kind: str, reason: str) -> None:
    nodes = [node("Relu", ["x"], "r"), node(kind, ["r"])]
    hint = refused(model(nodes), UnsupportedModelError, rf"'{kind} y' \({kind}\).*{reason}")
    assert hint == "Export the network only up to the tensor 'r'."


@pytest.mark.parametrize("dtype", [TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64])
def test_another_element_type_of_the_image_is_refused(dtype: int) -> None:
    hint = refused(model([node("Relu", ["x"])], dtype=dtype), UnsupportedModelError, "The input 'x' is")
    assert "float32" in hint


def test_float64_inside_is_refused() -> None:
    cast = node("Cast", ["x"], to=TensorProto.DOUBLE)
    assert "float32" in refused(model([cast]), UnsupportedModelError, "something else than float32")
    weights = model([node("Conv", ["x", "w"])], {"w": WEIGHTS.astype(np.float64)})
    assert "float32" in refused(weights, UnsupportedModelError, "the float64 constant 'w'")
    addition = model([node("Add", ["x", "k"])], {"k": np.float64(1)})
    assert "float32" in refused(addition, UnsupportedModelError, "computes with a float64 constant")


def test_weights_that_depend_on_the_image_are_refused() -> None:
    nodes = [node("Relu", ["x"], "r"), node("Conv", ["x", "r"])]
    refused(model(nodes), UnsupportedModelError, "takes 'r' from the image, and it must be constant")


def test_an_open_batch_is_fixed_to_one() -> None:
    assert compared(model([node("Relu", ["x"])], shape=("n", 3, 8, 10))).inputs[0].shape == (1, 8, 10, 3)


def test_an_open_size_asks_for_it_and_takes_it() -> None:
    open_size = ("n", 3, "h", "w")
    assert "--input-size" in refused(
        model([node("Relu", ["x"])], shape=open_size), UnsupportedModelError, "no fixed"
    )
    assert compared(model([node("Relu", ["x"])], shape=open_size), size=(6, 7)).inputs[0].shape == (1, 6, 7, 3)


def test_another_size_than_the_models_is_refused() -> None:
    assert "Leave" in refused(model([node("Relu", ["x"])]), UnsupportedModelError, "8x10, not 9x9", size=(9, 9))


@pytest.mark.parametrize("shape", [(4, 3, 8, 10), (1, 3, 8), (1, 5, 8, 9), ("n", "c", 8, 10)])
def test_what_is_not_one_image_is_refused(shape: tuple[int | str, ...]) -> None:
    assert refused(model([node("Relu", ["x"])], shape=shape), UnsupportedModelError, "The input 'x'")


def test_a_second_input_is_refused() -> None:
    source = model([node("Add", ["x", "other"])])
    source.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))
    assert "one image" in refused(source, UnsupportedModelError, "2 inputs, not one: 'x', 'other'")


def test_an_output_that_is_constant_is_refused() -> None:
    source = model([node("Relu", ["x"], "r"), node("Identity", ["k"])], {"k": noise(3)})
    assert refused(source, UnsupportedModelError, "'y' does not depend on the image")


def test_a_node_that_reads_nothing_is_damage() -> None:
    assert refused(
        model([node("Add", ["x", "nowhere"])]), MalformedModelError, "'nowhere', which nothing before it"
    )


@pytest.mark.parametrize(
    ("kind", "constants"),
    [
        ("ConstantOfShape", {"s": np.array([1 << 20, 1 << 20])}),
        ("Expand", {"one": np.float32([1]), "s": np.array([1 << 20, 1 << 20])}),
        ("Tile", {"one": np.float32([1]), "s": np.array([1 << 40])}),
        ("Range", {"a": np.float32(0), "b": np.float32(1e9), "c": np.float32(1e-3)}),
    ],
)
def test_a_small_file_cannot_ask_for_a_huge_constant(kind: str, constants: dict[str, np.ndarray]) -> None:
    nodes = [node(kind, list(constants), "k"), node("Add", ["x", "k"])]
    refused(model(nodes, constants), UnsupportedModelError, rf"\({kind}\) makes a constant of .*e\+")


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Pad", ["x", "p"])], {"p": np.array([0, 0, 1 << 30, 0, 0, 0, 0, 0])}),
        ([node("Resize", ["x", "", "", "z"])], {"z": np.array([1, 3, 1 << 30, 1 << 30])}),
        ([node("Conv", ["x", "w"], pads=[1 << 30] * 4)], {"w": WEIGHTS}),
        ([node("MaxPool", ["x"], kernel_shape=[1 << 30] * 2, pads=[(1 << 30) - 1] * 4)], {}),
    ],
    ids=["Pad", "Resize", "Conv", "MaxPool"],
)
def test_a_small_file_cannot_ask_for_a_huge_activation(nodes: list[Any], constants: dict[str, np.ndarray]) -> None:
    refused(model(nodes, constants), UnsupportedModelError, "as no detector has|has the pads|makes")


@pytest.mark.parametrize(
    "change",
    [{"axis": "channels"}, {"axis": 7}],
    ids=str,
)
def test_a_senseless_attribute_is_told_with_its_node(change: dict[str, Any]) -> None:
    refused(model([node("Concat", ["x", "x"], **change)]), UnsupportedModelError, r"'Concat y' \(Concat\)")


def test_a_damaged_constant_is_named() -> None:
    source = model([node("Conv", ["x", "w"])], {"w": WEIGHTS})
    source.graph.initializer[0].dims[0] = 5
    assert refused(source, MalformedModelError, "The constant 'w' is damaged")


def test_a_wrong_kernel_is_named() -> None:
    refused(
        model([node("Conv", ["x", "w"])], {"w": noise(4, 5, 3, 3)}), UnsupportedModelError, r"'Conv y' \(Conv\)"
    )
