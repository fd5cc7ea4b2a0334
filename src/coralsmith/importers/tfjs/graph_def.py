"""A TensorFlow.js graph model as a GraphDef with its weights inside. Runs in the child process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from google.protobuf import json_format  # type: ignore[import-untyped]  # comes with TensorFlow
from numpy.typing import NDArray

from coralsmith.errors import MalformedModelError
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.tfjs.fused_operators import split_fused_operators
from coralsmith.importers.tfjs.manifest import EXPORT_AGAIN
from coralsmith.importers.tfjs.model_files import ModelFiles
from coralsmith.importers.tfjs.topology import canonical_topology
from coralsmith.importers.tfjs.weights import read_weights

# Fields of a TensorProto that say what a tensor is, not what it holds.
_DESCRIBING: Final = frozenset({"dtype", "tensor_shape", "version_number"})


def graph_with_weights(files: ModelFiles) -> Any:
    """The GraphDef, its constants filled and its fused operators taken apart.

    Raises:
        MalformedModelError: The graph or a weight file is damaged, or a constant has no weight.
        UnsupportedModelError: A weight, a fused operator or the place of a file that has no form here.
    """
    graph_def = _parse(files)
    weights = read_weights(files.groups, files.path.parent)
    for node in _nodes(graph_def):
        if node.op == "Const":
            _fill(node, weights.get(node.name))
    split_fused_operators(graph_def)
    return graph_def


def _parse(files: ModelFiles) -> Any:
    graph_def = tf.compat.v1.GraphDef()
    try:
        if files.topology is None:
            graph_def.ParseFromString(Path(files.path).read_bytes())
        else:
            json_format.ParseDict(canonical_topology(files.topology), graph_def)
    except (MalformedModelError, OSError):
        raise
    except Exception as error:  # protobuf's errors differ between its back ends
        raise MalformedModelError(
            f"'{files.path.name}' is no TensorFlow graph. {essential_line(error)}", hint=EXPORT_AGAIN
        ) from error
    return graph_def


def _nodes(graph_def: Any) -> Iterator[Any]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _fill(node: Any, value: NDArray[Any] | None) -> None:
    """Put a weight into its constant; one without a weight must hold its value itself."""
    tensor = node.attr["value"].tensor
    if value is None:
        if not any(field.name not in _DESCRIBING for field, _ in tensor.ListFields()):
            raise MalformedModelError(f"The weights manifest does not name '{node.name}'.", hint=EXPORT_AGAIN)
        return
    wanted = _type_of(node)
    if not np.can_cast(value.dtype, wanted, "same_kind"):
        raise MalformedModelError(
            f"The constant '{node.name}' is of type {np.dtype(wanted).name}, its weight of {value.dtype.name}.",
            hint=EXPORT_AGAIN,
        )
    tensor.CopyFrom(tf.make_tensor_proto(value.astype(wanted)))


def _type_of(node: Any) -> Any:
    """The type that a constant declares: 64-bit ones are stored in 32 bits (tfjs-converter, write_weights.py)."""
    try:
        return tf.as_dtype(node.attr["dtype"].type).as_numpy_dtype
    except TypeError as error:
        raise MalformedModelError(f"The constant '{node.name}' has no known type.", hint=EXPORT_AGAIN) from error
