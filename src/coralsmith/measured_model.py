"""A model of any format made ready to be measured, and several models made to detect in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.head import DetectionHead, NmsSpec
from coralsmith.detection.head_choice import choose_head
from coralsmith.detection.postprocess_op import (
    detach_postprocess_op,
    find_postprocess_op,
    suppresses_within_classes,
)
from coralsmith.detection.preprocess import resize_image
from coralsmith.errors import DetectionHeadError
from coralsmith.evaluation.agreement import Classes
from coralsmith.evaluation.document import Decoding
from coralsmith.evaluation.ledger import Form
from coralsmith.findings import Finding
from coralsmith.graph import Graph, Op
from coralsmith.graph.reader import read_tflite
from coralsmith.importers import import_model
from coralsmith.importers.formats import TFLITE, is_compiled_file, recognise_format
from coralsmith.importers.image_input import parse_size
from coralsmith.importers.imported import Imported, ImportOptions, is_quantized
from coralsmith.importers.source_files import resolve_source
from coralsmith.model_input import image_size
from coralsmith.progress import SILENT, Progress
from coralsmith.runtime.detector import Detector


@dataclass(frozen=True)
class ImportChoices:
    """What a user may say about the sources of models; see `import_model`."""

    trust: bool = False
    input_size: tuple[int, int] | str | None = None
    factory: str | None = None

    def options(self) -> ImportOptions:
        """The same as the importers take them."""
        return ImportOptions(self.trust, input_size=parse_size(self.input_size), factory=self.factory)


@dataclass(frozen=True, eq=False)
class MeasuredModel:
    """A model that can be run here, and its head.

    Attributes:
        name: How the user called it.
        graph: As it is delivered, with TFLite_Detection_PostProcess where it has that.
        raw: Without that operator.
        head: Of the raw heads.
        within_classes: Whether boxes are suppressed by boxes of their own class only.
        imported: Where it came from; None for a graph made by this program, and for a compiled file.
        compiled: The file, where it is compiled for the Edge TPU.
    """

    name: str
    graph: Graph
    raw: Graph
    head: DetectionHead
    within_classes: bool
    imported: Imported | None = None
    compiled: Path | None = None

    @property
    def form(self) -> Form:
        """Float, int8, or compiled for the Edge TPU."""
        if self.compiled is not None:
            return "edgetpu"
        return "int8" if is_quantized(self.graph) else "float"

    @property
    def classes(self) -> Classes:
        """What it calls its classes."""
        return Classes(self.head.labels, self.head.category_ids)

    @property
    def findings(self) -> list[Finding]:
        """What was noticed when it was read."""
        return [] if self.imported is None else self.imported.findings


def load_model(
    path: Path,
    head_file: Path | None = None,
    labels_file: Path | None = None,
    photos: Sequence[NDArray[np.uint8]] = (),
    choices: ImportChoices | None = None,
    progress: Progress = SILENT,
) -> MeasuredModel:
    """Read a model of any source format, or one that is compiled for the Edge TPU, and find its head.

    Args:
        path: The model.
        head_file: The user's `--head`.
        labels_file: The user's `--labels`.
        photos: Images of any size, on which an unknown head is recognised.
        choices: What the user says about the source.
        progress: Told of the import.

    Raises:
        DetectionHeadError: Its head is not known.
        DeviceError: It is compiled, and no Edge TPU can run it here.
        InputError: It cannot be read.
    """
    if is_compiled_file(path):
        return compiled_model(path, head_file, labels_file)
    choices = choices or ImportChoices()
    imported = import_model(
        path,
        trust=choices.trust,
        images=photos or None,
        input_size=choices.input_size,
        factory=choices.factory,
        progress=progress,
    )
    size = image_size(imported.graph)
    try:
        head = choose_head(
            imported.graph,
            path,
            carried=imported.head,
            head_file=head_file,
            labels_file=labels_file,
            images=[] if size is None else [resize_image(photo, size) for photo in photos],
            hints=imported.hints,
        )
    except DetectionHeadError as error:
        raise DetectionHeadError(f"'{path}': {error.message}", error.hint, error.evidence) from error
    measured = replace(measured_graph(imported.graph, head, str(path)), imported=imported)
    operator = _own_operator(path)
    return measured if operator is None else replace(measured, within_classes=suppresses_within_classes(operator))


def compiled_model(
    file: Path, head: DetectionHead | Path | None = None, labels_file: Path | None = None
) -> MeasuredModel:
    """A file that is compiled for the Edge TPU, which must be there.

    Args:
        file: The compiled `.tflite`.
        head: Its head or the file of that; else it is looked for beside the model and in it.
        labels_file: The user's `--labels`.

    Raises:
        DetectionHeadError: Its head is not known.
        DeviceError: No Edge TPU can run it here.
    """
    with Detector(file, head, labels=labels_file) as detector:  # a device that is missing is told before any work
        measured = measured_graph(detector.graph, detector.head, str(file))
    return replace(measured, compiled=file)


def _own_operator(path: Path) -> Op | None:
    """The detection operator of a `.tflite` file, which the import of a float one takes off."""
    file = resolve_source(path)
    return find_postprocess_op(read_tflite(file)) if recognise_format(file) == TFLITE else None


def measured_graph(graph: Graph, head: DetectionHead, name: str) -> MeasuredModel:
    """A graph and its head; of a head file beside a model with the operator, input and labels are taken.

    Raises:
        DetectionHeadError: The head does not belong to the model.
    """
    op = find_postprocess_op(graph)
    if op is None:
        head.check_against(graph)
        return MeasuredModel(name, graph, graph, head, within_classes=True)
    raw, own = detach_postprocess_op(graph)
    if len(own.labels) != len(head.labels):
        raise DetectionHeadError(
            f"'{name}' finds {len(own.labels)} classes, its head names {len(head.labels)}.",
            hint="Give the labels of this model with --labels, one a line.",
        )
    head = replace(own, input=head.input, labels=head.labels, category_ids=head.category_ids)
    return MeasuredModel(name, graph, raw, head, suppresses_within_classes(op))


def decoding_of(model: MeasuredModel) -> Decoding:
    """How a model is decoded as it is delivered: by its operator, or by the limits of its head."""
    limits = model.head.nms
    return Decoding(
        "within classes" if model.within_classes else "across classes",
        limits.iou,
        limits.score,
        limits.max_detections,
    )


def detector_like(model: MeasuredModel, decoding: Decoding, threads: int = 2) -> Detector:
    """A detector that decodes as asked; by the model's own operator where that does just this."""
    if decoding_of(model) == decoding and model.graph is not model.raw:
        return Detector(model.compiled or model.graph, model.head, threads=threads)
    limits = NmsSpec(decoding.iou, decoding.score, decoding.max_detections)
    head = replace(model.head, nms=limits)
    own = model.compiled if model.graph is model.raw else None
    within_classes = decoding.suppression == "within classes"
    return Detector(own or model.raw, head, threads=threads, per_class=within_classes)
