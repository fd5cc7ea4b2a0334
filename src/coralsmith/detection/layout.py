"""How the rows of a detector's two outputs lie on its feature maps, read from the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph, Tensor

ASK_FOR_HEAD: Final = "Describe the detection head in a head.json (--head)."
_SAME_VALUES: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE", "DEQUANTIZE"})
_ACTIVATIONS: Final = frozenset({"LOGISTIC", "SOFTMAX"})
_MAX_STEPS: Final = 10_000


@dataclass(frozen=True)
class FeatureMap:
    """One feature map: its cells, and the boxes that each of them predicts."""

    height: int
    width: int
    boxes: int

    @property
    def anchors(self) -> int:
        """Number of boxes that the whole map predicts."""
        return self.height * self.width * self.boxes


@dataclass(frozen=True)
class HeadLayout:
    """Which output is which, and where their rows come from.

    Attributes:
        boxes: The output with four columns.
        scores: The output with one column for each class.
        maps: Feature maps in the order of the rows; inside a map rows, columns, then the boxes of a cell.
        applied: Activation that the graph itself applies to the scores: LOGISTIC, SOFTMAX or None.
    """

    boxes: Tensor
    scores: Tensor
    maps: tuple[FeatureMap, ...]
    applied: str | None

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each map."""
        return [(grid.height, grid.width) for grid in self.maps]

    def cells(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centre and size of the cell of each row, both [N, 2] (y, x), normalised to the image."""
        centres, sizes = [], []
        for grid in self.maps:
            size = np.array([1 / grid.height, 1 / grid.width])
            position = np.indices((grid.height, grid.width)).reshape(2, -1).T
            centres.append(((position + 0.5) * size).repeat(grid.boxes, axis=0))
            sizes.append(np.broadcast_to(size, (grid.anchors, 2)))
        return np.concatenate(centres), np.concatenate(sizes)


def find_layouts(graph: Graph) -> list[HeadLayout]:
    """Every way to read the graph's outputs as boxes [1, N, 4] and scores [1, N, C] of feature maps.

    Returns:
        One layout, or two where both outputs have four columns.

    Raises:
        DetectionHeadError: No two outputs fit together, or more than two do.
    """
    traces = {t: _trace(graph, t) for t in graph.outputs if len(t.shape) == 3 and t.shape[0] == 1}
    layouts = [
        HeadLayout(boxes, scores, maps, traces[scores].applied)
        for boxes in traces
        for scores in traces
        if boxes is not scores and boxes.shape[2] == 4 and traces[boxes].applied is None
        for maps in [_common_maps(traces[boxes], traces[scores])]
        if maps is not None
    ]
    if not layouts or len({layout.boxes for layout in layouts}) != len(layouts) or len(layouts) > 2:
        found = "; ".join(
            traces[t].text() if t in traces else f"'{t.name}' {list(t.shape)}" for t in graph.outputs
        )
        raise DetectionHeadError(
            f"The outputs are no pair of boxes [1, N, 4] and scores [1, N, classes] over feature maps: {found}.",
            hint=ASK_FOR_HEAD,
        )
    return layouts


def feature_maps(graph: Graph, output: Tensor) -> tuple[Tensor, ...]:
    """The maps [1, height, width, channels] that an output is made of, in the order of its rows.

    Args:
        graph: Any graph.
        output: A tensor that only reshapes, joins and activates feature maps; there are none for any other.
    """
    return _trace(graph, output).maps


@dataclass(frozen=True)
class _Trace:
    """The feature maps [1, height, width, channels] that an output is made of, in the order of its rows."""

    output: Tensor
    maps: tuple[Tensor, ...]
    applied: str | None

    def text(self) -> str:
        maps = ", ".join("x".join(str(side) for side in tensor.shape[1:]) for tensor in self.maps)
        return f"'{self.output.name}' {list(self.output.shape)} from {maps or 'no feature map'}"

    def feature_maps(self) -> tuple[FeatureMap, ...]:
        columns = self.output.shape[2]
        return tuple(
            FeatureMap(tensor.shape[1], tensor.shape[2], tensor.shape[3] // columns)
            for tensor in self.maps
            if tensor.shape[3] % columns == 0
        )


def _common_maps(boxes: _Trace, scores: _Trace) -> tuple[FeatureMap, ...] | None:
    """The maps of both outputs where they agree and account for every row."""
    maps = boxes.feature_maps()
    complete = len(maps) == len(boxes.maps) and sum(grid.anchors for grid in maps) == boxes.output.shape[1]
    return maps if complete and maps == scores.feature_maps() else None


def _trace(graph: Graph, output: Tensor) -> _Trace:
    """Walk from an output back to the operators that made its feature maps."""
    producers = graph.producers()
    waiting, applied = [output], None
    maps: list[Tensor] = []
    for _ in range(_MAX_STEPS):
        if not waiting:
            return _Trace(output, tuple(maps), applied)
        tensor = waiting.pop()
        op = producers.get(tensor)
        kind = "" if op is None else op.kind
        if op is not None and (kind in _SAME_VALUES or kind in _ACTIVATIONS or kind == "CONCATENATION"):
            applied = kind if kind in _ACTIVATIONS else applied
            # The shape that a RESHAPE of a model with unknown batch computes is none of its values.
            sources = list(op.activations())
            waiting.extend(reversed(sources if kind == "CONCATENATION" else sources[:1]))
        elif kind != "TRANSPOSE" and len(tensor.shape) == 4 and tensor.shape[0] == 1:
            maps.append(tensor)
        else:
            break
    return _Trace(output, (), applied)
