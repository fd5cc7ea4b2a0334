"""Reads Keras models with Keras 3 or, where that cannot, with tf-keras. Runs in the child process."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import Any, Final

from coralsmith.errors import CoralsmithError, MalformedModelError, UnsupportedModelError
from coralsmith.importers.image_input import static_image_shape
from coralsmith.importers.naming import unique_names
from coralsmith.importers.tensorflow_conversion import (
    TensorFlowSource,
    essential_line,
    source_from,
)
from coralsmith.importers.tensorflow_exchange import Request

_MAX_CONFIG_BYTES: Final = 64 << 20
_OWN_MODULES: Final = ("keras", "tf_keras", "builtins", "tensorflow.python.keras")
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
    import tensorflow as tf

    _refuse_code(request)
    model, versions, notes = _load(request)
    if len(getattr(model, "inputs", None) or ()) != 1:
        raise UnsupportedModelError(
            f"The Keras model has {len(getattr(model, 'inputs', None) or ())} declared inputs, not one.",
            hint="Build it as a functional model of one image, or export it as a SavedModel with a signature.",
        )
    shape = static_image_shape(tuple(model.inputs[0].shape), request.input_size, "image")
    dtype = tf.as_dtype(model.inputs[0].dtype)
    names = _output_names(model, model(tf.zeros(shape, dtype), training=False))

    def call(image: Any) -> list[Any]:
        return [tensor for _, tensor in _named(model(image, training=False))]

    return source_from(call, names, shape, dtype, versions=versions, notes=notes)


def _load(request: Request) -> tuple[Any, dict[str, str], list[str]]:
    import keras

    try:
        model = keras.saving.load_model(request.path, compile=False, safe_mode=not request.trust)
        return model, {"keras": keras.__version__}, []
    except Exception as error:  # Keras raises whatever its layers raise
        first = error
    try:
        import tf_keras
    except ImportError:
        raise _unreadable(first) from first
    try:
        model = tf_keras.models.load_model(request.path, compile=False, safe_mode=not request.trust)
    except Exception as error:
        raise _unreadable(first) from error
    note = f"Keras {keras.__version__} could not read the file, so tf-keras {tf_keras.__version__} did."
    return model, {"tf_keras": tf_keras.__version__}, [note]


def _unreadable(error: Exception) -> CoralsmithError:
    text = str(error)
    if any(sign in text for sign in ("Could not locate", "Unknown layer", "custom object", "not registered")):
        return UnsupportedModelError(
            f"The model uses a class or function that is not part of Keras. {essential_line(error)}",
            hint=_CUSTOM_CODE_HINT,
        )
    return MalformedModelError(
        f"Keras cannot read the file. {essential_line(error)}",
        hint="Save the whole model again with model.save('detector.keras').",
    )


def _refuse_code(request: Request) -> None:
    """Refuse a file that brings Python code of its own, before anything of it is loaded."""
    config = _config(request)
    foreign = sorted(set(_foreign_code(config)))
    if foreign and not request.trust:
        raise UnsupportedModelError(
            f"The file holds code of its own: {', '.join(foreign[:3])}.",
            hint=f"If you trust where the file comes from, allow it with --trust. {_CUSTOM_CODE_HINT}",
        )


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


def _foreign_code(part: Any) -> Iterator[str]:
    """Names of everything in a configuration that is not Keras's own."""
    if isinstance(part, list):
        for item in part:
            yield from _foreign_code(item)
    if not isinstance(part, dict):
        return
    name, module = part.get("class_name"), part.get("module")
    if name in ("Lambda", "__lambda__"):
        yield f"a {name} layer" if name == "Lambda" else "a lambda function"
    elif isinstance(module, str) and not module.startswith(_OWN_MODULES):
        yield f"{module}.{name}"
    for key, item in part.items():
        if key not in ("compile_config", "build_config"):
            yield from _foreign_code(item)


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
