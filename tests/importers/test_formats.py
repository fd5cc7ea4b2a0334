from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coralsmith.errors import CoralsmithError, InputError, MalformedModelError
from coralsmith.graph.writer import serialize
from coralsmith.importers import recognise_format
from coralsmith.importers.source_files import resolve_source
from tests import builders


def archive(*members: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for member in members:
            file.writestr(member, "x")
    return content.getvalue()


def array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


def node(name: str, kind: str) -> bytes:
    """One `GraphDef.node` in protobuf's wire format, written by hand."""
    inner = b"\x0a" + bytes([len(name)]) + name.encode() + b"\x12" + bytes([len(kind)]) + kind.encode()
    return b"\x0a" + bytes([len(inner)]) + inner


ACCEPTED = {
    "keras": archive("metadata.json", "config.json", "model.weights.h5"),
    "keras-h5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "frozen-graph": node("image", "Placeholder") + node("x", "Conv2D"),
    "tfjs-graph": b'{"modelTopology": {"node": []}, "weightsManifest": []}',
    "pytorch-program": archive("net/archive_format", "net/models/model.json", "net/data/weights/weight_0"),
    "pytorch-weights": archive("archive/data.pkl", "archive/version"),
    "torchscript": archive("archive/data.pkl", "archive/constants.pkl", "archive/code/__torch__.py"),
    "onnx": b"\x08\x08\x12\x07pytorch\x1a\x032.1" + bytes(40),
    "tflite": serialize(builders.conv_graph()),
}

REFUSED = {
    "a PyTorch program in an older form": archive("serialized_exported_program.json", "version"),
    "a Python pickle": b"\x80\x04\x95\x00\x00",
    "a zip archive with a SavedModel in it": archive("detector/saved_model.pb"),
    "a zip archive": archive("readme.txt"),
    "a JPEG image": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "a PNG image": b"\x89PNG\r\n\x1a\n",
    "a numpy array": array(),
    "a gzip archive": b"\x1f\x8b\x08\x00",
    "a text file": b"RBC\nWBC\nPlatelets\n",
    "a JSON file without a modelTopology": b'{"schema": "coralsmith/head/1"}',
    "a web page": b"<!DOCTYPE html><html>404</html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a Keras model in TensorFlow.js form": b'{"format": "layers-model", "modelTopology": {}}',
    "the weights manifest of a TensorFlow.js model": b'[{"paths": ["group1-shard1of1"], "weights": []}]',
    "a graph in text form": b'node {\n  name: "x"\n}\n',
    "the graph of a SavedModel without its folder": b"\x08\x01\x12\x80\x01" + bytes(140),
    "compiled for the Edge TPU already": b"\x1c\x00\x00\x00TFL3" + bytes(5000) + b"edgetpu-custom-op" + bytes(8),
    "no file that coralsmith knows": b"\x00\x01\x02\x03" * 9,
}


@pytest.mark.parametrize("expected", ACCEPTED)
@pytest.mark.parametrize("name", ["model.bin", "photo.jpg"])
def test_a_source_model_is_told_by_its_content_whatever_its_name(tmp_path: Path, expected: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(ACCEPTED[expected])
    assert recognise_format(path) == expected


@pytest.mark.parametrize("what", REFUSED)
def test_another_file_is_refused_by_what_it_is_and_what_is_accepted(tmp_path: Path, what: str) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(REFUSED[what])
    with pytest.raises(InputError) as caught:
        recognise_format(path)
    assert what in caught.value.message
    assert ".keras" in caught.value.hint
    assert ".tflite" in caught.value.hint


def test_a_saved_model_is_its_folder_or_the_graph_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"\x08\x01\x12\x80\x01" + bytes(140))
    assert recognise_format(folder) == "saved-model"
    assert recognise_format(folder / "saved_model.pb") == "saved-model"


def test_an_export_folder_is_the_saved_model_in_it(tmp_path: Path) -> None:
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"\x08\x01\x12\x80\x01" + bytes(140))
    assert recognise_format(tmp_path) == "saved-model"
    assert resolve_source(tmp_path) == tmp_path / "saved_model"
    assert resolve_source(tmp_path / "saved_model") == tmp_path / "saved_model"


def test_a_folder_of_checkpoints_is_told_how_to_be_exported(tmp_path: Path) -> None:
    (tmp_path / "pipeline.config").touch()
    with pytest.raises(InputError, match="a training folder") as caught:
        recognise_format(tmp_path)
    assert "exporter_main_v2.py" in caught.value.hint


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a folder without saved_model\.pb or model\.json"):
        recognise_format(tmp_path)


@pytest.mark.parametrize("content", [b"", archive("config.json", "model.weights.h5")[:60]], ids=["empty", "cut"])
def test_an_empty_file_and_a_cut_archive_are_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "detector.keras"
    path.write_bytes(content)
    with pytest.raises(MalformedModelError):
        recognise_format(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        recognise_format(tmp_path / "nothing.keras")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from([b"", b"\x0a", b"\x08\x01", b"PK\x03\x04", b"\x80", b"abcdTFL3"]), rest=st.binary())
def test_no_bytes_can_crash_it(tmp_path: Path, start: bytes, rest: bytes) -> None:
    path = tmp_path / "random"
    path.write_bytes(start + rest)
    try:
        assert recognise_format(path) in ACCEPTED
    except CoralsmithError as error:
        assert error.exit_code == 2
