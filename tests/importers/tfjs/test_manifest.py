from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.errors import CoralsmithError, MalformedModelError, UnsupportedModelError
from coralsmith.importers.tfjs.manifest import parse_manifest, shard_path

MANIFEST = [
    {
        "paths": ["group1-shard1of2", "group1-shard2of2"],
        "weights": [
            {"name": "kernel", "shape": [3, 3, 3, 8], "dtype": "float32"},
            {
                "name": "bias",
                "shape": [8],
                "dtype": "float32",
                "quantization": {"dtype": "uint16", "scale": 0.5, "min": -3},
            },
        ],
    },
    {"paths": ["group2-shard1of1"], "weights": [{"name": "sizes", "shape": [], "dtype": "int32"}]},
]


def changed(*path: int | str, value: Any) -> Any:
    """The manifest with one value replaced, or removed where it is `...`."""
    document = copy.deepcopy(MANIFEST)
    *parents, last = path
    place: Any = document
    for step in parents:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


def test_groups_tell_their_files_and_how_many_bytes_these_have() -> None:
    first, second = parse_manifest(MANIFEST)
    assert first.shards == ("group1-shard1of2", "group1-shard2of2")
    assert first.stored_bytes == 3 * 3 * 3 * 8 * 4 + 8 * 2
    assert second.stored_bytes == 4
    kernel, bias = first.weights
    assert (kernel.is_quantized, bias.is_quantized) == (False, True)
    assert (bias.scale, bias.minimum, bias.dtype) == (0.5, -3.0, np.float32)


WEIGHT = (0, "weights", 0)
QUANTIZATION = (0, "weights", 1, "quantization")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((0,), "shards", "no usable 'paths' for group 1"),
        ((1, "paths"), ..., "no usable 'paths' for group 2"),
        ((0, "paths", 1), 7, "a file of group 1 that is no text"),
        ((0, "weights"), {}, "no usable 'weights' for group 1"),
        ((*WEIGHT, "name"), None, "no usable 'name'"),
        ((*WEIGHT, "name"), "sizes", "names 'sizes' twice"),
        ((*WEIGHT, "shape"), 8, "no usable 'shape' for 'kernel'"),
        ((*WEIGHT, "shape"), [3, -3], r"'kernel' has the shape \[3, -3\]"),
        ((*WEIGHT, "shape"), [3.5], "has the shape"),
        ((*WEIGHT, "shape"), [True], "has the shape"),
        ((*WEIGHT, "shape"), [0, 10**30], "has the shape"),
        ((*WEIGHT, "shape"), [1] * 9, "has the shape"),
        ((*WEIGHT, "dtype"), 1, "no usable 'dtype' for 'kernel'"),
        ((*QUANTIZATION, "scale"), float("nan"), "'bias' is quantized with scale nan"),
        ((*QUANTIZATION, "scale"), float("inf"), "scale inf"),
        ((*QUANTIZATION, "min"), -(10**400), "quantized with"),
        ((*QUANTIZATION, "scale"), True, "no usable 'scale' for 'bias'"),
        ((*QUANTIZATION, "min"), ..., "no usable 'min' for 'bias'"),
    ],
)
def test_a_damaged_manifest_is_named_with_the_way_out(path: Any, value: Any, message: str) -> None:
    with pytest.raises(MalformedModelError, match=message) as caught:
        parse_manifest(changed(*path, value=value))
    assert "all of its weight files" in caught.value.hint


@pytest.mark.parametrize("document", [None, {}, "text", 3], ids=str)
def test_something_else_is_no_manifest(document: Any) -> None:
    with pytest.raises(MalformedModelError, match="no weights manifest"):
        parse_manifest(document)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*WEIGHT, "dtype"), "string", "'kernel' holds text"),
        ((*WEIGHT, "dtype"), "complex64", "'kernel' has the type 'complex64'"),
        ((*QUANTIZATION, "dtype"), "int4", "'bias' of type float32 is quantized to 'int4'"),
        ((0, "weights", 1, "dtype"), "bool", "'bias' of type bool is quantized"),
        ((*WEIGHT, "shape"), [1 << 20, 1 << 20, 1 << 20], "The weights take .* MB"),
        ((*WEIGHT, "shape"), [1 << 28], "The weights take 1024 MB"),
    ],
)
def test_a_weight_without_a_form_here_is_named_with_the_way_out(path: Any, value: Any, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        parse_manifest(changed(*path, value=value))
    assert caught.value.hint


@pytest.mark.parametrize("shard", ["shard 1", "weights/shard1", "./shard1", "weights/../shard1", "..shard"])
def test_a_shard_lies_in_the_folder_of_the_model(tmp_path: Path, shard: str) -> None:
    assert shard_path(tmp_path, shard).is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "shard",
    [
        "../shard1",
        "../../etc/passwd",
        "/etc/passwd",
        "weights/../../x",
        "https://a.org/x",
        "",
        ".",
        "a\0b",
        "\ud800",
    ],
)
def test_a_shard_anywhere_else_is_refused(tmp_path: Path, shard: str) -> None:
    with pytest.raises(UnsupportedModelError, match="outside the folder") as caught:
        shard_path(tmp_path, shard)
    assert "beside the model" in caught.value.hint


def test_a_shard_behind_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"1234")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "shard").symlink_to(tmp_path / "secret")
    with pytest.raises(CoralsmithError, match="outside the folder"):
        shard_path(folder, "shard")
