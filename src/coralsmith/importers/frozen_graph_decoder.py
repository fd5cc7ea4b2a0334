"""Recovers how a detection graph decodes, by feeding its own decoder known values and reading the answers.

Reading constants out of the graph would need one pattern for each exporter; known values need none. Runs in the
child process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import DetectionHeadError
from coralsmith.importers.frozen_graph_session import GraphSession, rounded
from coralsmith.importers.frozen_graph_structure import Heads, NodeGraph

Floats = NDArray[np.float64]
_MAX_DECODER_NODES: Final = 400


@dataclass(frozen=True)
class Decoder:
    """The graph's own box decoder.

    Attributes:
        boxes: Tensor of the decoded boxes.
        anchors: [N, 4] (y centre, x centre, height, width).
        order: ``yxhw`` or ``xywh``.
        scales: Divisors of the raw columns.
    """

    boxes: str
    anchors: Floats
    order: str
    scales: tuple[float, ...]


def probe_decoder(
    session: GraphSession, graph: NodeGraph, heads: Heads, feeds: dict[str, NDArray[Any]]
) -> Decoder:
    """Find the decoder's output, and solve for its anchors and scales with one-hot raw boxes.

    Raw boxes of zero decode to the anchors. A one in a column moves one centre by size / scale, or stretches one
    size by exp(1 / scale).

    Raises:
        DetectionHeadError: No decoded boxes, or a decoder of another kind.
    """
    raw = session.run([heads.boxes], feeds)[0]
    shape = raw.shape
    decoded = _find_decoded(session, graph, heads, {**feeds, heads.boxes: np.zeros_like(raw)})

    def decode(rows: Floats) -> Floats:
        fed = rows.astype(raw.dtype).reshape(shape)
        corners = session.run([decoded], {**feeds, heads.boxes: fed})[0].reshape(-1, 4).astype(np.float64)
        return np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)

    count = raw.size // 4
    anchors = decode(np.zeros((count, 4)))
    moved = [_response(anchors, decode(np.tile(np.eye(4)[column], (count, 1)))) for column in range(4)]
    quantities = "".join("yxhw"[quantity] for quantity, _ in moved)
    if quantities not in ("yxhw", "xywh"):
        raise DetectionHeadError(
            f"The columns of the graph's raw boxes are {quantities}, not yxhw or xywh.",
            hint="Only centre and size offsets (the Faster R-CNN coder) are known.",
        )
    return Decoder(decoded, anchors, quantities, tuple(scale for _, scale in moved))


def _find_decoded(session: GraphSession, graph: NodeGraph, heads: Heads, feeds: dict[str, NDArray[Any]]) -> str:
    """The first tensor [.., anchors, 4] that depends on every exponential of the decoder."""
    elements = feeds[heads.boxes].size
    for name in _common_readers(graph, heads.exponentials):
        value = session.try_run(name, feeds)
        if value is not None and value.size == elements and value.shape[-1] == 4:
            return name
    raise DetectionHeadError(
        "The graph's decoded boxes were not found.", hint="Give the detection head as head.json (--head)."
    )


def _common_readers(graph: NodeGraph, starts: Sequence[str]) -> Iterator[str]:
    """The nodes that depend on all of the given ones, nearest to the first of them first."""
    reached = [list(graph.downstream(start))[:_MAX_DECODER_NODES] for start in starts]
    common = set(reached[0]).intersection(*reached[1:])
    return (name for name in reached[0] if name in common)


def _response(anchors: Floats, answer: Floats) -> tuple[int, float]:
    """Which of (y, x, h, w) a one in a raw column changes, and the scale that explains by how much."""
    change = np.abs(answer - anchors).max(axis=0)
    quantity = int(change.argmax())
    if quantity < 2:
        scales = anchors[:, quantity + 2] / (answer[:, quantity] - anchors[:, quantity])
    else:
        scales = 1.0 / np.log(answer[:, quantity] / anchors[:, quantity])
    scale = float(np.median(scales))
    others = np.delete(change, quantity)
    if not np.isfinite(scale) or scale <= 0 or np.abs(scales - scale).max() > 0.01 * scale or others.max() > 1e-4:
        raise DetectionHeadError(
            "The graph's boxes are not decoded from centre and size offsets.",
            hint="Only the Faster R-CNN coder is known.",
        )
    return quantity, rounded(scale, 5)


@dataclass(frozen=True)
class Probabilities:
    """The graph's own class probabilities: their tensor, and which score column it leaves out (None: none)."""

    tensor: str
    background: int | None


def probe_probabilities(
    session: GraphSession, graph: NodeGraph, heads: Heads, feeds: dict[str, NDArray[Any]]
) -> Probabilities:
    """Find out whether the graph drops one column of the probabilities, the background."""
    columns = session.run([heads.scores], feeds)[0].shape[-1]
    full = session.run([heads.activation], feeds)[0].reshape(-1, columns)
    for name in list(graph.downstream(heads.activation))[:_MAX_DECODER_NODES]:
        value = session.try_run(name, feeds)
        if value is None or value.shape[-1:] != (columns - 1,) or value.size != full[:, 1:].size:
            continue
        for column in range(columns):
            if np.array_equal(np.delete(full, column, axis=1), value.reshape(-1, columns - 1)):
                return Probabilities(name, column)
    return Probabilities(heads.activation, None)
