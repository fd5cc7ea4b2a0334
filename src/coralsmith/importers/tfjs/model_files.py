"""Which files a TensorFlow.js model consists of: told by content, read within bounds.

Generation 0 is a binary graph with `weights_manifest.json` beside it; since 1.0 one JSON file holds the graph and
the manifest. In both the weights lie in files ("shards") that the manifest names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from coralsmith.errors import InputError, MalformedModelError, UnsupportedModelError
from coralsmith.importers.tfjs.manifest import EXPORT_AGAIN, WeightGroup, parse_manifest, shard_path

MODEL_FILE: Final = "model.json"
GRAPH_FILE: Final = "tensorflowjs_model.pb"
MANIFEST_FILE: Final = "weights_manifest.json"
MAX_JSON_BYTES: Final = 32 << 20  # that of a COCO SSDLite has half a megabyte
_HEAD_BYTES: Final = 64
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# Keys of a Keras model in `modelTopology`: its own, or those of its configuration.
_KERAS_KEYS: Final = frozenset({"model_config", "keras_version", "class_name"})


@dataclass(frozen=True)
class ModelFiles:
    """The parts of a graph model.

    Attributes:
        path: The file that holds the graph; the shards lie in its folder.
        topology: The graph as JSON, or None where the file itself is the binary graph.
        groups: What the shards hold.
        outputs: The node of each named output, where the model has a signature.
    """

    path: Path
    topology: dict[str, Any] | None
    groups: tuple[WeightGroup, ...]
    outputs: dict[str, str]

    @staticmethod
    def read(path: Path) -> ModelFiles:
        """Read the JSON of a model.

        Args:
            path: `model.json`, or the binary graph beside its manifest.

        Raises:
            MalformedModelError: It is damaged, or a part is missing.
            UnsupportedModelError: It has weights without a form here, or too many.
        """
        if not starts_as_json(path):
            return ModelFiles(path, None, parse_manifest(read_json(path.parent / MANIFEST_FILE)), {})
        document = read_json(path)
        topology = document.get("modelTopology") if isinstance(document, dict) else None
        if not isinstance(topology, dict) or not isinstance(topology.get("node"), list) or not topology["node"]:
            raise MalformedModelError(f"'{path.name}' holds no graph.", hint=EXPORT_AGAIN)
        groups = parse_manifest(document.get("weightsManifest"))
        return ModelFiles(path, topology, groups, _signature_outputs(document.get("signature")))


def model_in(folder: Path) -> Path | None:
    """The file of a folder that holds the graph of a TensorFlow.js model, by its usual name."""
    candidates = (folder / name for name in (MODEL_FILE, GRAPH_FILE))
    return next((path for path in candidates if path.is_file()), None)


def has_manifest_beside(path: Path) -> bool:
    """Whether a binary graph is one of TensorFlow.js, with its weights in files of their own."""
    return (path.parent / MANIFEST_FILE).is_file()


def starts_as_json(path: Path) -> bool:
    """Whether a file begins like a JSON object."""
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES).removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"{")


def read_json(path: Path) -> Any:
    """The value that a JSON file holds.

    Raises:
        MalformedModelError: It is missing, not UTF-8, no JSON, or nested too deeply.
        UnsupportedModelError: It has more than `MAX_JSON_BYTES`.
        InputError: It cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise UnsupportedModelError(
                f"'{path.name}' has {size / 2**20:.0f} MB; coralsmith reads up to {MAX_JSON_BYTES >> 20} MB.",
                hint="Weights belong into files of their own: convert the model with tensorflowjs_converter.",
            )
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise MalformedModelError(f"'{path.name}' is missing.", hint=EXPORT_AGAIN) from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MalformedModelError(
            f"'{path.name}' is not UTF-8: byte {error.start} is no text.", hint=EXPORT_AGAIN
        ) from error
    except RecursionError as error:
        raise MalformedModelError(f"'{path.name}' is nested too deeply.", hint=EXPORT_AGAIN) from error
    except ValueError as error:
        raise MalformedModelError(f"'{path.name}' is damaged JSON: {error}.", hint=EXPORT_AGAIN) from error


def is_graph_model(document: Any) -> bool:
    """Whether a JSON value is a TensorFlow.js graph model."""
    if not isinstance(document, dict):
        return False
    topology = document.get("modelTopology")
    return document.get("format") == "graph-model" or (isinstance(topology, dict) and "node" in topology)


def is_layers_model(document: Any) -> bool:
    """Whether a JSON value is a Keras model in TensorFlow.js's form."""
    if not isinstance(document, dict):
        return False
    topology = document.get("modelTopology")
    keras = isinstance(topology, dict) and bool(_KERAS_KEYS & topology.keys())
    return document.get("format") == "layers-model" or keras


def weight_files(path: Path) -> list[Path]:
    """The files beside a TensorFlow.js model that belong to its hash, in order of their names.

    Args:
        path: Any file; one that is no such model, or a damaged one, has none.
    """
    if not (starts_as_json(path) or has_manifest_beside(path)):
        return []
    try:
        model = ModelFiles.read(path)
        found = {shard_path(path.parent, shard) for group in model.groups for shard in group.shards}
    except InputError:
        return []
    if model.topology is None:
        found.add((path.parent / MANIFEST_FILE).resolve())
    return sorted(file for file in found if file.is_file())


def _signature_outputs(signature: Any) -> dict[str, str]:
    """The node of each output that a signature names; empty where there is none, or one of another form."""
    outputs = signature.get("outputs") if isinstance(signature, dict) else None
    if not isinstance(outputs, dict):
        return {}
    tensors = {name: entry.get("name") for name, entry in outputs.items() if isinstance(entry, dict)}
    return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, str)}
