"""A model that is to be bundled: its bytes, its head, and what of it can be run here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.deploy.metadata import LABEL_FILE, decoded_metadata, raw_metadata
from coralsmith.deploy.model_file import with_metadata
from coralsmith.detection.detections import Detections
from coralsmith.detection.feeding import model_input
from coralsmith.detection.head import DetectionHead
from coralsmith.detection.postprocess_op import detach_postprocess_op, find_postprocess_op
from coralsmith.errors import UnsupportedModelError
from coralsmith.findings import Finding
from coralsmith.graph import Graph, Op
from coralsmith.graph.flexbuffer import FLEXBUFFER_DAMAGE, flexbuffer_map
from coralsmith.graph.reader import parse_tflite
from coralsmith.runtime.detector import Detector

OUTPUT_ROLES: Final = ("boxes", "classes", "scores", "count")
"""Outputs of the operator in its own order, which is also the one that hosts read by position."""

BACKGROUND: Final = "background"
"""How label files call the background's column."""

_DETECTIONS_PER_CLASS: Final = 100  # where the option is left out
_FLIP: Final = 128  # turns a pixel into the int8 that is 128 less


@dataclass(frozen=True, eq=False)
class DeployableModel:
    """What a bundle is made of.

    Attributes:
        name: What the model is called, without suffixes; fit for a file name.
        file_name: Name of its file in the bundle.
        content: The model's file.
        graph: What is in it.
        head: Its head; for a model that decodes its boxes itself with the limits that stand in its operator.
        is_compiled: Whether it holds a program for the Edge TPU.
        runnable: The file that can be run here: the model itself or the int8 model it was proved to come from.
        not_run: Why nothing can be run; empty where something can.
    """

    name: str
    file_name: str
    content: bytes
    graph: Graph
    head: DetectionHead
    is_compiled: bool
    runnable: bytes | None
    not_run: str = ""

    @property
    def decodes_itself(self) -> bool:
        """Whether the model ends in TFLite_Detection_PostProcess."""
        return find_postprocess_op(self.graph) is not None

    def bundled(self, content: bytes | None = None) -> bytes:
        """The model, or another form of it, with metadata, its outputs in the order that hosts read.

        Raises:
            UnsupportedModelError: An output of the operator is no output of the model.
        """
        content = self.content if content is None else content
        labels, order = list(self.head.labels), None
        if self.decodes_itself:
            metadata, order = (
                decoded_metadata(self.head, self.graph, self.name),
                plain_order(parse_tflite(content)),
            )
        else:
            metadata = raw_metadata(self.head, self.graph, self.name)
            if self.head.score.background is not None:
                labels.insert(self.head.score.background, BACKGROUND)  # here the file names columns
        lines = "".join(f"{label}\n" for label in labels)
        return with_metadata(content, metadata, {LABEL_FILE: lines.encode()}, order)

    def reference(self) -> Callable[[NDArray[np.uint8]], Detections]:
        """What coralsmith detects in images of the model's size: its decoding of raw heads, not the operator's."""
        if self.runnable is None:
            raise UnsupportedModelError(f"Nothing of the model can be run here: {self.not_run}")
        graph = parse_tflite(self.runnable)
        op = find_postprocess_op(graph)
        if op is None:
            return Detector(graph, self.head).detect_resized
        raw, inner = detach_postprocess_op(graph)
        head = replace(inner, input=self.head.input, labels=self.head.labels)
        if not is_regular(op):
            return Detector(raw, head, per_class=False).detect_resized
        unlimited = replace(head.nms, max_detections=len(head.anchors) * len(head.labels))
        detect = Detector(raw, replace(head, nms=unlimited)).detect_resized
        return lambda pixels: _regular_mode(detect(pixels), op, head)


def is_regular(op: Op) -> bool:
    """Whether TFLite_Detection_PostProcess suppresses in each class."""
    return bool(option(op, "use_regular_nms"))


def _regular_mode(found: Detections, op: Op, head: DetectionHead) -> Detections:
    """What the operator's regular mode leaves of all detections that survive in their class.

    Source: ``detection_postprocess.cc``, NonMaxSuppressionMultiClassRegularHelper, whose loop over the classes
    ends before the last one (measured too).
    """
    each = option(op, "detections_per_class") or _DETECTIONS_PER_CLASS
    same = found.class_ids[:, None] == np.arange(len(head.labels) - 1)
    rank = np.where(same, same.cumsum(axis=0), 0).sum(axis=1)  # 0 for the last class
    kept = np.flatnonzero((rank > 0) & (rank <= each))[: head.nms.max_detections]
    return Detections(found.boxes[kept], found.class_ids[kept], found.scores[kept])


