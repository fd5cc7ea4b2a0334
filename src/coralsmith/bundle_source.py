"""What `bundle` starts from: a model, its head and labels, and the int8 model that stands for a compiled one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from coralsmith.compiled.package import is_edgetpu_operator, read_package
from coralsmith.compiled.segments import segments_of
from coralsmith.deploy.deployable import DeployableModel, are_placeholders
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.head_choice import choose_head
from coralsmith.detection.images import ImageFolder
from coralsmith.detection.labels import read_labels
from coralsmith.detection.postprocess_op import detach_postprocess_op, find_postprocess_op
from coralsmith.errors import CoralsmithError, DetectionHeadError, InputError, UnsupportedModelError, UsageError
from coralsmith.findings import Finding
from coralsmith.graph import Graph
from coralsmith.graph.reader import parse_tflite, read_tflite
from coralsmith.model_input import image_size
from coralsmith.verify_model import verify

COMPILED_SUFFIX: Final = "_edgetpu"
INT8_SUFFIX: Final = "_int8"
LABELS_BESIDE: Final = "labels.txt"
RECOGNITION_IMAGES: Final = 8
_UNFIT_FOR_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")


def read_deployable(
    path: Path, head_file: Path | None, labels_file: Path | None, photos: Path
) -> tuple[DeployableModel, list[Finding]]:
    """A model that can be bundled, and what was found on the way.

    Args:
        path: int8 `.tflite`, or what the Edge TPU compiler made of it.
        head_file: The user's ``--head``.
        labels_file: The user's ``--labels``.
        photos: Folder of photos, on which a raw head is recognised where no file tells it.

    Raises:
        InputError: The file is no full-integer detector, its name claims what it is not, or its head is unknown.
        UsageError: It is a segment of a pipeline.
    """
    graph = read_tflite(path)
    is_compiled = _is_compiled(path, graph)
    _require_integers(path, graph, is_compiled)
    head, findings = _head(graph, path, head_file, labels_file, photos)
    runnable, not_run = (path, "") if not is_compiled else _int8_model(path)
    if not_run:
        findings.append(_not_replayed(not_run))
    stem = path.stem.removesuffix(COMPILED_SUFFIX).removesuffix(INT8_SUFFIX)
    model = DeployableModel(
        name=_fit(stem),
        file_name=f"{_fit(path.stem)}.tflite",
        content=path.read_bytes(),
        graph=graph,
        head=head,
        is_compiled=is_compiled,
        runnable=None if runnable is None else runnable.read_bytes(),
        not_run=not_run,
    )
    return model, findings


def _fit(name: str) -> str:
    """A name that needs no quotes in a path, in YAML or in a shell."""
    return _UNFIT_FOR_NAMES.sub("-", name).strip("-.") or "model"


def _is_compiled(path: Path, graph: Graph) -> bool:
    """Whether the model holds a program for the Edge TPU, in earnest.

    Raises:
        InputError: Its name says so, but it holds none.
        MalformedModelError: Its program cannot be read.
    """
    programs = [op for op in graph.ops if is_edgetpu_operator(op)]
    if len(segments_of(path.name)) > 1:
        raise UsageError(
            f"'{path.name}' is one segment of a pipeline; no host that bundles are made for runs pipelines.",
            hint="Compile the model whole: coralsmith compile MODEL_int8.tflite",
        )
    if not programs and path.stem.endswith(COMPILED_SUFFIX):
        raise InputError(
            f"'{path}' is called compiled, but it holds no edgetpu-custom-op.",
            hint="Give it another name, or compile it: coralsmith compile MODEL_int8.tflite",
        )
    for op in programs:
        read_package(op.custom_options)
    return bool(programs)


def _require_integers(path: Path, graph: Graph, is_compiled: bool) -> None:
    """Refuse float models: what no Edge TPU takes is no use on a device.

    Raises:
        InputError: The weights are float.
    """
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    layers = [op for op in graph.ops if op.kind in kinds]
    if not is_compiled and any(op.required_input("filter").is_float for op in layers):
        raise InputError(
            f"'{path}' is a float model.", hint=f"coralsmith convert {path} --images DIR makes the int8 model."
        )


def _head(
    graph: Graph,
    path: Path,
    head_file: Path | None,
    labels_file: Path | None,
    photos: Path,
) -> tuple[DetectionHead, list[Finding]]:
    size = image_size(graph)
    try:
        head = choose_head(
            graph,
            path,
            head_file=head_file,
            labels_file=labels_file,
            images=[] if size is None else ImageFolder(photos, size, limit=RECOGNITION_IMAGES),
        )
    except DetectionHeadError as error:
        if head_file is not None or labels_file is not None:
            raise
        hint = f"`coralsmith head {path} --images DIR -o head.json` finds it; give it with --head."
        raise DetectionHeadError(error.message, hint) from error
    if find_postprocess_op(graph) is not None:
        head = _limits_of_operator(graph, head)
    return (head, []) if labels_file is not None else _labels_beside(path, head)


def _limits_of_operator(graph: Graph, head: DetectionHead) -> DetectionHead:
    """The head as the operator inside the model says; only input and labels are the file's.

    Raises:
        DetectionHeadError: The file is for another model.
    """
    _, inner = detach_postprocess_op(graph)
    if len(head.labels) != len(inner.labels):
        raise DetectionHeadError(
            f"The head has {len(head.labels)} labels, the model {len(inner.labels)} classes.",
            hint="Give the head.json that was written with this model (--head), or a label file (--labels).",
        )
    if head.input.size != inner.input.size:
        raise DetectionHeadError(
            f"The head is for {list(head.input.size)} pixels, the model takes {list(inner.input.size)}.",
            hint="Give the head.json that was written with this model (--head).",
        )
    return replace(inner, input=head.input, labels=head.labels, category_ids=head.category_ids)


def _labels_beside(path: Path, head: DetectionHead) -> tuple[DetectionHead, list[Finding]]:
    """The labels in the file that `convert` leaves beside a model, where the head has no names of its own."""
    file = path.with_name(LABELS_BESIDE)
    if not file.is_file():
        return head, []
    labels = tuple(read_labels(file))
    if labels == head.labels:
        return head, []
    if are_placeholders(head.labels) and len(labels) == len(head.labels):
        return replace(head, labels=labels), []
    reason = f"'{LABELS_BESIDE}' beside the model has other labels ({len(labels)}) than its head, which counts."
    return head, [Finding("labels-differ", "warning", reason, f"To use the file instead: --labels {file}")]


def _int8_model(path: Path) -> tuple[Path | None, str]:
    """The int8 model that a compiled one was made from, if it lies beside it and that is proved; else why not."""
    twin = path.with_name(f"{path.stem.removesuffix(COMPILED_SUFFIX)}{path.suffix}")
    if twin == path or not twin.is_file():
        return None, f"a compiled model runs on its device only, and its int8 model '{twin.name}' is not beside it"
    try:
        proof = verify(twin, path)
    except CoralsmithError as error:
        return None, f"'{twin.name}' beside it cannot be used: {error.message}"
    if proof.verdict != "match":
        return None, f"'{twin.name}' beside it is not proved to be its source (verify: {proof.verdict})"
    try:
        _same_boundary(parse_tflite(twin.read_bytes()), read_tflite(path))
    except UnsupportedModelError as error:
        return None, error.message
    return twin, ""


def _same_boundary(source: Graph, compiled: Graph) -> None:
    """Make sure that what hosts see of both files is the same: one input, and the outputs in one order.

    Raises:
        UnsupportedModelError: It is not.
    """
    for inside, outside in ((source.inputs, compiled.inputs), (source.outputs, compiled.outputs)):
        first, second = ([(t.name, t.shape, t.dtype) for t in tensors] for tensors in (inside, outside))
        if first != second:
            raise UnsupportedModelError("the int8 model beside it has other inputs or outputs")


def _not_replayed(reason: str) -> Finding:
    return Finding(
        "not-replayed",
        "warning",
        f"How the host reads this model was not tried: {reason}.",
        "Put the int8 model that was compiled beside it and bundle again, or try the bundle on the device.",
    )
