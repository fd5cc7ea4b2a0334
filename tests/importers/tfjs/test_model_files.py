from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.errors import InputError, MalformedModelError, UnsupportedModelError
from coralsmith.importers import recognise_format
from coralsmith.importers.source_files import resolve_source, source_digest
from coralsmith.importers.tfjs import model_files
from coralsmith.importers.tfjs.model_files import ModelFiles, weight_files
from coralsmith.importers.tfjs.topology import canonical_topology
from coralsmith.importers.tfjs.weights import read_weights
from tests.importers.tfjs.writer import write_weights

NODES = [
    {"name": "image", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}}},
    {"name": "kernel", "op": "Const", "attr": {"value": {"tensor": {"dtype": "DT_FLOAT"}}}},
    {"name": "map", "op": "Conv2D", "input": ["image", "kernel"], "attr": {"padding": {"s": [83, 65]}}},
]


def write_json(folder: Path, **members: Any) -> Path:
    """A whole model of three shards, with some members of its JSON replaced."""
    folder.mkdir(exist_ok=True)
    manifest = write_weights({"kernel": np.arange(600, dtype=np.float32)}, folder)
    document = {"format": "graph-model", "modelTopology": {"node": NODES}, "weightsManifest": manifest}
    path = folder / "model.json"
    path.write_text(json.dumps(document | members))
    return path


def write_binary(folder: Path) -> Path:
    path = write_json(folder)
    manifest = json.loads(path.read_text())["weightsManifest"]
    path.unlink()
    (folder / "weights_manifest.json").write_text(json.dumps(manifest))
    graph = folder / "tensorflowjs_model.pb"
    graph.write_bytes(b"\x0a\x14\x0a\x05image\x12\x0bPlaceholder")
    return graph


@pytest.mark.parametrize("write", [write_json, write_binary])
@pytest.mark.parametrize("given", ["file", "folder", "home"])
def test_a_model_is_its_file_or_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, given: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = write(tmp_path / "web model")
    source = {"file": str(path), "folder": str(path.parent), "home": "~/web model"}[given]
    assert recognise_format(source) == "tfjs-graph"
    assert resolve_source(source) == path
    assert ModelFiles.read(path).groups[0].stored_bytes == 2400


def test_a_saved_model_beside_a_model_json_is_a_saved_model(tmp_path: Path) -> None:
    folder = write_json(tmp_path / "both").parent
    (folder / "saved_model.pb").write_bytes(b"\x08\x01\x12\x80\x01" + bytes(140))
    assert recognise_format(folder) == "saved-model"
    assert resolve_source(folder) == folder


def test_a_graph_model_without_the_word_is_told_by_its_nodes(tmp_path: Path) -> None:
    path = write_json(tmp_path / "old", format=None)
    path.write_bytes(b"\xef\xbb\xbf \n" + path.read_bytes())  # a byte order mark, as Windows editors write it
    assert recognise_format(path) == "tfjs-graph"
    assert ModelFiles.read(path).topology is not None


@pytest.mark.parametrize(
    "members",
    [
        {"format": "layers-model", "modelTopology": {"class_name": "Functional"}},
        {"format": None, "modelTopology": {"model_config": {}, "keras_version": "2.1"}},
    ],
)
def test_a_layers_model_is_refused_with_the_command_that_helps(tmp_path: Path, members: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="layers-model") as caught:
        recognise_format(write_json(tmp_path / "keras", **members))
    assert "tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras" in caught.value.hint


def test_the_manifest_alone_is_refused_with_the_file_to_give(tmp_path: Path) -> None:
    graph = write_binary(tmp_path / "model")
    with pytest.raises(InputError, match=r"manifest of a TensorFlow\.js model") as caught:
        recognise_format(graph.parent / "weights_manifest.json")
    assert "tensorflowjs_model.pb" in caught.value.hint


@pytest.mark.parametrize("write", [write_json, write_binary])
def test_the_hash_covers_every_file_of_the_model(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "model")
    files = sorted(file for file in path.parent.iterdir())
    assert [path, *weight_files(path)] == sorted([path, *weight_files(path)], key=lambda file: file != path)
    assert {path, *weight_files(path)} == set(files)
    hashes = {source_digest(path)}
    (path.parent / "readme.txt").write_text("not part of the model")
    assert source_digest(path) in hashes
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content + b" ")
        hashes.add(source_digest(path))
        file.write_bytes(content)
    assert len(hashes) == 1 + len(files)


