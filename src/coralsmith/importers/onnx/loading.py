"""Reads an ONNX file within bounds: nothing outside its folder, nothing that has no form here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
from onnx import TensorProto, inliner

from coralsmith.errors import MalformedModelError, UnsupportedModelError
from coralsmith.importers.framework_child import essential_line

OLDEST_OPSET: Final = 9
NEWEST_OPSET: Final = 22
MAX_BYTES: Final = 1 << 30  # a float model of an Edge TPU has 10 to 100 MB
_OWN_DOMAINS: Final = ("", "ai.onnx")


def load_model(path: Path) -> Any:
    """The model of a file with all its weights inside, its local functions put in place.

    Raises:
        MalformedModelError: The bytes are no ONNX model, or weights beside it are missing or damaged.
        UnsupportedModelError: An operator set that is too old, too new or not ONNX's own; weights outside its
            folder; more than `MAX_BYTES`.
    """
    _require_bounded(path.stat().st_size, path.name)
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError is an implementation detail of its back ends
        raise MalformedModelError(
            f"The ONNX file is damaged. {essential_line(error)}", hint="Export or download the model again."
        ) from error
    if not model.graph.node:
        raise MalformedModelError("The ONNX file holds no graph.", hint="Export or download the model again.")
    _require_known_operators(model)
    _read_external_weights(model, path.parent)
    if model.functions:
        model = inliner.inline_local_functions(model)
        _require_known_operators(model)
    return model


def _require_bounded(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise UnsupportedModelError(
            f"'{name}' has {size / 2**20:.0f} MB; coralsmith reads models of up to {MAX_BYTES >> 20} MB.",
            hint="An Edge TPU holds 8 MB of weights in 8 bits: choose a smaller network.",
        )


def _require_known_operators(model: Any) -> None:
    version = next((entry.version for entry in model.opset_import if entry.domain in _OWN_DOMAINS), 0)
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise UnsupportedModelError(
            f"The model has operator set {version}; coralsmith reads {OLDEST_OPSET} to {NEWEST_OPSET}.",
            hint="Export it again with opset_version=18, or convert it with onnx.version_converter.",
        )
    if model.graph.sparse_initializer:
        raise UnsupportedModelError("The model has sparse weights.", hint="Export it with plain ones.")
    own = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if node.domain not in _OWN_DOMAINS and (node.domain, node.op_type) not in own:
            raise UnsupportedModelError(
                f"The node '{node.name or node.output[0]}' is {node.op_type} of the domain '{node.domain}', "
                "which is not part of ONNX.",
                hint=f"Export the network only up to the tensor '{next(iter(node.input), '')}', "
                "or without the optimisations that put such operators in.",
            )


def _read_external_weights(model: Any, folder: Path) -> None:
    """Bring in the weights that lie in files beside the model."""
    total = 0
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        facts = {entry.key: entry.value for entry in tensor.external_data}
        content = _external_bytes(tensor.name, facts, folder, MAX_BYTES - total)
        total += len(content)
        tensor.raw_data = content
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _external_bytes(name: str, facts: dict[str, str], folder: Path, most: int) -> bytes:
    location = facts.get("location", "")
    path = (folder / location).resolve()
    if not location or not path.is_relative_to(folder.resolve()) or path == folder.resolve():
        raise UnsupportedModelError(
            f"The weight '{name}' lies outside the folder of the model: '{location}'.",
            hint="Put the weight file beside the model, or save the model in one file.",
        )
    if not path.is_file():
        raise MalformedModelError(
            f"The weight file '{location}' is missing.", hint="Keep the .onnx file and its weight file together."
        )
    size = path.stat().st_size
    try:
        offset = int(facts.get("offset", "0"))
        length = int(facts.get("length", str(size - offset)))
    except ValueError as error:
        raise MalformedModelError(f"The weight '{name}' has no readable place in '{location}'.") from error
    if not (0 <= offset <= size and 0 <= length <= size - offset):
        raise MalformedModelError(
            f"The weight '{name}' lies at {offset} to {offset + length} of '{location}', which has {size} bytes.",
            hint="Copy or export the model and its weight file again.",
        )
    _require_bounded(MAX_BYTES + 1 if length > most else length, location)
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _tensors(model: Any) -> Iterator[Any]:
    """Every constant tensor: weights, and those in the attributes of nodes."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
