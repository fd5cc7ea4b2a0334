"""Reads Keras models with Keras 3 or, where that cannot, with tf-keras. Runs in the child process."""

from __future__ import annotations

import contextlib
import json
import sys
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from coralsmith.errors import CoralsmithError, MalformedModelError, UnsupportedModelError
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.framework_exchange import Request
from coralsmith.importers.image_input import static_image_shape
from coralsmith.importers.naming import unique_names
from coralsmith.importers.tensorflow_conversion import (
    TensorFlowSource,
    source_from,
)

_MAX_CONFIG_BYTES: Final = 64 << 20
_KERAS_PACKAGES: Final = frozenset({"keras", "tf_keras", "tensorflow", "builtins"})
_UNKNOWN_CLASS: Final = ("Could not locate", "Unknown layer", "Unknown activation", "custom object")
_CUSTOM_CODE_HINT: Final = (
    "Rebuild the model from built-in layers, or export it as a SavedModel where your own code is at hand."
)


def read_keras(request: Request) -> TensorFlowSource:
    """A Keras model as a function of one image batch.

    The model is loaded without what it was compiled with, since a user's own losses cannot be found here and are
    not needed.

    Raises:
        MalformedModelError: The file is damaged or holds weights only.
        UnsupportedModelError: It holds code of the user's, or has no single image input.
    """
    own_code = set(_own_code(_config(request)))
    if own_code and not request.trust:
        raise UnsupportedModelError(
            f"The file holds code of its own: {', '.join(sorted(name for _, name in own_code)[:3])}.",
            hint=f"If you trust where the file comes from, allow it with --trust. {_CUSTOM_CODE_HINT}",
        )
    import tensorflow as tf

    model, versions, notes = _load(request, _own_classes(request, own_code))
    inputs = list(getattr(model, "inputs", None) or ())
    if len(inputs) != 1:
        raise UnsupportedModelError(
            f"The Keras model has {len(inputs)} declared inputs, not one.",
            hint="Build it as a functional model of one image, or export it as a SavedModel with a signature.",
        )
    shape = static_image_shape(tuple(inputs[0].shape), request.input_size, "image")
    dtype = tf.as_dtype(inputs[0].dtype)
    names = _output_names(model, model(tf.zeros(shape, dtype), training=False))

    def call(image: Any) -> list[Any]:
        return [tensor for _, tensor in _named(model(image, training=False))]

    return source_from(call, names, shape, dtype, versions=versions, notes=notes)


def _load(request: Request, own_classes: dict[str, Any]) -> tuple[Any, dict[str, str], list[str]]:
    """The model, the version of the library that could read it, and a note where that was the second one asked."""
    import keras

    settings = {"compile": False, "safe_mode": not request.trust, "custom_objects": own_classes}
    try:
        return keras.saving.load_model(request.path, **settings), {"keras": keras.__version__}, []
    except Exception as error:  # Keras raises whatever its layers raise
        refusal = error
    try:
        import tf_keras

        model = tf_keras.models.load_model(request.path, **settings)
    except Exception as error:
        raise _unreadable(refusal) from error
    note = f"Keras {keras.__version__} could not read the file, so tf-keras {tf_keras.__version__} did."
    return model, {"tf_keras": tf_keras.__version__}, [note]


def _unreadable(error: Exception) -> CoralsmithError:
    unknown = [line for line in str(error).splitlines() if any(sign in line for sign in _UNKNOWN_CLASS)]
    if unknown:
        return UnsupportedModelError(
            f"The model uses a class or function that is not part of Keras: {unknown[0][:300]}",
            hint=_CUSTOM_CODE_HINT,
        )
    return MalformedModelError(
        f"Keras cannot read the file. {essential_line(error)}",
        hint="Save the whole model again with model.save('detector.keras').",
    )


def _own_classes(request: Request, own_code: set[tuple[str, str]]) -> dict[str, Any]:
    """The classes of a trusted file, from modules that lie beside it or are installed."""
    classes: dict[str, Any] = {}
    if own_code:
        sys.path.append(str(Path(request.path).parent))
    for module, name in own_code:
        with contextlib.suppress(ImportError, AttributeError):  # Keras then says which class it lacks
            classes[name] = getattr(import_module(module), name)
    return classes


def _config(request: Request) -> Any:
    """The architecture as Keras wrote it: JSON, in the archive or in an attribute of the HDF5 file."""
    import h5py

    try:
        if request.format == "keras":
            with zipfile.ZipFile(request.path) as archive, archive.open("config.json") as member:
                return json.loads(member.read(_MAX_CONFIG_BYTES))
        with h5py.File(request.path, "r") as file:
            config = file.attrs.get("model_config")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise MalformedModelError(
            f"The Keras file is damaged. {essential_line(error)}", hint="Save or download the model again."
        ) from error
    if config is None:
        raise MalformedModelError(
            "The HDF5 file holds weights only, without the architecture.",
            hint="Save the whole model with model.save('detector.keras').",
        )
    return json.loads(config)


def _own_code(part: Any) -> Iterator[tuple[str, str]]:
    """Module and name of everything in a configuration that is not Keras's own; Python code counts as a module."""
    if isinstance(part, list):
        for item in part:
            yield from _own_code(item)
    if not isinstance(part, dict):
        return
    name, module = part.get("class_name"), part.get("module")
    if name in ("Lambda", "__lambda__"):
        yield "python", str(name)
    elif isinstance(module, str) and module.partition(".")[0] not in _KERAS_PACKAGES:
        yield module, str(name)
    for key, item in part.items():
        if key not in ("compile_config", "build_config"):
            yield from _own_code(item)


def _named(outputs: Any) -> list[tuple[str, Any]]:
    """The outputs of a call with the names that their structure gives them ('' in a list)."""
    if isinstance(outputs, dict):
        return [(name, outputs[name]) for name in sorted(outputs)]
    if isinstance(outputs, list | tuple):
        return [("", tensor) for tensor in outputs]
    return [("", outputs)]


def _output_names(model: Any, outputs: Any) -> tuple[str, ...]:
    """Names of the outputs: keys of a dictionary, else those of the layers that make them."""
    named = _named(outputs)
    layers = list(getattr(model, "output_names", None) or ())
    if len(layers) != len(named):
        layers = [f"output_{i}" for i in range(len(named))]
    return unique_names([name or layer for (name, _), layer in zip(named, layers, strict=True)])
