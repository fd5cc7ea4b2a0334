"""Turns a model with boxes as x, y, w, h into one with y, x, h, w, as TFLite_Detection_PostProcess reads them.

The columns are channels of the convolutions that make them: exchanging filters costs nothing at run time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from coralsmith.detection.head import BoxCoder, DetectionHead, wrong_field
from coralsmith.detection.layout import feature_maps
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.executor import Executor

_EXCHANGED: Final = (1, 0, 3, 2)
_SAME: Final = 1e-5  # of the range of the boxes


def in_operator_order(graph: Graph, head: DetectionHead) -> tuple[Graph, DetectionHead]:
    """The same detector with its box columns as y, x, h, w.

    Args:
        graph: A float graph; it is not changed.
        head: Its head, of either order.

    Returns:
        A new graph whose box convolutions have their filters exchanged, and its head; the same two where the order
        is right already.

    Raises:
        DetectionHeadError: The boxes are not made by convolutions that make nothing else.
    """
    if head.box_coder.order == "yxhw":
        return graph, head
    changed = graph.copy()
    boxes = changed.tensor(head.boxes)
    for tensor in feature_maps(changed, boxes):
        _exchange(changed, tensor)
    changed.verify("exchanging the columns of the boxes")
    scales = head.box_coder.scales
    result = replace(head, box_coder=BoxCoder("yxhw", (scales[1], scales[0], scales[3], scales[2])))
    _prove(graph, changed, head)
    return changed, result


def _exchange(graph: Graph, tensor: Tensor) -> None:
    op = graph.producers().get(tensor)
    readers = [each for each in graph.consumers().get(tensor, []) if each.kind != "SHAPE"]  # it reads no values
    if op is None or op.kind != "CONV_2D" or len(readers) != 1 or not _is_plain_float(op):
        raise _not_exchangeable(f"'{tensor.name}' is not a convolution of its own")
    if op.required_input("filter").shape[3] != op.required_input("input").shape[3]:
        raise _not_exchangeable(f"'{tensor.name}' is made in groups of channels")
    order = np.arange(tensor.shape[3]).reshape(-1, 4)[:, _EXCHANGED].reshape(-1)
    for position, constant in enumerate(op.inputs):
        if constant is not None and constant.data is not None:  # filter and bias, by filters both
            op.inputs[position] = Tensor.constant(constant.name, constant.data.take(order, axis=0))


def _is_plain_float(op: Op) -> bool:
    constants = [tensor for tensor in op.inputs[1:] if tensor is not None]
    return (
        op.attributes.get("fused_activation_function", "NONE") == "NONE"
        and op.output.is_float
        and all(tensor.data is not None for tensor in constants)
    )


def _prove(before: Graph, after: Graph, head: DetectionHead) -> None:
    """Run both on noise: the boxes must be the same numbers in exchanged columns, the scores the same."""
    source = before.inputs[0]
    noise = np.random.default_rng(0).uniform(-1, 1, source.shape).astype(np.float32)
    old, new = (
        dict(zip([t.name for t in g.outputs], Executor(g).run(noise), strict=True)) for g in (before, after)
    )
    boxes = old[head.boxes]
    limit = _SAME * max(float(np.ptp(boxes)), 1.0)
    worst = float(np.abs(new[head.boxes] - boxes[..., _EXCHANGED]).max())
    if not worst <= limit:
        raise _not_exchangeable(f"exchanging them changes the boxes by {worst:.3g}")


def _not_exchangeable(reason: str) -> DetectionHeadError:
    return wrong_field(
        "box_coder.order",
        "xywh",
        f"TFLite_Detection_PostProcess reads y, x, h, w, and the columns cannot be exchanged: {reason}",
        "Leave the operator off (--postprocess none) and decode on the host.",
    )
