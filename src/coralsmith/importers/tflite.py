"""Imports `.tflite` models: float ones with weights of any width, and those that are quantized already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph
from coralsmith.graph.interpreter import load_interpreter, native_log_silenced
from coralsmith.graph.kernel_limits import breached_limits
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.static import make_static
from coralsmith.importers.canonical import canonicalise
from coralsmith.importers.float_weights import expand_dynamic_range_weights, expand_half_weights
from coralsmith.importers.image_input import static_image_shape
from coralsmith.importers.imported import Imported, ImportOptions, SourceInfo, is_quantized
from coralsmith.importers.metadata_head import told_by_metadata
from coralsmith.importers.naming import unique_names
from coralsmith.importers.raw_heads import cut_at_raw_heads
from coralsmith.importers.refusals import refuse_unusable
from coralsmith.importers.samples import Samples, model_inputs, noise_pictures
from coralsmith.importers.verification import EXACT_TOLERANCE, verify_import
from coralsmith.progress import Progress

# Dynamic-range kernels round every activation to 8 bits anew, the float graph does not: 1.1 % of an output's range
# on a trained detector.
DYNAMIC_RANGE_TOLERANCE: Final = 0.05
_NORMALISING: Final = frozenset({"MUL", "SUB", "ADD", "DIV", "CAST"})
_ALREADY_QUANTIZED: Final = Finding(
    rule="already-quantized",
    severity="info",
    reason="The source is quantized already, so its scales are kept and nothing is calibrated.",
    fix="To quantize with your own photos, give the float model.",
    evidence="measured: the model's operators write quantized tensors",
)
_NOT_RUN: Final = Finding(
    rule="import-not-verified",
    severity="warning",
    reason="LiteRT cannot run the source model, so the import was not compared with it.",
    evidence="measured: the interpreter refuses the file, or its kernels would not survive it",
)


def import_tflite(source: SourceInfo, options: ImportOptions, progress: Progress) -> Imported:
    """A `.tflite` model in the common form: static, batch 1, its float weights in 32 bits.

    Raises:
        MalformedModelError: The bytes are not a valid model.
        UnsupportedModelError: It has no fixed image size, or uses what the Edge TPU has no form for.
    """
    progress.step("Reading the TensorFlow Lite model")
    graph = read_tflite(source.path)
    refuse_unusable(graph)
    notes, tolerance = _expand_weights(graph)
    _fix_input_size(graph, options.input_size)
    make_static(graph)
    for tensor, name in zip(graph.outputs, unique_names([t.name for t in graph.outputs]), strict=True):
        tensor.name = name
    names = {tensor.name: tensor.name for tensor in graph.outputs}
    told = told_by_metadata(graph, source.path.read_bytes(), list(names))
    samples = _run_original(source.path, graph, options) if options.verify else None
    findings = [*told.findings, *([_NOT_RUN] if options.verify and samples is None else [])]
    if is_quantized(graph):
        findings.append(_ALREADY_QUANTIZED)
    elif not any(op.kind == "CUSTOM" for op in graph.ops):
        canonicalise(graph)
    graph.verify("importing the .tflite model")
    progress.step("Comparing with the source")
    described = replace(source, output_names=names, notes=tuple(notes))
    if samples is None:
        return Imported(graph, told.head, described, findings, None, told.hints)
    verification = verify_import(
        graph, samples, reference="LiteRT", real_images=bool(options.images), tolerance=tolerance
    )
    if is_quantized(graph) or told.head is not None:
        return Imported(graph, told.head, described, findings, verification, told.hints)
    heads = cut_at_raw_heads(graph, samples, verification)
    head = None if heads.head is None else told.hints.completing(heads.head)
    hints = replace(told.hints, background=heads.hints.background)
    return Imported(heads.graph, head, described, findings + heads.findings, heads.verification, hints)


def _fix_input_size(graph: Graph, size: tuple[int, int] | None) -> None:
    """Give an input with open height or width the size that the caller names."""
    for tensor in graph.inputs:
        declared = tensor.shape_signature or tensor.shape
        if declared[:1] not in ((), (1,), (-1,)):
            raise UnsupportedModelError(
                f"The input '{tensor.name}' takes {declared[0]} images at once.",
                hint="Export the model with batch 1; the Edge TPU takes one image at a time.",
            )
        if size is not None or -1 in declared[1:]:
            opened = [None if n == -1 else n for n in declared]
            tensor.shape = static_image_shape(opened, size, tensor.name)
            tensor.shape_signature = (-1, *tensor.shape[1:]) if tensor.shape_signature else None


def _expand_weights(graph: Graph) -> tuple[list[str], float]:
    """Bring all weights to float32; notes on what was done, and the tolerance that it calls for."""
    half, dynamic = expand_half_weights(graph), expand_dynamic_range_weights(graph)
    notes = [f"{half} weights stored in fewer bits were expanded to float32."] if half else []
    if dynamic:
        notes.append(
            f"{dynamic} int8 weights of a dynamic-range model were expanded to float32; the interpreter rounds "
            "such a model's activations for every image, so the float form differs by more than rounding."
        )
    return notes, DYNAMIC_RANGE_TOLERANCE if dynamic else EXACT_TOLERANCE


def _run_original(path: Path, graph: Graph, options: ImportOptions) -> Samples | None:
    """What LiteRT computes with the file as it is; None where it cannot, or would not survive it."""
    unread = graph.facts.subgraphs > 1  # the interpreter would build what the reader has not looked at
    if len(graph.inputs) != 1 or unread or any(breached_limits(graph)):
        return None
    tensor = graph.inputs[0]
    readers = graph.consumers().get(tensor, [])
    inputs = model_inputs(
        options.images or noise_pictures(),
        tensor.shape,
        tensor.dtype,
        raw_pixels=any(op.kind in _NORMALISING for op in readers),
    )
    content = path.read_bytes()
    try:
        interpreter = load_interpreter(content)
        _resize_input(interpreter, tensor.shape)
        runs = [_invoke(interpreter, image) for image in inputs]
    except (UnsupportedModelError, RuntimeError, ValueError):
        return None
    names = [output.name for output in graph.outputs]
    return Samples(inputs, {name: np.stack(values) for name, *values in zip(names, *runs, strict=True)})


def _resize_input(interpreter: Any, shape: tuple[int, ...]) -> None:
    details = interpreter.get_input_details()[0]
    if tuple(details["shape"]) != shape:
        with native_log_silenced():
            interpreter.resize_tensor_input(details["index"], shape)
            interpreter.allocate_tensors()


def _invoke(interpreter: Any, image: Array) -> list[Array]:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
