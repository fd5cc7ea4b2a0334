"""Cuts a graph that decodes its boxes itself before that, and recovers how it decodes.

The decoder is fed known raw boxes and its answers are read: that needs no pattern for each exporter's spelling.
What is recovered is then proved on random raw boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.decode import decode_boxes
from coralsmith.detection.head import BoxCoder, BoxOrder
from coralsmith.detection.layout import find_layouts
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.executor import Executor

Floats = NDArray[np.float64]

_EXACT: Final = 1e-4  # parts of the image, or of a scale
_MAX_OPERATORS: Final = 200
_CLIPS: Final = MappingProxyType(
    {"MINIMUM": np.inf, "MAXIMUM": np.inf, "RELU": np.inf, "RELU6": 6.0, "RELU_0_TO_1": 1.0}
)
"""Operators that clip, with the highest value that the activations leave."""
_RESHAPES: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
_CLIP_MARGIN: Final = 0.01  # of the image: some clip to the last pixel
_PIXELS: Final = 2.0  # centres beyond this many images are in pixels


@dataclass(frozen=True, eq=False)
class GraphDecoder:
    """A graph's own decoding of its boxes.

    Attributes:
        decoded: Output of the graph, [1, N, 4] or [N, 4].
        raw: What it is decoded from, [1, N, 4].
        anchors: float32 [N, 4] (y centre, x centre, height, width), normalised.
        box_coder: How the raw boxes refer to them.
        form: How the graph writes a box.
        clips: Whether it clips its boxes to the image.
    """

    decoded: Tensor
    raw: Tensor
    anchors: NDArray[np.float32]
    box_coder: BoxCoder
    form: BoxForm
    clips: bool = False

    def cut(self, graph: Graph) -> Graph:
        """A copy of the graph that puts out the raw boxes in place of the decoded ones."""
        outputs = graph.outputs
        try:
            graph.outputs = [self.raw if tensor is self.decoded else tensor for tensor in outputs]
            shorter = graph.copy()
        finally:
            graph.outputs = outputs
        shorter.prune()
        return shorter


@dataclass(frozen=True)
class BoxForm:
    """How a graph writes its decoded boxes.

    Attributes:
        is_corners: (first, second, first, second) of two corners; else two centres and two sizes.
        x_first: Whether x stands before y.
        unit: Height and width of the image in the graph's own unit; (1, 1) where it is normalised.
    """

    is_corners: bool
    x_first: bool
    unit: tuple[float, float]

    def centred(self, boxes: NDArray[np.floating]) -> Floats:
        """The boxes [N, 4] as (y centre, x centre, height, width), normalised."""
        values = boxes.astype(np.float64)
        if self.is_corners:
            values = np.concatenate([(values[:, :2] + values[:, 2:]) / 2, values[:, 2:] - values[:, :2]], axis=1)
        if self.x_first:
            values = values[:, [1, 0, 3, 2]]
        return values / (self.unit * 2)

    def corners(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """The boxes [N, 4] as (ymin, xmin, ymax, xmax), normalised."""
        centred = self.centred(boxes)
        halves = centred[:, 2:] / 2
        return np.concatenate([centred[:, :2] - halves, centred[:, :2] + halves], axis=1).astype(np.float32)


def find_graph_decoder(graph: Graph) -> GraphDecoder | None:
    """The decoder of a graph with a box output, or None where its boxes are raw or decoded in another way.

    Args:
        graph: A float graph whose outputs are boxes [1, N, 4] and scores.
    """
    for output in graph.outputs:
        if output.shape[-1:] == (4,) and len(output.shape) in (2, 3):
            unclipped, bounds = _unclipped(graph, output)
            found = _region(graph, unclipped)
            if found is not None:
                decoder = _solved(graph, output, unclipped, *found)
                return decoder if bounds is None else _clipping(decoder, bounds)
    return None


def _unclipped(graph: Graph, output: Tensor) -> tuple[Tensor, tuple[Floats, Floats] | None]:
    """What is clipped to make an output, and the lowest and highest values of each column; None where none is."""
    producers = graph.producers()
    low, high, is_clipped = np.full(4, -np.inf), np.full(4, np.inf), False
    tensor = output
    while (op := producers.get(tensor)) is not None and (op.kind in _CLIPS or op.kind in _RESHAPES):
        bound = next((t.data for t in op.inputs if t is not None and t.data is not None), None)
        if op.kind in ("MINIMUM", "MAXIMUM"):
            if bound is None or bound.size not in (1, 4):
                break
            limits = np.broadcast_to(bound.reshape(-1).astype(np.float64), 4)
            low, high = (
                (np.maximum(low, limits), high) if op.kind == "MAXIMUM" else (low, np.minimum(high, limits))
            )
        elif op.kind in _CLIPS:
            low = np.maximum(low, 0.0)
            high = np.minimum(high, _CLIPS[op.kind])
        is_clipped = is_clipped or op.kind in _CLIPS
        tensor = next(iter(op.activations()))
    return (tensor, (low, high)) if is_clipped else (output, None)


def _clipping(decoder: GraphDecoder | None, bounds: tuple[Floats, Floats]) -> GraphDecoder | None:
    """The decoder as one that clips, where what it clips to is the image."""
    if decoder is None or not decoder.form.is_corners:
        return None
    unit = np.array((decoder.form.unit[::-1] if decoder.form.x_first else decoder.form.unit) * 2)
    low, high = bounds
    to_the_image = np.abs(low / unit).max() < _EXACT and np.abs(high / unit - 1).max() < _CLIP_MARGIN
    return replace(decoder, clips=True) if to_the_image else None


def _region(graph: Graph, decoded: Tensor) -> tuple[Tensor, list[Op]] | None:
    """The raw boxes, which all paths to the decoded ones pass before any exponential; and the operators behind."""
    shape = (1, decoded.elements // 4, 4)
    frontier, passed, exponential = {decoded}, [], False
    for op in reversed(graph.ops):
        if not frontier.intersection(op.outputs):
            continue
        frontier = (frontier - set(op.outputs)) | set(op.activations())
        passed.append(op)
        exponential |= op.kind == "EXP"
        if len(passed) > _MAX_OPERATORS:
            return None
        if exponential and len(frontier) == 1:
            (raw,) = frontier
            if raw.shape == shape and raw not in graph.inputs:
                return raw, passed[::-1]
    return None


def _solved(graph: Graph, output: Tensor, decoded: Tensor, raw: Tensor, ops: list[Op]) -> GraphDecoder | None:
    """The decoder with its anchors and scales, proved on random raw boxes; `decoded` is what it does not clip."""
    executor = Executor(Graph(ops, [raw], [decoded]))

    def answer(rows: Floats) -> Floats:
        return executor.run(rows.astype(np.float32)[None])[0].reshape(-1, 4).astype(np.float64)

    count = decoded.elements // 4
    resting = answer(np.zeros((count, 4)))
    moved = [answer(np.tile(np.eye(4)[column], (count, 1))) - resting for column in range(4)]
    cells = _cell_centres(graph, output, raw)
    form = None if cells is None else _form(graph, resting, moved, cells)
    if form is None:
        return None
    anchors = form.centred(resting)
    coder = _coder(anchors, [form.centred(resting + change) for change in moved])
    if coder is None:
        return None
    trial = np.random.default_rng(0).normal(0.0, 2.0, (count, 4))
    expected = decode_boxes(trial.astype(np.float32), anchors.astype(np.float32), coder)
    worst = np.abs(form.corners(answer(trial)) - expected).max()
    if not worst <= _EXACT * max(float(np.abs(expected).max()), 1.0):
        return None
    return GraphDecoder(output, raw, anchors.astype(np.float32), coder, form)


def _cell_centres(graph: Graph, decoded: Tensor, raw: Tensor) -> Floats | None:
    """Centres (y, x) of the cells that the rows of the raw boxes come from."""
    others = [tensor for tensor in graph.outputs if tensor is not decoded]
    try:
        layouts = find_layouts(Graph(graph.ops, graph.inputs, [raw, *others]))
    except DetectionHeadError:
        return None
    return next((layout.cells()[0] for layout in layouts if layout.boxes is raw), None)


def _form(graph: Graph, resting: Floats, moved: list[Floats], cells: Floats) -> BoxForm | None:
    """Two corners, where moving a centre moves two columns; which comes first is told by the cells."""
    columns = [np.abs(change).max(axis=0) > _EXACT for change in moved[:2]]
    is_corners = all(changed.sum() == 2 and (changed[:2] == changed[2:]).all() for changed in columns)
    if not is_corners and not all(changed.sum() == 1 and changed[:2].any() for changed in columns):
        return None
    centres = (resting[:, :2] + resting[:, 2:]) / 2 if is_corners else resting[:, :2]
    height, width = graph.inputs[0].shape[1:3]
    in_pixels = bool(np.abs(centres).max() > _PIXELS)
    unit = (float(height), float(width)) if in_pixels else (1.0, 1.0)
    errors = {
        x_first: float(np.abs((centres[:, ::-1] if x_first else centres) / unit - cells).mean())
        for x_first in (False, True)
    }
    x_first = errors[True] < errors[False]
    return BoxForm(is_corners, x_first, unit) if errors[x_first] < 0.5 * errors[not x_first] else None


def _coder(anchors: Floats, answers: list[Floats]) -> BoxCoder | None:
    """Which of (y, x, h, w) a one in each raw column changes, and the scales that explain by how much."""
    quantities, scales = "", []
    for found in answers:
        change = np.abs(found - anchors).max(axis=0)
        quantity = int(change.argmax())
        with np.errstate(divide="ignore", invalid="ignore"):
            if quantity < 2:
                each = anchors[:, quantity + 2] / (found[:, quantity] - anchors[:, quantity])
            else:
                each = 1.0 / np.log(found[:, quantity] / anchors[:, quantity])
        scale = float(np.median(each))
        if not np.isfinite(scale) or scale <= 0:
            return None
        quantities += "yxhw"[quantity]
        scales.append(float(f"{scale:.5g}"))
    orders: dict[str, BoxOrder] = {"yxhw": "yxhw", "xywh": "xywh"}
    if quantities not in orders:
        return None
    return BoxCoder(orders[quantities], (scales[0], scales[1], scales[2], scales[3]))
