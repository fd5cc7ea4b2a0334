"""Which output of a model that decodes its own boxes is which: exporters put the four in different orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.detections import Detections
from coralsmith.detection.postprocess_op import find_postprocess_op
from coralsmith.errors import DetectionHeadError, MalformedModelError, UnsupportedModelError
from coralsmith.graph import Graph, Tensor
from coralsmith.graph.flexbuffer import FLEXBUFFER_DAMAGE, flexbuffer_map
from coralsmith.graph.model import Op

_ROLES: Final = ("boxes", "classes", "scores", "count")
_WORDS: Final = {"boxes": ("box",), "classes": ("class",), "scores": ("score",), "count": ("num", "count")}


@dataclass(frozen=True)
class OperatorOutputs:
    """The places of the four outputs of a detection operator.

    Attributes:
        boxes: Place of the boxes [1, M, 4] (ymin, xmin, ymax, xmax).
        classes: Place of the class ids [1, M], as floats, background not counted.
        scores: Place of the scores [1, M].
        count: Place of the number of boxes found [1].
        rows_a_box: Rows that one box takes, ``max_classes_per_detection``.
        classes_known: Number of classes that the operator states, or None.
    """

    boxes: int
    classes: int
    scores: int
    count: int
    rows_a_box: int = 1
    classes_known: int | None = None

    def read(self, outputs: Sequence[NDArray[Any]]) -> Detections:
        """The detections in the outputs of one image, best first, as real numbers.

        The rows behind the operator's own count are not written by it, and are not read.

        Raises:
            UnsupportedModelError: The model puts out NaN.
        """
        boxes, scores = outputs[self.boxes].reshape(-1, 4), outputs[self.scores].reshape(-1)
        classes, count = outputs[self.classes].reshape(-1), float(outputs[self.count].reshape(-1)[0])
        if not np.isfinite(count):
            raise _not_a_number("number of detections")
        rows = min(max(0, int(count)) * self.rows_a_box, len(scores))
        found = Detections(
            boxes[:rows].astype(np.float32), classes[:rows].astype(np.int64), scores[:rows].astype(np.float32)
        )
        if np.isnan(found.boxes).any() or np.isnan(found.scores).any():
            raise _not_a_number("box or a score")
        order = np.argsort(-found.scores, kind="stable")
        return Detections(found.boxes[order], found.class_ids[order], found.scores[order])


def find_operator_outputs(graph: Graph) -> OperatorOutputs | None:
    """The four outputs of a model that decodes its own boxes; None for a model with raw heads.

    Those of TFLite_Detection_PostProcess are known by the operator itself, whatever their order. Of other
    operators, names decide, then the rule of pycoral: boxes, classes, scores, count where the last holds one
    number, else scores, boxes, count, classes.

    Raises:
        DetectionHeadError: There is the operator, but the model's outputs are not its four.
    """
    op = find_postprocess_op(graph)
    if op is None and not _look_decoded(graph.outputs):
        return None
    if len(graph.outputs) != len(_ROLES):
        raise DetectionHeadError(
            f"The detection operator has four outputs, the model {len(graph.outputs)}.",
            hint="Export the model with all four: boxes, classes, scores and their number.",
        )
    if op is not None and all(tensor in graph.outputs for tensor in op.outputs):
        places = dict(zip(_ROLES, (graph.outputs.index(tensor) for tensor in op.outputs), strict=True))
    else:
        places = _by_name(graph.outputs) or _by_position(graph.outputs)
    boxes = graph.outputs[places["boxes"]]
    if boxes.shape[-1:] != (4,):
        raise DetectionHeadError(
            f"The boxes of the detection operator, '{boxes.name}', have the shape {list(boxes.shape)}.",
            hint="Boxes have four columns: export the model again.",
        )
    return OperatorOutputs(**places, **_options(op))


def _look_decoded(outputs: Sequence[Tensor]) -> bool:
    """Whether four outputs have the shapes [1, M, 4], [1, M], [1, M] and one number, in any order."""
    shapes = sorted((tuple(side for side in tensor.shape if side != 1) for tensor in outputs), key=len)
    return len(shapes) == 4 and shapes[0] == () and shapes[1] == shapes[2] and shapes[3] == (*shapes[1], 4)


def _by_name(outputs: Sequence[Tensor]) -> dict[str, int] | None:
    """Places by the words in the names, if these tell each output from the others."""
    places = {
        role: [i for i, tensor in enumerate(outputs) if any(word in tensor.name.lower() for word in words)]
        for role, words in _WORDS.items()
    }
    if all(len(found) == 1 for found in places.values()) and len({i for (i,) in places.values()}) == len(outputs):
        return {role: found[0] for role, found in places.items()}
    return None


def _by_position(outputs: Sequence[Tensor]) -> dict[str, int]:
    order = _ROLES if np.prod(outputs[3].shape) == 1 else ("scores", "boxes", "count", "classes")
    return {role: order.index(role) for role in _ROLES}


def _options(op: Op | None) -> dict[str, int]:
    """What the operator says about its rows and classes; nothing of one that is unknown."""
    if op is None:
        return {}
    try:
        options = flexbuffer_map(op.custom_options)
        rows = 1 if _is_regular(options) else int(options["max_classes_per_detection"].AsInt)
        return {"rows_a_box": max(1, rows), "classes_known": int(options["num_classes"].AsInt)}
    except FLEXBUFFER_DAMAGE as error:
        raise MalformedModelError(f"The options of the detection operator cannot be read: {error}.") from error


def _is_regular(options: Any) -> bool:
    """Whether suppression goes class by class: then a row is one detection, whatever the boxes may bear."""
    try:
        return bool(options["use_regular_nms"].AsBool)
    except KeyError:  # absent: the kernel's default
        return False


def _not_a_number(what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The model computes a {what} that is not a number (NaN).",
        hint="Check its training, its export and its head: wrong anchors or box scales do this too.",
    )