def test_other_files_have_no_weight_files(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in (b'{"a": 1}', b"{", b"text", b"\x0a\x14"):
        path.write_bytes(content)
        assert weight_files(path) == []


def test_outputs_are_named_by_the_signature(tmp_path: Path) -> None:
    signature = {"outputs": {"boxes": {"name": "Identity:0"}, "odd": {"name": 3}, "none": None}}
    assert ModelFiles.read(write_json(tmp_path / "a", signature=signature)).outputs == {"boxes": "Identity:0"}
    for other in (None, [], {"outputs": []}):
        assert ModelFiles.read(write_json(tmp_path / "a", signature=other)).outputs == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"modelTopology": {"node": [\xff]}}', r"'model\.json' is not UTF-8: byte 28"),
        (b'{"modelTopology": {"node": [', r"'model\.json' is damaged JSON"),
        (b'{"modelTopology": ' + b"[" * 100_000, r"'model\.json' is nested too deeply"),
        (b'{"modelTopology": ' + b"1" * 5000 + b"}", r"'model\.json' is damaged JSON"),
    ],
)
def test_damaged_json_is_told_by_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(MalformedModelError, match=message) as caught:
        recognise_format(path)
    assert "again" in caught.value.hint


@pytest.mark.parametrize("topology", [None, {}, {"node": []}, {"node": {}}, []], ids=str)
def test_json_without_nodes_holds_no_graph(tmp_path: Path, topology: Any) -> None:
    path = write_json(tmp_path / "model", modelTopology=topology)
    assert recognise_format(path) == "tfjs-graph"
    with pytest.raises(MalformedModelError, match="holds no graph"):
        ModelFiles.read(path)


def test_json_of_unusual_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_json(tmp_path / "model")
    monkeypatch.setattr(model_files, "MAX_JSON_BYTES", 100)
    with pytest.raises(UnsupportedModelError, match="reads up to") as caught:
        recognise_format(path)
    assert "files of their own" in caught.value.hint


# What a wound may put in the place of any value.
ODDITIES: list[Any] = [
    None, True, -1, 0, 3, 2**31, 10**30, 1.5, float("nan"), float("inf"), "", "x", "../x", "\ud800", [], {}, [[]],
]  # fmt: skip


def wound(value: Any, dice: random.Random) -> Any:
    """The JSON value with one thing in it replaced, removed or doubled."""
    if not isinstance(value, dict | list) or not value or dice.random() < 0.1:
        return copy.deepcopy(dice.choice(ODDITIES))
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = dice.choice(keys)
    if dice.random() < 0.1:
        del value[key]
    elif isinstance(value, list) and dice.random() < 0.1:
        value.append(copy.deepcopy(value[key]))
    else:
        value[key] = wound(value[key], dice)
    return value


@pytest.mark.slow
def test_a_thousand_wounds_give_nothing_but_typed_errors(tmp_path: Path) -> None:
    path = write_json(tmp_path / "model")
    weights = {
        "kernel": np.arange(600, dtype=np.float32),
        "half": np.zeros(3, np.float32),
        "byte": np.ones(8, np.int32),
    }
    manifest = write_weights(weights, path.parent)
    quantization = {"float16": {"dtype": "float16"}, "uint8": {"dtype": "uint8", "scale": 0.1, "min": -1}}
    manifest[0]["weights"][1]["quantization"] = quantization["float16"]
    manifest[0]["weights"][2]["quantization"] = quantization["uint8"]
    last = path.with_name(manifest[0]["paths"][-1])
    last.write_bytes(bytes(400 + 6 + 8))
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"weightsManifest": manifest}))
    whole = path.read_bytes()
    shard = path.with_name("group1-shard1of3.bin")
    dice = random.Random(7)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(1000):
        document = json.loads(whole)
        for _ in range(dice.randint(0, 3)):
            document = wound(document, dice)
        content = json.dumps(document).encode()
        if dice.random() < 0.2:
            place = dice.randrange(len(content))
            content = content[:place] + bytes([dice.randrange(256)]) + content[place + dice.randrange(20) :]
        path.write_bytes(content)
        shard.write_bytes(bytes(dice.choice((1000, 1000, 1000, 999, 0))))
        try:
            recognise_format(path)
            files = ModelFiles.read(path)
            assert files.topology is not None
            canonical_topology(files.topology)
            read_weights(files.groups, path.parent)
            outcomes["read"] += 1
        except InputError as error:
            assert error.message
            outcomes["refused"] += 1
        source_digest(path)
    assert min(outcomes.values()) > 100
