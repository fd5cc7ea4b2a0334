"""The trained blood-cell detector made to speak the convention of another family of detectors.

A box that a row predicts from its own anchor is the same box predicted from any other anchor after an affine
change of the row's numbers: channels of a convolution, or of a multiplication and an addition where centres differ
from cell to cell. Where the other family has more boxes a cell, the further ones are those of the neighbour cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from tests import builders

from coralsmith.detection.anchors import ssd_anchors
from coralsmith.detection.head import BoxCoder
from coralsmith.detection.layout import find_layouts
from coralsmith.graph import Graph, Op, Tensor

MAPS = (19, 10, 5, 3, 2, 1)
BOXES = (3, 6, 6, 6, 6, 6)
CLASSES = 3
SOURCE = ssd_anchors([(side, side) for side in MAPS], (300, 300))
SCALES = np.array([10.0, 10.0, 5.0, 5.0])


@dataclass(frozen=True, eq=False)
class Convention:
    """What the other family says.

    Attributes:
        anchors: float32 [N, 4] on the same maps, with any number of boxes a cell up to twice the detector's.
        box_coder: Order and divisors of the box columns.
        columns: Matrix [score columns, 3] that makes its logits of those of the three classes.
        bias: Added to them, [score columns].
        activation: SOFTMAX or LOGISTIC inside the graph, or none.
    """

    anchors: np.ndarray
    box_coder: BoxCoder = field(default_factory=BoxCoder)
    columns: np.ndarray = field(default_factory=lambda: np.eye(CLASSES))
    bias: np.ndarray = field(default_factory=lambda: np.zeros(1))
    activation: str | None = None


def with_background(likely: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Columns of sigmoid logits with the background first: likely where no class is."""
    return np.vstack([-np.ones((1, CLASSES)) / CLASSES, np.eye(CLASSES)]), np.array([likely - 5, 0.0, 0.0, 0.0])


def softmax_with_background() -> tuple[np.ndarray, np.ndarray]:
    """Columns of softmax logits that give each class nearly its sigmoid's probability; they sum to zero."""
    columns = np.vstack([np.zeros((1, CLASSES)), np.eye(CLASSES)])
    return columns - columns.mean(axis=0), np.zeros(CLASSES + 1)


def respelled(source: Graph, convention: Convention) -> Graph:
    """A new graph with the outputs `boxes` and `scores` of the convention."""
    graph = source.copy()
    layout = find_layouts(graph)[0]
    cells = [grid.height * grid.width for grid in layout.maps]
    per_cell = _boxes_a_cell(len(convention.anchors), cells)
    producers = graph.producers()
    parts: dict[str, list[Tensor]] = {"boxes": [], "scores": []}
    first = new = 0
    for side, boxes, wanted in zip(MAPS, BOXES, per_cell, strict=True):
        old = SOURCE[first : first + side * side * boxes].reshape(side, side, boxes, 4)
        target = convention.anchors[new : new + side * side * wanted].reshape(side, side, wanted, 4)
        first, new = first + side * side * boxes, new + side * side * wanted
        for name, output in (("boxes", layout.boxes), ("scores", layout.scores)):
            feature = _map_of(graph, output, side)
            gain, bias = _box_change(old, target, convention.box_coder) if name == "boxes" else (None, None)
            made = _respelled_map(graph, producers[feature], name, boxes, wanted, gain, bias, convention)
            columns = 4 if name == "boxes" else len(convention.columns)
            shape = builders.constant(f"{name}_{side}_shape", [1, side * side * wanted, columns], np.int32)
            graph.ops.append(builders.op("RESHAPE", [made, shape], f"{name}_{side}_rows"))
            parts[name].append(graph.ops[-1].output)
    outputs = []
    for name, rows in parts.items():
        graph.ops.append(builders.op("CONCATENATION", list(rows), name, axis=1, fused_activation_function="NONE"))
        if name == "scores" and convention.activation is not None:
            graph.ops[-1].output.name = "logits"
            attributes = {"beta": 1.0} if convention.activation == "SOFTMAX" else {}
            graph.ops.append(builders.op(convention.activation, [graph.ops[-1].output], name, **attributes))
        outputs.append(graph.ops[-1].output)
    graph.outputs = outputs
    graph.prune()
    graph.verify("respelling")
    return graph


def _boxes_a_cell(count: int, cells: list[int]) -> list[int]:
    for first in (3, 4, 6):
        wanted = [first, 6, 6, 6, 6, 6]
        if sum(number * each for number, each in zip(wanted, cells, strict=True)) == count:
            return wanted
    raise ValueError(f"{count} anchors do not fit")


def _map_of(graph: Graph, output: Tensor, side: int) -> Tensor:
    from coralsmith.detection.layout import feature_maps

    return next(tensor for tensor in feature_maps(graph, output) if tensor.shape[1] == side)


