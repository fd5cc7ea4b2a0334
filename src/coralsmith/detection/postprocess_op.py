"""TFLite_Detection_PostProcess: the operator that decodes and suppresses on the host, put on or taken off.

Source of its inputs, options and behaviour: TensorFlow's ``lite/kernels/detection_postprocess.cc``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from coralsmith.detection.head import BoxCoder, DetectionHead, NmsSpec, ScoreSpec, wrong_field
from coralsmith.detection.input_convention import conventional_input
from coralsmith.errors import DetectionHeadError, MalformedModelError
from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.flexbuffer import FLEXBUFFER_DAMAGE, flexbuffer_map
from coralsmith.graph.postprocess_limits import CUSTOM_CODE

OUTPUT_NAMES: Final = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
"""In the operator's order, which pycoral and Frigate read by position."""

_FLOAT: Final = np.dtype(np.float32)


def append_score_activation(graph: Graph, head: DetectionHead) -> tuple[Graph, DetectionHead]:
    """Move the activation of the scores from the head into the graph, as LOGISTIC or SOFTMAX.

    Args:
        graph: A float graph; it is not changed.
        head: Its head.

    Returns:
        A new graph whose score output is probabilities, and its head, with activation ``none``.

    Raises:
        DetectionHeadError: The head does not belong to the graph, or its score output is quantized.
    """
    head.check_against(graph)
    if head.score.activation == "none":
        return graph, head
    graph = graph.copy()
    logits = graph.tensor(head.scores)
    if not logits.is_float:
        raise wrong_field(
            "scores.activation",
            head.score.activation,
            f"{logits.name!r} is {logits.dtype}; an activation is put on the float model",
            "Append the activation before quantization.",
        )
    probabilities = Tensor(graph.unique_name("class_probabilities"), logits.shape, _FLOAT)
    kind, attributes = {"sigmoid": ("LOGISTIC", {}), "softmax": ("SOFTMAX", {"beta": 1.0})}[head.score.activation]
    graph.ops.append(Op(kind, [logits], [probabilities], dict(attributes)))
    graph.outputs = [probabilities if tensor is logits else tensor for tensor in graph.outputs]
    graph.verify("appending the activation of the scores")
    return graph, replace(head, scores=probabilities.name, score=ScoreSpec("none", head.score.background))


def attach_postprocess_op(graph: Graph, head: DetectionHead) -> Graph:
    """A new graph that ends in the operator, its outputs in the order of `OUTPUT_NAMES`, all float32.

    Quantized outputs are dequantized first: the operator knows no int8, and with uint8 it would want its
    anchors in 8 bits too. It runs in the fast mode with one class a box, so its rows are sorted by score.

    Args:
        graph: A float or quantized graph; it is not changed.
        head: Its head; the scores must be probabilities already (`append_score_activation`).

    Raises:
        DetectionHeadError: The head does not belong to the graph, or the operator cannot express it.
    """
    head.check_against(graph)
    _require_expressible(head)
    graph = graph.copy()
    boxes, scores = (_as_float(graph, graph.tensor(name)) for name in (head.boxes, head.scores))
    anchors = Tensor.constant(graph.unique_name("anchors"), head.anchors)
    most = head.nms.max_detections
    shapes: Sequence[tuple[int, ...]] = ((1, most, 4), (1, most), (1, most), (1,))
    outputs = [
        Tensor(graph.unique_name(name), shape, _FLOAT) for name, shape in zip(OUTPUT_NAMES, shapes, strict=True)
    ]
    graph.ops.append(
        Op(
            "CUSTOM",
            [boxes, scores, anchors],
            outputs,
            custom_code=CUSTOM_CODE,
            custom_options=encode_options(head),
        )
    )
    graph.outputs = outputs
    graph.verify("attaching the detection post-processing")
    return graph


def find_postprocess_op(graph: Graph) -> Op | None:
    """The operator that the graph ends in, or None."""
    return next((op for op in reversed(graph.ops) if op.custom_code == CUSTOM_CODE), None)


