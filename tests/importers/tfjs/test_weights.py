from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.errors import MalformedModelError
from coralsmith.importers.tfjs.manifest import parse_manifest
from coralsmith.importers.tfjs.weights import read_weights
from tests.importers.tfjs.writer import write_weights


def some_weights() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    return {
        "kernel": generator.normal(0, 0.4, (3, 3, 4, 8)).astype(np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "positive": generator.uniform(2, 5, 40).astype(np.float32),
        "scalar": np.float32(0.25),
        "sizes": np.array([300, -1, 2**31 - 1], np.int32),
        "flags": np.array([True, False, True]),
    }


def read(manifest: Any, folder: Path) -> dict[str, np.ndarray]:
    return read_weights(parse_manifest(manifest), folder)


@pytest.mark.parametrize("shard_bytes", [7, 100, 1 << 20])
def test_plain_weights_come_back_to_the_bit_wherever_shards_are_cut(tmp_path: Path, shard_bytes: int) -> None:
    weights = some_weights()
    found = read(write_weights(weights, tmp_path, shard_bytes=shard_bytes), tmp_path)
    assert found.keys() == weights.keys()
    for name, values in weights.items():
        np.testing.assert_array_equal(found[name], values)
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)


@pytest.mark.parametrize(("storage", "steps"), [("uint8", 255), ("uint16", 65535)])
def test_codes_become_values_within_half_a_step(tmp_path: Path, storage: str, steps: int) -> None:
    weights = some_weights()
    del weights["empty"]
    found = read(write_weights(weights, tmp_path, storage=storage), tmp_path)
    for name in ("kernel", "positive", "scalar"):
        step = (max(weights[name].max(), 0) - min(weights[name].min(), 0)) / steps
        np.testing.assert_allclose(found[name], weights[name], atol=0.501 * step)
        assert found[name].dtype == np.float32
    np.testing.assert_array_equal(found["sizes"], weights["sizes"])


def test_half_precision_becomes_single_precision(tmp_path: Path) -> None:
    weights = some_weights()
    found = read(write_weights(weights, tmp_path, storage="float16"), tmp_path)
    np.testing.assert_array_equal(found["kernel"], weights["kernel"].astype(np.float16).astype(np.float32))


def test_quantized_integers_are_rounded_as_javascript_does(tmp_path: Path) -> None:
    entry = {"name": "n", "shape": [4], "dtype": "int32"}
    quantization = {"dtype": "uint8", "scale": 0.5, "min": -1}
    (tmp_path / "shard").write_bytes(bytes([0, 1, 2, 5]))
    manifest = [{"paths": ["shard"], "weights": [entry | {"quantization": quantization}]}]
    np.testing.assert_array_equal(
        read(manifest, tmp_path)["n"], [-1, 0, 0, 2]
    )  # Math.round(-0.5) is 0, of 1.5 is 2


def test_groups_have_streams_of_their_own(tmp_path: Path) -> None:
    first, second = np.arange(3, dtype=np.float32), np.arange(5, dtype=np.int32)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    groups = write_weights({"x": first}, tmp_path / "a") + write_weights({"y": second}, tmp_path / "b")
    for group, folder in zip(groups, "ab", strict=True):
        group["paths"] = [f"{folder}/{path}" for path in group["paths"]]
    found = read(groups, tmp_path)
    np.testing.assert_array_equal(found["x"], first)
    np.testing.assert_array_equal(found["y"], second)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    manifest = write_weights(some_weights(), tmp_path)
    (tmp_path / "group1-shard2of2.bin").unlink()
    with pytest.raises(MalformedModelError, match=r"'group1-shard2of2\.bin' is missing") as caught:
        read(manifest, tmp_path)
    assert "all of its weight files" in caught.value.hint


@pytest.mark.parametrize("change", [-1, 1])
def test_shards_that_are_cut_short_or_too_long_are_told_with_both_sizes(tmp_path: Path, change: int) -> None:
    manifest = write_weights(some_weights(), tmp_path)
    last = tmp_path / manifest[0]["paths"][-1]
    content = last.read_bytes()
    last.write_bytes(content[:-1] if change < 0 else content + b"\0")
    size = 3 * 3 * 4 * 8 * 4 + 40 * 4 + 4 + 12 + 3
    with pytest.raises(MalformedModelError, match=f"have {size + change} bytes, the manifest describes {size}"):
        read(manifest, tmp_path)


def test_one_shard_named_a_thousand_times_is_not_read(tmp_path: Path) -> None:
    manifest = write_weights({"x": np.zeros(250, np.float32)}, tmp_path)
    manifest[0]["paths"] *= 1_000
    with pytest.raises(MalformedModelError, match="have 1000000 bytes, the manifest describes 1000"):
        read(manifest, tmp_path)