def _box_change(old: np.ndarray, target: np.ndarray, coder: BoxCoder) -> tuple[np.ndarray, np.ndarray]:
    """Gain and bias [height, width, boxes, 4] of the columns y, x, h, w, in the order of the coder."""
    shifted = np.concatenate([old[:, 1:], old[:, -1:]], axis=1)
    own = np.concatenate([old, shifted], axis=2)[:, :, : target.shape[2]]
    scales = np.array(coder.scales)
    if coder.order == "xywh":
        scales = scales[[1, 0, 3, 2]]
    gain, bias = np.empty_like(own, np.float64), np.empty_like(own, np.float64)
    gain[..., :2] = own[..., 2:] / target[..., 2:] * scales[:2] / SCALES[:2]
    bias[..., :2] = (own[..., :2] - target[..., :2]) / target[..., 2:] * scales[:2]
    gain[..., 2:] = scales[2:] / SCALES[2:]
    bias[..., 2:] = np.log(own[..., 2:] / target[..., 2:]) * scales[2:]
    return gain, bias


def _respelled_map(
    graph: Graph,
    conv: Op,
    name: str,
    boxes: int,
    wanted: int,
    gain: np.ndarray | None,
    bias: np.ndarray | None,
    convention: Convention,
) -> Tensor:
    """The new feature map: a changed convolution, and what cannot be part of it behind it."""
    side = conv.output.shape[1]
    order = np.array([1, 0, 3, 2] if convention.box_coder.order == "xywh" else [0, 1, 2, 3])
    matrix = np.eye(4)[order] if name == "boxes" else convention.columns
    constant = np.zeros(4) if name == "boxes" else np.broadcast_to(convention.bias, len(convention.columns))
    if gain is None or bias is None:
        gain = np.ones((side, side, wanted, len(matrix)))
        bias = np.zeros_like(gain)
    else:
        gain, bias = gain[..., order], bias[..., order]
    foldable = (
        wanted == boxes and (np.ptp(gain, axis=(0, 1)) < 1e-9).all() and (np.ptp(bias, axis=(0, 1)) < 1e-5).all()
    )
    label = f"{name}_{side}"
    made = _conv(
        graph,
        conv,
        f"{label}_conv",
        boxes,
        matrix,
        constant,
        gain[0, 0] if foldable else None,
        bias[0, 0] if foldable else None,
    )
    if foldable:
        return made
    if wanted > boxes:
        columns = len(matrix)
        index = builders.constant(f"{label}_index", [*range(1, side), side - 1], np.int32)
        graph.ops.append(builders.op("GATHER", [made, index], f"{label}_neighbour", axis=2, batch_dims=0))
        more = (wanted - boxes) * columns
        begin = builders.constant(f"{label}_begin", [0, 0, 0, 0], np.int32)
        size = builders.constant(f"{label}_size", [1, side, side, more], np.int32)
        graph.ops.append(builders.op("SLICE", [graph.ops[-1].output, begin, size], f"{label}_further"))
        further = graph.ops[-1].output
        graph.ops.append(
            builders.op("CONCATENATION", [made, further], f"{label}_all", axis=3, fused_activation_function="NONE")
        )
        made = graph.ops[-1].output
    for kind, values in (("MUL", gain), ("ADD", bias)):
        table = builders.constant(f"{label}_{kind}_table", values.reshape(1, side, side, -1), np.float32)
        graph.ops.append(builders.op(kind, [made, table], f"{label}_{kind}", fused_activation_function="NONE"))
        made = graph.ops[-1].output
    return made


def _conv(
    graph: Graph,
    conv: Op,
    name: str,
    boxes: int,
    matrix: np.ndarray,
    constant: np.ndarray,
    gain: np.ndarray | None,
    bias: np.ndarray | None,
) -> Tensor:
    """A convolution that puts out `matrix` times the old columns of each box, then gain and bias."""
    weights, old_bias = (tensor.data for tensor in conv.inputs[1:] if tensor is not None)
    filters = weights.reshape(boxes, -1, *weights.shape[1:]).astype(np.float64)
    offsets = old_bias.reshape(boxes, -1).astype(np.float64)
    filters = np.einsum("cd,bdhwi->bchwi", matrix, filters)
    offsets = offsets @ matrix.T + constant
    if gain is not None and bias is not None:
        filters, offsets = filters * gain[..., None, None, None], offsets * gain + bias
    inputs: list[Tensor | None] = [
        conv.inputs[0],
        builders.constant(f"{name}_weights", filters.reshape(-1, *weights.shape[1:]), np.float32),
        builders.constant(f"{name}_bias", offsets.reshape(-1), np.float32),
    ]
    graph.ops.append(builders.op("CONV_2D", inputs, name, **conv.attributes))
    return graph.ops[-1].output
