"""Reads a SavedModel folder by one of its signatures. Runs in the child process.

A signature that suppresses boxes, or ends in TFLite_Detection_PostProcess, is a whole detector: it is frozen, and
cut at its raw heads like a graph of TensorFlow 1. Any other is a network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from coralsmith.errors import MalformedModelError, UnsupportedModelError
from coralsmith.graph.postprocess_limits import CUSTOM_CODE as POSTPROCESS
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.framework_exchange import Request
from coralsmith.importers.frozen_graph_structure import SUPPRESSING
from coralsmith.importers.image_input import static_image_shape
from coralsmith.importers.tensorflow_conversion import (
    TensorFlowSource,
    refuse_reaching_out,
    source_from,
)
from coralsmith.importers.tensorflow_frozen_graph import graph_source
from coralsmith.importers.tensorflow_graph_freezing import freeze_signature

_INITIALISER: Final = "__saved_model_init_op"
_SCORES: Final = "detection_scores"


@dataclass(frozen=True)
class _Contents:
    """What a SavedModel's file tells without being loaded.

    Attributes:
        tags: Tags of its graph.
        signatures: Outputs of each signature, by name.
        is_detector: Whether boxes are suppressed inside.
    """

    tags: list[str]
    signatures: dict[str, dict[str, Any]]
    is_detector: bool


def read_saved_model(request: Request) -> TensorFlowSource:
    """A signature of a SavedModel as a function of one image batch, cut at its raw heads where it is a detector.

    Raises:
        MalformedModelError: The folder cannot be loaded.
        UnsupportedModelError: No or several signatures, or no single image input.
        DetectionHeadError: Boxes are decoded in a way that no head describes.
    """
    contents = _inspect(request)
    name = _choose(sorted(contents.signatures), request.signature)
    if contents.is_detector:
        outputs = contents.signatures[name]
        graph_def = freeze_signature(request.path, [tensor.name for tensor in outputs.values()], contents.tags)
        source = graph_source(graph_def, request)
        if source.head is None:
            raise UnsupportedModelError(
                f"The signature '{name}' suppresses boxes, but decodes none from anchors: it is no SSD.",
                hint="coralsmith converts SSD detectors; for another one, export the network without its "
                "post-processing.",
            )
        head = _with_all_detections(source.head, outputs)
        return replace(source, head=head, notes=[f"Read by the signature '{name}'.", *source.notes])
    return _read_network(request, name)


def _with_all_detections(head: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """The head with as many detections as the signature gives; suppression in the graph counts one class."""
    shape = [side.size for side in outputs[_SCORES].tensor_shape.dim] if _SCORES in outputs else []
    if len(shape) != 2 or shape[1] < 1:
        return head
    return {**head, "nms": {**head["nms"], "max_detections": shape[1]}}


def _read_network(request: Request, name: str) -> TensorFlowSource:
    """A signature without post-processing; its outputs by their signature names."""
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(request.path)
    except Exception as error:  # the loader raises many types, documented nowhere
        raise MalformedModelError(
            f"TensorFlow cannot load the SavedModel. {essential_line(error)}",
            hint="Copy or export the whole folder again, variables included.",
        ) from error
    signature = loaded.signatures[name]
    arguments = signature.structured_input_signature[1]
    if len(arguments) != 1:
        raise UnsupportedModelError(
            f"The signature '{name}' has {len(arguments)} inputs, not one: {', '.join(sorted(arguments))}.",
            hint="coralsmith converts networks that take one image.",
        )
    names = tuple(sorted(signature.structured_outputs))
    ((argument, spec),) = arguments.items()
    shape = static_image_shape(tuple(spec.shape), request.input_size, argument)

    def call(image: Any) -> list[Any]:
        # By way of `loaded`: the variables live as long as that does, and the signature alone does not hold them.
        results = loaded.signatures[name](**{argument: image})
        return [results[output] for output in names]

    return source_from(call, names, shape, spec.dtype, notes=[f"Read by the signature '{name}'."])


def _inspect(request: Request) -> _Contents:
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
    kinds = {node.op for node in nodes}
    refuse_reaching_out(kinds, request.trust)
    ends_in_operator = any(
        f.attr["_implements"].func.name == POSTPROCESS for f in functions if "_implements" in f.attr
    )
    if not document.meta_graphs:
        raise MalformedModelError("saved_model.pb holds no graph.", hint="Export the model again.")
    served = next(
        (part for part in document.meta_graphs if "serve" in part.meta_info_def.tags), document.meta_graphs[0]
    )
    signatures = {
        name: dict(signature.outputs) for name, signature in served.signature_def.items() if name != _INITIALISER
    }
    return _Contents(list(served.meta_info_def.tags), signatures, ends_in_operator or bool(kinds & SUPPRESSING))


def _choose(signatures: list[str], asked: str | None) -> str:
    listed = ", ".join(signatures) or "none"
    if asked is not None and asked not in signatures:
        raise UnsupportedModelError(
            f"The SavedModel has no signature '{asked}'.", hint=f"Its signatures: {listed}."
        )
    wanted = asked or ("serving_default" if "serving_default" in signatures else None)
    if wanted is None and len(signatures) == 1:
        wanted = signatures[0]
    if wanted is None:
        raise UnsupportedModelError(
            f"It is not clear which signature of the SavedModel to read: {listed}.",
            hint="Name one, or export the model with one: model.export(folder), "
            "or tf.saved_model.save(model, folder, signatures=function).",
        )
    return wanted
