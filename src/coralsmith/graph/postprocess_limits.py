"""What the custom operator TFLite_Detection_PostProcess takes on trust.

Source: TensorFlow's ``lite/kernels/detection_postprocess.cc``; it reads its options, and as many rows of scores
and anchors as there are boxes, without looking.
"""

from __future__ import annotations

import contextlib
from typing import Final

import numpy as np

from coralsmith.graph.flexbuffer import FLEXBUFFER_DAMAGE, flexbuffer_map
from coralsmith.graph.model import Op, Tensor

CUSTOM_CODE: Final = "TFLite_Detection_PostProcess"
_INTEGERS: Final = ("max_detections", "max_classes_per_detection", "num_classes")
_NUMBERS: Final = ("nms_score_threshold", "nms_iou_threshold", "y_scale", "x_scale", "h_scale", "w_scale")
_OPTIONAL: Final = ("detections_per_class", "use_regular_nms")
_MOST_ROWS: Final = 1 << 16
_ELEMENTS: Final = (np.dtype(np.float32), np.dtype(np.uint8))


def postprocess_breach(op: Op) -> str:
    """What the kernel of `op` would not survive; empty where it is sound."""
    options = _options(op.custom_options)
    if options is None:
        return "its options cannot be read"
    tensors = [tensor for tensor in op.inputs if tensor is not None]
    if len(tensors) != 3 or len(op.outputs) != 4:
        return "it has not three inputs and four outputs"
    if not _shapes_fit(*tensors) or any(tensor.dtype not in _ELEMENTS for tensor in tensors):
        return "its boxes, scores and anchors do not fit each other"
    per_box, classes = options["max_classes_per_detection"], options["num_classes"]
    rows = options["max_detections"] * per_box
    if not 1 <= per_box <= classes <= tensors[1].shape[2] or not 1 <= rows <= _MOST_ROWS:
        return f"it asks for {per_box} of {classes} classes in {rows} rows"
    if not 0 <= options.get("detections_per_class", 0) <= _MOST_ROWS:
        return f"it asks for {options['detections_per_class']} detections of a class"
    return ""


def _options(content: bytes) -> dict[str, int] | None:
    """The integer options, if all that the kernel looks up can be read."""
    options: dict[str, int] = {}
    try:
        table = flexbuffer_map(content)
        for name in _INTEGERS:
            options[name] = int(table[name].AsInt)
        for name in _NUMBERS:
            float(table[name].AsFloat)
        for name in _OPTIONAL:
            with contextlib.suppress(KeyError):
                options[name] = int(table[name].AsInt)
    except FLEXBUFFER_DAMAGE:
        return None
    return options


def _shapes_fit(boxes: Tensor, scores: Tensor, anchors: Tensor) -> bool:
    if (len(boxes.shape), len(scores.shape), len(anchors.shape)) != (3, 3, 2):
        return False
    return (
        boxes.shape[:2] == scores.shape[:2] == (1, anchors.shape[0])
        and boxes.shape[2] >= 4
        and anchors.shape[1] == 4
        and boxes.dtype == anchors.dtype
    )