def detach_postprocess_op(graph: Graph) -> tuple[Graph, DetectionHead]:
    """Take the operator off and read the detection head from it.

    Returns:
        A new graph whose outputs are the raw boxes and scores (quantized where they are), and its head, with
        labels ``class 0``, ``class 1``, ... since the operator holds no names.

    Raises:
        DetectionHeadError: There is no such operator, or what it says makes no head.
        MalformedModelError: The operator's inputs or options are damaged.
    """
    graph = graph.copy()
    op = find_postprocess_op(graph)
    if op is None:
        raise DetectionHeadError(f"The model holds no {CUSTOM_CODE} operator to read a head from.")
    options = decode_options(op.custom_options)
    boxes, scores, anchors = _operands(op)
    graph.outputs = [_before_dequantize(graph, boxes), _before_dequantize(graph, scores)]
    graph.prune()
    classes = int(options["num_classes"])
    if classes < 1 or scores.shape[-1] - classes not in (0, 1):
        raise MalformedModelError(f"{CUSTOM_CODE} claims {classes} classes of {list(scores.shape)} scores.")
    spec, input_evidence = conventional_input(graph)
    head = DetectionHead(
        input=spec,
        boxes=graph.outputs[0].name,
        scores=graph.outputs[1].name,
        anchors=anchors,
        labels=tuple(f"class {index}" for index in range(classes)),
        box_coder=BoxCoder(
            "yxhw", (options["y_scale"], options["x_scale"], options["h_scale"], options["w_scale"])
        ),
        score=ScoreSpec("none", 0 if scores.shape[-1] > classes else None),
        nms=NmsSpec(options["nms_iou_threshold"], options["nms_score_threshold"], int(options["max_detections"])),
        evidence=f"anchors, box coder, background and limits: {CUSTOM_CODE} in the model; {input_evidence}",
    )
    head.check_against(graph)
    return graph, head


def encode_options(head: DetectionHead) -> bytes:
    """The operator's options as a FlexBuffer map."""
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("max_detections", head.nms.max_detections)
        builder.Int("max_classes_per_detection", 1)
        builder.Bool("use_regular_nms", False)
        builder.Float("nms_score_threshold", head.nms.score, 4)
        builder.Float("nms_iou_threshold", head.nms.iou, 4)
        builder.Int("num_classes", len(head.labels))
        for name, scale in zip("yxhw", head.box_coder.scales, strict=True):
            builder.Float(f"{name}_scale", scale, 4)
    return bytes(builder.Finish())


def decode_options(content: bytes) -> dict[str, float]:
    """The numbers of the operator's FlexBuffer options that a detection head needs.

    Raises:
        MalformedModelError: The bytes are damaged, or an option is missing.
    """
    names = ["max_detections", "nms_score_threshold", "nms_iou_threshold", "num_classes"]
    try:
        options = flexbuffer_map(content)
        names += [f"{column}_scale" for column in "yxhw"]
        return {name: float(str(np.float32(options[name].AsFloat))) for name in names}  # 0.6, not 0.60000002
    except FLEXBUFFER_DAMAGE as error:
        raise MalformedModelError(f"The options of {CUSTOM_CODE} cannot be read: {error}.") from error


def suppresses_within_classes(op: Op) -> bool:
    """Whether the operator drops a box for better ones of its own class only (its regular mode)."""
    try:
        options = flexbuffer_map(op.custom_options)
        return bool(options["use_regular_nms"].AsBool)
    except FLEXBUFFER_DAMAGE:  # absent: the kernel's default is the fast mode
        return False


def _require_expressible(head: DetectionHead) -> None:
    if head.score.activation != "none":
        raise wrong_field(
            "scores.activation",
            head.score.activation,
            f"{CUSTOM_CODE} applies none",
            "Append the activation to the float model first.",
        )
    if head.box_coder.order != "yxhw":
        raise wrong_field(
            "box_coder.order",
            head.box_coder.order,
            f"{CUSTOM_CODE} reads boxes as y, x, h, w",
            "Leave the operator off (--postprocess none) and decode on the host.",
        )
    if head.score.background not in (None, 0):
        raise wrong_field(
            "scores.background",
            head.score.background,
            f"{CUSTOM_CODE} knows a background in column 0 only",
            "Leave the operator off (--postprocess none) and decode on the host.",
        )


def _as_float(graph: Graph, tensor: Tensor) -> Tensor:
    """The tensor itself where it is float, else behind a new DEQUANTIZE."""
    if tensor.is_float:
        return tensor
    real = Tensor(graph.unique_name(f"{tensor.name}_real"), tensor.shape, _FLOAT)
    graph.ops.append(Op("DEQUANTIZE", [tensor], [real]))
    return real


def _before_dequantize(graph: Graph, tensor: Tensor) -> Tensor:
    producer = graph.producers().get(tensor)
    if producer is None or producer.kind != "DEQUANTIZE":
        return tensor
    return producer.required_input("input")


def _operands(op: Op) -> tuple[Tensor, Tensor, Any]:
    """The box and score tensors and the anchors as real numbers [N, 4]."""
    tensors = [tensor for tensor in op.inputs if tensor is not None]
    data = tensors[2].data if len(tensors) == 3 else None
    if data is None or len(tensors[1].shape) != 3:
        raise MalformedModelError(f"{CUSTOM_CODE} lacks its boxes, scores or constant anchors.")
    boxes, scores, anchors = tensors
    return boxes, scores, data if anchors.quant is None else anchors.quant.dequantize(data)
