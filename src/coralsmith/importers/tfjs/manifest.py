"""The weights manifest of a TensorFlow.js model: what its weight files hold, one array behind the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from coralsmith.errors import MalformedModelError, UnsupportedModelError

EXPORT_AGAIN: Final = "Download or export the whole model again, with all of its weight files."
MAX_VALUE_BYTES: Final = 1 << 30  # a float model of an Edge TPU has 10 to 100 MB
MAX_RANK: Final = 8  # of TensorFlow's kernels
# What tensorflowjs_converter writes (tfjs-converter, write_weights.py): little-endian, a byte for a bool.
STORED: Final = {
    name: np.dtype(name).newbyteorder("<") for name in ("float32", "float16", "int32", "uint16", "uint8", "bool")
}
# Storage that TensorFlow.js turns back into the weight's own type (tfjs-core, io_utils.ts).
QUANTIZED: Final = {name: STORED[name] for name in ("float16", "uint16", "uint8")}
QUANTIZABLE: Final = ("float32", "int32")
_LARGEST: Final = 1e30  # of scale and minimum: every code then stands for a finite float32

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Weight:
    """One array.

    Attributes:
        name: That of the node which holds it.
        shape: Its shape.
        dtype: Type of its values.
        stored: Type that they are stored in.
        scale: Value of one step, where the storage is integer codes: value = code * scale + minimum.
        minimum: Value of the code 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    scale: float = 1.0
    minimum: float = 0.0

    @property
    def is_quantized(self) -> bool:
        """Whether the stored type is another one than that of the values."""
        return self.stored != self.dtype

    @property
    def count(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        """How many bytes it takes in the shards."""
        return self.count * self.stored.itemsize


@dataclass(frozen=True)
class WeightGroup:
    """Weights that lie one behind the other in shards that are one stream, cut anywhere.

    Attributes:
        shards: Names of the files, in order.
        weights: The arrays, in order.
    """

    shards: tuple[str, ...]
    weights: tuple[Weight, ...]

    @property
    def stored_bytes(self) -> int:
        """How many bytes the shards must have together."""
        return sum(weight.stored_bytes for weight in self.weights)


def parse_manifest(document: Any) -> tuple[WeightGroup, ...]:
    """What a manifest says.

    Args:
        document: `weightsManifest` of a `model.json`, or the content of a `weights_manifest.json`.

    Raises:
        MalformedModelError: It is no manifest, contradicts itself, or names a weight twice.
        UnsupportedModelError: Weights without a form here, or more than `MAX_VALUE_BYTES` of them.
    """
    if not isinstance(document, list):
        raise _malformed("The model has no weights manifest.")
    groups = tuple(_group(entry, f"group {number}") for number, entry in enumerate(document, start=1))
    weights = [weight for group in groups for weight in group.weights]
    _require_distinct(weights)
    total = sum(weight.count * weight.dtype.itemsize for weight in weights)
    if total > MAX_VALUE_BYTES:
        raise UnsupportedModelError(
            f"The weights take {total / 2**20:.0f} MB; coralsmith reads up to {MAX_VALUE_BYTES >> 20} MB.",
            hint="An Edge TPU holds 8 MB of weights in 8 bits: choose a smaller network.",
        )
    return groups


def shard_path(folder: Path, shard: str) -> Path:
    """Where a shard lies.

    Raises:
        UnsupportedModelError: Outside the folder of the model, or in the web.
    """
    outside = UnsupportedModelError(
        f"The weight file {shard!r} lies outside the folder of the model.",
        hint="Put all weight files beside the model, no links to others, and name them so in its manifest.",
    )
    if not shard.isprintable() or "://" in shard:
        raise outside
    root = folder.resolve()
    path = (root / shard).resolve()
    if path == root or not path.is_relative_to(root):
        raise outside
    return path


def _group(entry: Any, where: str) -> WeightGroup:
    shards = _member(entry, "paths", list, where)
    if not all(isinstance(shard, str) for shard in shards):
        raise _malformed(f"The weights manifest names a file of {where} that is no text.")
    return WeightGroup(tuple(shards), tuple(_weights(_member(entry, "weights", list, where), where)))


def _weights(entries: list[Any], where: str) -> Iterator[Weight]:
    for entry in entries:
        name = _member(entry, "name", str, where)
        dtype = _type_of(name, _member(entry, "dtype", str, f"'{name}'"))
        shape = _shape(name, _member(entry, "shape", list, f"'{name}'"))
        if "quantization" in entry:
            yield _quantized(name, shape, dtype, _member(entry, "quantization", dict, f"'{name}'"))
        else:
            yield Weight(name, shape, dtype, dtype)


def _type_of(name: str, dtype: str) -> np.dtype[Any]:
    if dtype == "string":
        raise UnsupportedModelError(
            f"The weight '{name}' holds text.",
            hint="Export the detector without tables and assertions: tensorflowjs_converter --strip_debug_ops.",
        )
    if dtype not in STORED:
        raise UnsupportedModelError(
            f"The weight '{name}' has the type {dtype!r}; known are {', '.join(STORED)}.",
            hint="Export the model with weights of type float32.",
        )
    return STORED[dtype]


def _shape(name: str, dimensions: list[Any]) -> tuple[int, ...]:
    plain = all(type(dimension) is int and 0 <= dimension < 2**31 for dimension in dimensions)
    if not plain or len(dimensions) > MAX_RANK:
        raise _malformed(f"The weight '{name}' has the shape {str(dimensions)[:100]}.")
    return tuple(dimensions)


def _quantized(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], entry: dict[str, Any]) -> Weight:
    stored = _member(entry, "dtype", str, f"the quantization of '{name}'")
    if stored not in QUANTIZED or dtype.name not in QUANTIZABLE:
        raise UnsupportedModelError(
            f"The weight '{name}' of type {dtype.name} is quantized to {stored!r}; "
            f"known are {', '.join(QUANTIZED)}.",
            hint="Convert the model again without quantization: coralsmith quantizes by itself.",
        )
    if stored == "float16":
        return Weight(name, shape, dtype, QUANTIZED[stored])
    scale, minimum = _number(entry, "scale", name), _number(entry, "min", name)
    if not (abs(scale) <= _LARGEST and abs(minimum) <= _LARGEST):  # also where one is not a number
        numbers = f"scale {str(scale)[:20]} and min {str(minimum)[:20]}"
        raise _malformed(f"The weight '{name}' is quantized with {numbers}.")
    return Weight(name, shape, dtype, QUANTIZED[stored], float(scale), float(minimum))


def _number(entry: dict[str, Any], key: str, name: str) -> float:
    """A number of a quantization; it may be an integer of any length."""
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unusable(key, f"'{name}'")
    return value


def _member(entry: Any, key: str, kind: type[_Kind], where: str) -> _Kind:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise _unusable(key, where)
    return value


def _unusable(key: str, where: str) -> MalformedModelError:
    return _malformed(f"The weights manifest has no usable '{key}' for {where}.")


def _require_distinct(weights: list[Weight]) -> None:
    seen: set[str] = set()
    for weight in weights:
        if weight.name in seen:
            raise _malformed(f"The weights manifest names '{weight.name}' twice.")
        seen.add(weight.name)


def _malformed(message: str) -> MalformedModelError:
    return MalformedModelError(message, hint=EXPORT_AGAIN)