def plain_order(graph: Graph) -> tuple[int, ...] | None:
    """Old positions of the outputs in the order boxes, classes, scores, count; None where they stand so already.

    Raises:
        UnsupportedModelError: An output of the operator is no output of the model.
    """
    op = find_postprocess_op(graph)
    if op is None or len(op.outputs) != len(OUTPUT_ROLES) or not set(op.outputs) <= set(graph.outputs):
        raise UnsupportedModelError(
            f"The model's {len(graph.outputs)} outputs are not the four of TFLite_Detection_PostProcess.",
            hint="Convert it again from its source: coralsmith convert SOURCE --images DIR",
        )
    first = [graph.outputs.index(tensor) for tensor in op.outputs]
    order = tuple(first + [number for number in range(len(graph.outputs)) if number not in first])
    return None if order == tuple(range(len(order))) else order


def order_in_words(graph: Graph) -> str:
    """The roles of the outputs in the order of the file."""
    op = find_postprocess_op(graph)
    assert op is not None
    roles = dict(zip(op.outputs, OUTPUT_ROLES, strict=True))
    return ", ".join(roles.get(tensor, tensor.name) for tensor in graph.outputs)


def require_decoding(model: DeployableModel, host: str) -> None:
    """Refuse raw heads for a host that decodes nothing itself.

    Raises:
        UnsupportedModelError: The model has raw heads, or reports several classes for a box.
    """
    op = find_postprocess_op(model.graph)
    if op is None:
        raise UnsupportedModelError(
            f"The model ends in raw boxes and scores; {host} reads boxes, classes, scores and count.",
            hint="Convert it again with --postprocess op (the default), or bundle it --for plain, which decodes.",
        )
    most = option(op, "max_classes_per_detection")
    if most is not None and most > 1:
        raise UnsupportedModelError(
            f"The operator reports up to {most:g} classes for each box, so its rows are not sorted by score.",
            hint=f"{host} stops at the first low score: export with max_classes_per_detection = 1.",
        )


def require_plain_pixels(model: DeployableModel, host: str) -> None:
    """Refuse a model whose integers are not the pixels that the host hands over.

    Raises:
        UnsupportedModelError: The input is float, or its integers mean other numbers than the pixels.
    """
    tensor, spec = model.graph.inputs[0], model.head.input
    fix = "Convert it again with --io uint8 (the default), which takes pixels as they are."
    if tensor.is_float:
        raise UnsupportedModelError(f"The model takes {tensor.dtype} numbers; {host} hands over pixels.", hint=fix)
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    wanted = model_input(tensor, levels[None], spec)[0].astype(np.int64)
    off = int(np.abs(wanted - plain_pixels(levels, tensor.dtype).astype(np.int64)).max())
    if off > 1:
        raise UnsupportedModelError(
            f"{host} hands over plain pixels; the model's input means other numbers, up to {off} steps off.",
            hint=fix,
        )


def plain_pixels(pixels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Pixels as hosts hand them over: uint8 as they are, int8 with the highest bit flipped."""
    return pixels if dtype == np.uint8 else (pixels ^ _FLIP).view(np.int8)


def are_placeholders(labels: Sequence[str]) -> bool:
    """Whether the labels are those that coralsmith gives to classes without names."""
    return all(re.fullmatch(r"class \d+", label) for label in labels)


def label_findings(labels: Sequence[str], host: str) -> list[Finding]:
    """What of the labels a host's users will stumble over."""
    found = []
    if are_placeholders(labels):
        found.append(
            Finding(
                "no-class-names",
                "warning",
                f"The model brings no class names, so {host} will show '{labels[0]}' and so on.",
                "Give them with --labels FILE, one a line, the first for class 0.",
            )
        )
    twice = sorted({label for label in labels if labels.count(label) > 1 and label != "unknown"})
    if twice:
        found.append(
            Finding(
                "duplicate-labels",
                "warning",
                f"Several classes have the same name, and {host} cannot tell them apart: {', '.join(twice)}.",
                "Give each class a name of its own with --labels.",
            )
        )
    return found


def operator_findings(model: DeployableModel) -> list[Finding]:
    """Tell a class that the operator never reports, whatever the host."""
    op = find_postprocess_op(model.graph)
    if op is None or not is_regular(op):
        return []
    return [
        Finding(
            "last-class-missing",
            "warning",
            f"The operator runs in its regular mode, which never reports the last class: {model.head.labels[-1]}.",
            "Convert it again from its source with coralsmith, or export it with use_regular_nms false.",
            evidence="measured, LiteRT 2.3; detection_postprocess.cc: col < num_classes - 1",
        )
    ]


def order_findings(model: DeployableModel) -> list[Finding]:
    """Tell that the outputs stand in another order in the given file than in the bundle."""
    if not model.decodes_itself or plain_order(model.graph) is None:
        return []
    return [
        Finding(
            "outputs-reordered",
            "info",
            f"The outputs were {order_in_words(model.graph)}: in the bundle boxes, classes, scores, count.",
            measured=order_in_words(model.graph),
            evidence="documented: Frigate and older pycoral read by position",
        )
    ]


def option(op: Op, name: str) -> float | None:
    """A number of the operator's options; None where it is left out."""
    try:
        options = flexbuffer_map(op.custom_options)
        return float(options[name].AsFloat) if name in [key.AsKey for key in options.Keys] else None
    except FLEXBUFFER_DAMAGE:
        return None
