"""Reads a SavedModel folder by one of its signatures. Runs in the child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coralsmith.errors import MalformedModelError, UnsupportedModelError
from coralsmith.graph.postprocess_limits import CUSTOM_CODE as POSTPROCESS
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.framework_exchange import Request
from coralsmith.importers.image_input import static_image_shape
from coralsmith.importers.tensorflow_conversion import (
    TensorFlowSource,
    refuse_reaching_out,
    source_from,
)


def read_saved_model(request: Request) -> TensorFlowSource:
    """A signature of a SavedModel as a function of one image batch; its outputs by their signature names.

    Raises:
        MalformedModelError: The folder cannot be loaded.
        UnsupportedModelError: No or several signatures, no single image input, or post-processing inside.
    """
    import tensorflow as tf

    _inspect(request)
    try:
        loaded = tf.saved_model.load(request.path)
    except Exception as error:  # the loader raises many types, documented nowhere
        raise MalformedModelError(
            f"TensorFlow cannot load the SavedModel. {essential_line(error)}",
            hint="Copy or export the whole folder again, variables included.",
        ) from error
    name, signature = _choose(dict(loaded.signatures), request.signature)
    arguments = signature.structured_input_signature[1]
    if len(arguments) != 1:
        raise UnsupportedModelError(
            f"The signature '{name}' has {len(arguments)} inputs, not one: {', '.join(sorted(arguments))}.",
            hint="coralsmith converts networks that take one image.",
        )
    names = tuple(sorted(signature.structured_outputs))
    _refuse_postprocessing(names)
    ((argument, spec),) = arguments.items()
    shape = static_image_shape(tuple(spec.shape), request.input_size, argument)

    def call(image: Any) -> list[Any]:
        # By way of `loaded`: the variables live as long as that does, and the signature alone does not hold them.
        results = loaded.signatures[name](**{argument: image})
        return [results[output] for output in names]

    return source_from(call, names, shape, spec.dtype, notes=[f"Read by the signature '{name}'."])


def _inspect(request: Request) -> None:
    """Look through every function of the file before it is loaded: loading already runs its initialisers."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        document = SavedModel.FromString((Path(request.path) / "saved_model.pb").read_bytes())
    except Exception as error:  # protobuf's DecodeError is an implementation detail of its back ends
        raise MalformedModelError(
            f"saved_model.pb is damaged. {essential_line(error)}", hint="Export the model again."
        ) from error
    graphs = [part.graph_def for part in document.meta_graphs]
    functions = [function for graph in graphs for function in graph.library.function]
    nodes = [node for part in graphs for node in part.node] + [n for f in functions for n in f.node_def]
    refuse_reaching_out({node.op for node in nodes}, request.trust)
    if any(f.attr["_implements"].func.name == POSTPROCESS for f in functions if "_implements" in f.attr):
        raise UnsupportedModelError(
            f"The SavedModel ends in {POSTPROCESS}, which only TensorFlow's own conversion of the folder keeps.",
            hint="Convert it with tf.lite.TFLiteConverter.from_saved_model(folder), with allow_custom_ops = True, "
            "and give coralsmith the .tflite file.",
        )


def _choose(signatures: dict[str, Any], asked: str | None) -> tuple[str, Any]:
    listed = ", ".join(sorted(signatures)) or "none"
    if asked is not None and asked not in signatures:
        raise UnsupportedModelError(
            f"The SavedModel has no signature '{asked}'.", hint=f"Its signatures: {listed}."
        )
    wanted = asked or ("serving_default" if "serving_default" in signatures else None)
    if wanted is None and len(signatures) == 1:
        wanted = next(iter(signatures))
    if wanted is None:
        raise UnsupportedModelError(
            f"It is not clear which signature of the SavedModel to read: {listed}.",
            hint="Name one, or export the model with one: model.export(folder), "
            "or tf.saved_model.save(model, folder, signatures=function).",
        )
    return wanted, signatures[wanted]


def _refuse_postprocessing(outputs: tuple[str, ...]) -> None:
    if "detection_boxes" in outputs:
        raise UnsupportedModelError(
            "The SavedModel of the TF Object Detection API holds its pre- and post-processing.",
            hint="Give its TF1 frozen graph, or a .tflite or Keras model of the network up to its raw heads.",
        )
