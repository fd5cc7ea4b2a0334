"""Tells what a file is by its content: names lie, and a wrong file deserves an answer that says what it is."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coralsmith.errors import InputError, MalformedModelError
from coralsmith.importers.protobuf import fields
from coralsmith.importers.source_files import SAVED_MODEL_FILE, resolve_source
from coralsmith.importers.tfjs.model_files import (
    has_manifest_beside,
    is_graph_model,
    is_layers_model,
    model_in,
    read_json,
    starts_as_json,
)

TFLITE: Final = "tflite"
KERAS: Final = "keras"
KERAS_H5: Final = "keras-h5"
SAVED_MODEL: Final = "saved-model"
FROZEN_GRAPH: Final = "frozen-graph"
TFJS_GRAPH: Final = "tfjs-graph"
ONNX: Final = "onnx"
PYTORCH_PROGRAM: Final = "pytorch-program"
PYTORCH_WEIGHTS: Final = "pytorch-weights"
TORCHSCRIPT: Final = "torchscript"

ACCEPTED: Final = {
    KERAS: "Keras .keras file",
    KERAS_H5: "Keras .h5 file",
    SAVED_MODEL: "TensorFlow SavedModel folder",
    FROZEN_GRAPH: "TensorFlow 1 frozen graph (.pb)",
    TFJS_GRAPH: "TensorFlow.js graph model (model.json)",
    ONNX: "ONNX .onnx file",
    PYTORCH_PROGRAM: "PyTorch program (.pt2, torch.export)",
    PYTORCH_WEIGHTS: "PyTorch weights (.pth, with --factory)",
    TORCHSCRIPT: "TorchScript file (with --trust)",
    TFLITE: "TensorFlow Lite .tflite file",
}
_HEAD_BYTES: Final = 4096
_MAX_ZIP_MEMBERS: Final = 100_000
_TFLITE_MAGIC: Final = b"TFL3"  # at byte 4
# Operator code of the custom operator that holds a compiled program.
_COMPILED_MARK: Final = b"edgetpu-custom-op"
# The magic number that torch.save of before 1.6 pickled first.
_TORCH_MAGIC: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class _Foreign:
    """A kind of file that is no source model: what it is, and what to do with it."""

    what: str
    hint: str = ""


_EXPORT: Final = "Export the trained model to one of the accepted forms."
_LAYERS_TO_KERAS: Final = (
    "Turn it back into a Keras file: "
    "tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras model.json detector.h5."
)
_JSON_MODELS: Final = "A TensorFlow.js model.json has one; head.json, report.json and package files are no models."
_EXPORT_CHECKPOINT: Final = (
    "Export its checkpoint with exporter_main_v2.py --input_type image_tensor --pipeline_config_path "
    "pipeline.config --trained_checkpoint_dir FOLDER --output_directory EXPORT, and give EXPORT."
)
_FOREIGN_MAGIC: Final[tuple[tuple[bytes, _Foreign], ...]] = (
    (b"\x89PNG", _Foreign("a PNG image")),
    (b"\xff\xd8\xff", _Foreign("a JPEG image")),
    (b"GIF8", _Foreign("a GIF image")),
    (b"BM", _Foreign("a BMP image")),
    (b"RIFF", _Foreign("an image or sound file")),
    (b"%PDF", _Foreign("a PDF document")),
    (b"\x1f\x8b", _Foreign("a gzip archive", "Unpack it first.")),
    (b"BZh", _Foreign("a bzip2 archive", "Unpack it first.")),
    (b"\xfd7zXZ", _Foreign("an xz archive", "Unpack it first.")),
    (b"7z\xbc\xaf", _Foreign("a 7z archive", "Unpack it first.")),
    (b"\x93NUMPY", _Foreign("a numpy array")),
    (b"\x7fELF", _Foreign("a program")),
    (b"MZ", _Foreign("a program")),
    (b"\x80", _Foreign("a Python pickle", _EXPORT)),
)


def recognise_format(path: str | Path) -> str:
    """What kind of source model a file or folder is.

    Args:
        path: File or folder; `~` is understood.

    Returns:
        One of the keys of `ACCEPTED`.

    Raises:
        InputError: It is missing, unreadable, or something else; the message says what it looks like.
        MalformedModelError: It is empty, or a damaged archive.
    """
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            return _recognise_folder(path)
        with path.open("rb") as file:
            start = file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from error
    if not start:
        raise MalformedModelError(f"'{path}' is empty.", hint="Copy or download the file again.")
    for recognise in _RECOGNISERS:
        found = recognise(path, start)
        if isinstance(found, _Foreign):
            raise _refusal(path, found)
        if found:
            return found
    raise _refusal(path, _Foreign("no file that coralsmith knows"))


def _refusal(path: Path, found: _Foreign) -> InputError:
    accepted = "Accepted are: " + "; ".join(ACCEPTED.values()) + "."
    return InputError(f"'{path}' is {found.what}, not a source model.", hint=f"{found.hint} {accepted}".strip())


def _recognise_folder(path: Path) -> str:
    if (resolve_source(path) / SAVED_MODEL_FILE).is_file():
        return SAVED_MODEL
    model = model_in(path)
    if model is not None:
        return recognise_format(model)
    if (path / "saved_model.pbtxt").is_file():
        raise _refusal(path, _Foreign("a SavedModel in text form", "Save it again in its binary form."))
    if (path / "pipeline.config").is_file():
        raise _refusal(path, _Foreign("a training folder of the TF Object Detection API", _EXPORT_CHECKPOINT))
    raise _refusal(path, _Foreign("a folder without saved_model.pb or model.json"))


def is_compiled_file(path: Path) -> bool:
    """Whether a path is that of a `.tflite` file compiled for the Edge TPU."""
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == _TFLITE_MAGIC and _holds(path, _COMPILED_MARK)
    except OSError:
        return False


def _recognise_tflite(path: Path, start: bytes) -> str | _Foreign | None:
    if start[4:8] != _TFLITE_MAGIC:
        return None
    if _holds(path, _COMPILED_MARK):
        return _Foreign(
            "a model that is compiled for the Edge TPU already",
            "Give the .tflite it was compiled from; coralsmith inspect looks into this one.",
        )
    return TFLITE


def _holds(path: Path, mark: bytes) -> bool:
    """Whether the bytes occur in the file, read piece by piece."""
    tail = b""
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            if mark in tail + piece:
                return True
            tail = piece[-len(mark) :]
    return False


def _recognise_hdf5(_path: Path, start: bytes) -> str | None:
    return KERAS_H5 if start.startswith(_HDF5_MAGIC) else None


def _recognise_zip(path: Path, start: bytes) -> str | _Foreign | None:
    if not start.startswith(b"PK"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MAX_ZIP_MEMBERS]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise MalformedModelError(
            f"'{path}' is a damaged archive: {error}.", hint="Save or download the model again."
        ) from error
    if "config.json" in names and "model.weights.h5" in names:
        return KERAS
    if any(name.endswith("models/model.json") for name in names):
        return PYTORCH_PROGRAM
    if any(name.startswith("serialized_exported_program") for name in names):
        return _Foreign("a PyTorch program in an older form", "Save it again with torch.export.save of torch 2.8.")
    if any(name.endswith("data.pkl") for name in names):
        return TORCHSCRIPT if any(name.endswith("constants.pkl") for name in names) else PYTORCH_WEIGHTS
    if any(name.endswith("saved_model.pb") for name in names):
        return _Foreign("a zip archive with a SavedModel in it", "Unpack it first.")
    return _Foreign("a zip archive", "Unpack it first.")


def _recognise_old_torch(_path: Path, start: bytes) -> str | None:
    return PYTORCH_WEIGHTS if start.startswith(_TORCH_MAGIC) else None


def _recognise_foreign(_path: Path, start: bytes) -> _Foreign | None:
    for magic, foreign in _FOREIGN_MAGIC:
        if start.startswith(magic):
            return foreign
    return None


def _recognise_protobuf(path: Path, start: bytes) -> str | _Foreign | None:
    """Tell three protobuf files apart by their first fields (tensorflow/core, onnx/onnx.proto)."""
    outer = fields(start)
    first = next(outer, None)
    if first is None:
        return None
    number, value = first
    if number == 1 and isinstance(value, bytes):  # GraphDef.node, a NodeDef: name, operator
        inner = [(field, content) for field, content in fields(value)]
        names_a_node = [field for field, content in inner[:2] if isinstance(content, bytes)] == [1, 2]
        if not names_a_node:
            return None
        return TFJS_GRAPH if has_manifest_beside(path) else FROZEN_GRAPH
    if number == 1 and isinstance(value, int):
        second = next(outer, None)
        if value == 1 and second is not None and second[0] == 2:  # saved_model_schema_version, meta_graphs
            return _saved_model_file(path)
        if 1 < value < 64 and second is not None:  # ModelProto.ir_version, producer_name or opset_import
            return ONNX
    return None


def _saved_model_file(path: Path) -> str | _Foreign:
    if path.name == "saved_model.pb":
        return SAVED_MODEL
    return _Foreign("the graph of a SavedModel without its folder", "Give the whole folder.")


def _recognise_json(path: Path, start: bytes) -> str | _Foreign | None:
    if not starts_as_json(path):
        return None
    try:
        document = read_json(path)
    except InputError:
        if b'"modelTopology"' in start or b'"graph-model"' in start:
            raise
        return None
    if is_layers_model(document):
        return _Foreign("a Keras model in TensorFlow.js form (layers-model)", _LAYERS_TO_KERAS)
    if is_graph_model(document):
        return TFJS_GRAPH
    return _Foreign("a JSON file without a modelTopology", _JSON_MODELS) if isinstance(document, dict) else None


def _recognise_text(_path: Path, start: bytes) -> _Foreign | None:
    try:
        text = start.decode("utf-8", errors="strict" if len(start) < _HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return None
    if not all(character.isprintable() or character in "\r\n\t\f" for character in text):
        return None
    stripped = text.lstrip()
    if stripped.startswith("[") and '"paths"' in text and '"weights"' in text:
        return _Foreign("the weights manifest of a TensorFlow.js model", "Give tensorflowjs_model.pb beside it.")
    if stripped.startswith("version https://git-lfs"):
        return _Foreign("a Git LFS pointer", "The model itself was not downloaded: run 'git lfs pull'.")
    if stripped.lower().startswith(("<!doctype html", "<html")):
        return _Foreign("a web page", "The download gave an error page instead of the model.")
    if stripped.startswith("node {"):
        return _Foreign("a graph in text form (.pbtxt)", "Save it again in its binary form.")
    return _Foreign("a text file")


_RECOGNISERS: Final[tuple[Callable[[Path, bytes], str | _Foreign | None], ...]] = (
    _recognise_tflite,
    _recognise_hdf5,
    _recognise_zip,
    _recognise_old_torch,
    _recognise_foreign,
    _recognise_json,
    _recognise_text,
    _recognise_protobuf,
)
