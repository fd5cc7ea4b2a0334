"""The parent's side of ONNX and PyTorch imports: what is asked and refused before a framework is started."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import pytest

from coralsmith.errors import MissingExtraError, UnsupportedModelError, UsageError
from coralsmith.importers import framework_import, import_model
from coralsmith.importers.image_input import parse_size


def zipped(folder: Path, *names: str) -> Path:
    path = folder / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return zipped(tmp_path, "archive/data.pkl")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return zipped(tmp_path, "net/models/model.json")


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(framework_import, "find_spec", lambda name: None if name == package else find(name))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxslim"])
def test_without_onnx_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    without(monkeypatch, package)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08\x12\x07pytorch")
    with pytest.raises(MissingExtraError) as caught:
        import_model(path)
    assert caught.value.hint == "pip install 'coralsmith[onnx]'"


def test_without_torch_the_error_says_what_to_install(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "torch")
    with pytest.raises(MissingExtraError) as caught:
        import_model(program)
    assert caught.value.hint == "pip install 'coralsmith[torch]'"


def test_weights_without_a_factory_ask_for_it(weights: Path) -> None:
    with pytest.raises(UsageError, match=r"'model\.pth' holds PyTorch weights") as caught:
        import_model(weights)
    assert "--factory package.module:function" in caught.value.hint


def test_weights_without_an_image_size_ask_for_it(weights: Path) -> None:
    with pytest.raises(UsageError, match="does not tell the size") as caught:
        import_model(weights, factory="a.b:c")
    assert "--input-size" in caught.value.hint


def test_torchscript_is_refused_without_trust(tmp_path: Path) -> None:
    path = zipped(tmp_path, "m/data.pkl", "m/constants.pkl")
    with pytest.raises(UnsupportedModelError, match="TorchScript, which is code") as caught:
        import_model(path, input_size="64")
    assert "--trust" in caught.value.hint


def test_a_factory_for_another_source_is_refused(program: Path) -> None:
    with pytest.raises(UsageError, match="A factory makes the module for PyTorch weights") as caught:
        import_model(program, factory="a.b:c")
    assert caught.value.hint == "Leave --factory out."


@pytest.mark.parametrize(
    ("text", "size"),
    [("240x320", (240, 320)), ("300", (300, 300)), (" 8X9 ", (8, 9)), ((5, 6), (5, 6)), (None, None)],
)
def test_an_image_size_is_height_and_width(text: str | None, size: tuple[int, int] | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "300x", "0x5", "9999999", "300x300x3", "-3", "3.5", (0, 4), (5000, 5)])
def test_another_text_is_no_image_size(text: str) -> None:
    with pytest.raises(UsageError, match="is no image size") as caught:
        parse_size(text)
    assert "240x320" in caught.value.hint
