"""Decodes the weight files of a TensorFlow.js model into arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import MalformedModelError
from coralsmith.importers.tfjs.manifest import EXPORT_AGAIN, Weight, WeightGroup, shard_path


def read_weights(groups: Iterable[WeightGroup], folder: Path) -> dict[str, NDArray[Any]]:
    """Every weight by its name, in the type of its values.

    Args:
        groups: What the manifest says; its total is bounded already.
        folder: The folder of the model.

    Raises:
        MalformedModelError: A shard is missing, or shards have more or fewer bytes than the manifest says.
        UnsupportedModelError: A shard lies outside the folder.
    """
    return {name: values for group in groups for name, values in _decoded(group, _content(group, folder))}


def _content(group: WeightGroup, folder: Path) -> bytes:
    """The shards of a group as one stream, looked at before anything is read."""
    paths = [shard_path(folder, shard) for shard in group.shards]
    for shard, path in zip(group.shards, paths, strict=True):
        if not path.is_file():
            raise MalformedModelError(f"The weight file '{shard}' is missing.", hint=EXPORT_AGAIN)
    found = sum(path.stat().st_size for path in paths)
    if found != group.stored_bytes:
        names = ", ".join(f"'{shard}'" for shard in group.shards) or "no file"
        raise MalformedModelError(
            f"The weight files have {found} bytes, the manifest describes {group.stored_bytes}: {names[:300]}.",
            hint=EXPORT_AGAIN,
        )
    return b"".join(path.read_bytes() for path in paths)


def _decoded(group: WeightGroup, content: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    offset = 0
    for weight in group.weights:
        stored = np.frombuffer(content, weight.stored, weight.count, offset).reshape(weight.shape)
        yield weight.name, _values(weight, stored)
        offset += weight.stored_bytes


def _values(weight: Weight, stored: NDArray[Any]) -> NDArray[Any]:
    """As TensorFlow.js does it (tfjs-core, io_utils.ts): in float64, whole numbers rounded."""
    if not weight.is_quantized or weight.stored.kind == "f":
        return stored.astype(weight.dtype)
    real = stored * weight.scale + weight.minimum
    if weight.dtype.kind == "f":
        return real.astype(weight.dtype)
    return np.floor(real + 0.5).clip(*_limits(weight)).astype(weight.dtype)


def _limits(weight: Weight) -> tuple[int, int]:
    limits = np.iinfo(weight.dtype)
    return int(limits.min), int(limits.max)
