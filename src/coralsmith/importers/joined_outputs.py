"""Takes apart a single output that holds scores, boxes and perhaps anchors and variances side by side.

Keras SSDs in the manner of pierluigiferrari/ssd_keras put out [1, N, classes + 4 + 4 + 4]: class probabilities,
box offsets, anchor boxes, variances. In int8 one output has one scale for all of them, too coarse for the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.graph_decoder import BoxForm
from coralsmith.detection.head import BoxCoder
from coralsmith.detection.layout import HeadLayout, find_layouts
from coralsmith.detection.recognition import tell_roles
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Array, Graph, Tensor
from coralsmith.importers.canonical import canonicalise
from coralsmith.importers.samples import Samples

BOXES: Final = "boxes"
SCORES: Final = "scores"
_PIXELS: Final = 2.0  # centres beyond this many images are in pixels
_CLEARLY: Final = 0.5  # how much nearer to the cells one reading of the anchors must lie than any other

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Apart:
    """A graph with boxes and scores as two outputs.

    Attributes:
        graph: A new graph; its outputs are called `BOXES` and `SCORES`.
        samples: What the source computes for them.
        columns: The columns of the output that are the same for every picture, [N, 0, 4 or 8].
    """

    graph: Graph
    samples: Samples
    columns: Floats


@dataclass(frozen=True, eq=False)
class Priors:
    """Anchors and box coder that an output itself tells."""

    anchors: NDArray[np.float32]
    box_coder: BoxCoder


def take_apart(graph: Graph, samples: Samples) -> Apart | None:
    """Boxes and scores of a graph that joins them into its only output; None for any other graph."""
    if len(graph.outputs) != 1 or len(graph.outputs[0].shape) != 3:
        return None
    (joined,) = graph.outputs
    values = samples.outputs[joined.name]
    moving, resting, start = [], [], 0
    for part in _parts(graph, joined):
        columns = values[..., start : start + part.shape[2]]
        start += part.shape[2]
        if part.is_constant or (len(columns) > 1 and (columns == columns[:1]).all()):
            resting.append(columns[0, 0])
        else:
            moving.append((part, columns))
    if len(moving) != 2 or all(part.shape[2] != 4 for part, _ in moving):
        return None
    boxes, scores = _roles(graph, dict(moving))
    apart = _ending_in(graph, boxes, scores)
    outputs = {BOXES: dict(moving)[boxes], SCORES: dict(moving)[scores]}
    rows = np.concatenate(resting, axis=1) if resting else np.empty((joined.shape[1], 0))
    return Apart(apart, Samples(samples.inputs, outputs), rows.astype(np.float64))


def read_priors(apart: Apart, layout: HeadLayout) -> Priors | None:
    """Anchors and box coder from eight constant columns, anchors first and variances behind; None if they are not.

    The reading of the anchors is the one whose centres are those of the cells; corners, from which offsets are
    counted in another way, are not read.
    """
    if apart.columns.shape[1] != 8:
        return None
    table, variances = apart.columns[:, :4], apart.columns[:, 4:]
    if (np.ptp(variances, axis=0) > 0).any() or variances.min() <= 0:
        return None
    cells, sizes = layout.cells()
    in_pixels = np.abs(table).max() > _PIXELS
    height, width = apart.graph.inputs[0].shape[1:3]
    unit = (float(height), float(width)) if in_pixels else (1.0, 1.0)
    forms = [BoxForm(is_corners, x_first, unit) for is_corners in (False, True) for x_first in (False, True)]
    errors = [float(np.abs((form.centred(table)[:, :2] - cells) / sizes).mean()) for form in forms]
    best, second = sorted(errors)[:2]
    form = forms[errors.index(best)]
    if best > _CLEARLY * second or form.is_corners or table[:, 2:].min() <= 0:
        return None
    scales = tuple(float(f"{1 / variance:.5g}") for variance in variances[0])
    coder = BoxCoder("xywh" if form.x_first else "yxhw", (scales[0], scales[1], scales[2], scales[3]))
    return Priors(form.centred(table).astype(np.float32), coder)


def _roles(graph: Graph, parts: dict[Tensor, Array]) -> tuple[Tensor, Tensor]:
    """Boxes and scores; where both have four columns and nothing tells them apart, in the order of the file."""
    first, second = parts
    if first.shape[2] != second.shape[2]:
        return (first, second) if first.shape[2] == 4 else (second, first)
    try:
        layouts = find_layouts(Graph(graph.ops, graph.inputs, [first, second]))
        values = {tensor: [rows[0] for rows in pictures] for tensor, pictures in parts.items()}
        layout = tell_roles(layouts, values)[0]
    except DetectionHeadError:
        return first, second
    return layout.boxes, layout.scores


def _parts(graph: Graph, joined: Tensor) -> list[Tensor]:
    """What is put side by side, along the columns, to make an output."""
    producers = graph.producers()
    waiting, parts = [joined], []
    while waiting:
        tensor = waiting.pop()
        op = producers.get(tensor)
        if op is not None and op.kind == "CONCATENATION" and op.attributes.get("axis") in (2, -1):
            waiting.extend(part for part in reversed(op.inputs) if part is not None)
        else:
            parts.append(tensor)
    return parts


def _ending_in(graph: Graph, boxes: Tensor, scores: Tensor) -> Graph:
    """A copy of the graph with these two outputs."""
    own = graph.outputs
    try:
        graph.outputs = [boxes, scores]
        apart = graph.copy()
    finally:
        graph.outputs = own
    apart.prune()
    for tensor, name in zip(apart.outputs, (BOXES, SCORES), strict=True):
        tensor.name = name
    canonicalise(apart, {BOXES: BOXES, SCORES: SCORES})
    apart.verify("taking boxes and scores apart")
    return apart
