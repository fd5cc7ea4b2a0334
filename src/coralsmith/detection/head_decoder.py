"""From the raw outputs of one model to detections, as TFLite_Detection_PostProcess computes them.

Outputs of eight bits are not dequantized. Such a number has 256 values, so every function of one (the activation
of a score, the exponential of a box side) is a table of 256 numbers, made once; limits are compared as integers,
and only what survives them is looked up at all.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.decode import class_probabilities, decode_boxes
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import Activation, DetectionHead, NmsSpec, ScoreSpec
from coralsmith.detection.nms import Floats, Indices, keep_best
from coralsmith.detection.ranking import Ranking, rank_pairs, rank_rows
from coralsmith.errors import DetectionHeadError, UnsupportedModelError
from coralsmith.graph import Tensor
from coralsmith.graph.executor import as_real

Raw = NDArray[Any]

_BYTES: Final = np.arange(256, dtype=np.uint8)
_ROUNDING: Final = 1e-4  # of a logit, far more than float32 loses on the way to a probability


class HeadDecoder:
    """Decodes the outputs of a model with raw heads.

    Args:
        head: What the outputs mean.
        boxes: The box output; None where it is given as real numbers.
        scores: The score output; None where it is given as real numbers.
        per_class: Suppress boxes only by boxes of the same class, and let one box bear several classes. False
            is the fast mode of TFLite_Detection_PostProcess: each box bears its best class only, and boxes
            suppress each other whatever their classes.
        min_scores: Lowest score kept of each class, [classes]; by default that of the head for all.
    """

    def __init__(
        self,
        head: DetectionHead,
        boxes: Tensor | None = None,
        scores: Tensor | None = None,
        *,
        per_class: bool = True,
        min_scores: Floats | None = None,
    ) -> None:
        self.head = head
        self._rank = rank_pairs if per_class else rank_rows
        self._within_classes = per_class
        limits = np.full(1, head.nms.score, np.float32) if min_scores is None else min_scores.astype(np.float32)
        self._limits = limits[:1] if (limits == limits[0]).all() else limits
        self._classes = _without(head.score.background, head.score_columns)
        narrow = _of_eight_bits(boxes)
        self._boxes = _RealBoxes(boxes, head) if narrow is None else _BoxTables(narrow, head)
        self._scores, narrow = scores, _of_eight_bits(scores)
        self._table: Floats | None = None
        if narrow is not None and head.score.activation != "softmax":
            self._table = _score_table(narrow, head.score.activation)
            self._integer_limits = _integer_limits(self._table, self._limits, narrow.dtype)

    def decode(self, raw_boxes: Raw, raw_scores: Raw) -> Detections:
        """The detections in one image's outputs.

        Args:
            raw_boxes: Box output as the model gives it, [1, N, 4 or more] or [N, 4 or more].
            raw_scores: Score output as the model gives it, [1, N, C] or [N, C], background column included.

        Returns:
            At most ``head.nms.max_detections`` detections, best first.

        Raises:
            DetectionHeadError: The outputs have not one row for each anchor.
            UnsupportedModelError: The model computes NaN.
        """
        boxes, scores = _rows(raw_boxes, self.head, "box"), _rows(raw_scores, self.head, "score")
        ranking = self._ranked_integers(scores) if self._table is not None else self._ranked_reals(scores)
        groups = ranking.columns if self._within_classes else None
        limits = self.head.nms
        kept, corners = keep_best(
            len(ranking.rows),
            lambda first, last: self._boxes.corners(boxes, ranking.rows[first:last]),
            limits.iou,
            limits.max_detections,
            groups,
        )
        if np.isnan(corners).any():
            raise _not_a_number("box")
        rows, values = ranking.rows[kept], ranking.values[kept]
        columns = ranking.columns
        class_ids = scores[rows][:, self._classes].argmax(axis=1) if columns is None else columns[kept]
        probabilities = values if self._table is None else self._table[values.view(np.uint8)]
        return Detections(np.ascontiguousarray(corners.T), class_ids.astype(np.int64), probabilities)

    def _ranked_integers(self, scores: Raw) -> Ranking:
        limits = self._integer_limits
        if limits is None:  # no integer of the type reaches them
            return Ranking(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, scores.dtype))
        return self._rank(scores[:, self._classes], limits)

    def _ranked_reals(self, scores: Raw) -> Ranking:
        """Ranked by probability; it is computed of the anchors only whose raw scores can reach the limit."""
        rows = np.flatnonzero(self._promise(scores))
        probabilities = class_probabilities(_real(scores[rows], self._scores), self.head.score)
        ranking = self._rank(probabilities, self._limits)
        columns = ranking.columns if ranking.columns is not None else probabilities[ranking.rows].argmax(axis=1)
        return Ranking(rows[ranking.rows], columns, ranking.values)

    def _promise(self, scores: Raw) -> NDArray[np.bool_]:
        """Which rows may hold a probability that reaches the lowest limit, [N].

        Sigmoid and softmax grow with their logit, and a class of a softmax has at most the sigmoid of its
        logit's lead over the background.
        """
        best = _real(scores[:, self._classes].max(axis=1), self._scores)
        if np.isnan(best).any():
            raise _not_a_number("score")
        lowest = float(self._limits.min())
        activation, background = self.head.score.activation, self.head.score.background
        if activation == "none":
            return np.asarray(best >= lowest)
        if activation == "softmax":
            if background is None:
                return np.ones(len(scores), np.bool_)
            best = best - _real(scores[:, background], self._scores)
        with np.errstate(divide="ignore"):
            logit = np.log(lowest) - np.log1p(-min(lowest, 1.0 - 2.0**-24))
        return np.asarray(best >= logit - _ROUNDING)


def decode_detections(
    raw_boxes: Raw, raw_scores: Raw, head: DetectionHead, *, per_class: bool = True
) -> Detections:
    """The detections in outputs that are real numbers; see `HeadDecoder`, which is made for many images."""
    return HeadDecoder(head, per_class=per_class).decode(raw_boxes, raw_scores)


def select_detections(boxes: Floats, scores: Floats, limits: NmsSpec, *, per_class: bool = True) -> Detections:
    """The detections among decoded boxes: overlaps suppressed, best first.

    Args:
        boxes: float32 [N, 4] (ymin, xmin, ymax, xmax).
        scores: Probabilities, float32 [N, classes].
        limits: Of the suppression.
        per_class: See `HeadDecoder`.
    """
    rank = rank_pairs if per_class else rank_rows
    ranking = rank(scores, np.full(1, limits.score, np.float32))
    columns = scores[ranking.rows].argmax(axis=1) if ranking.columns is None else ranking.columns
    corners = np.ascontiguousarray(boxes[ranking.rows].T)
    kept, _ = keep_best(
        len(ranking.rows),
        lambda first, last: corners[:, first:last],
        limits.iou,
        limits.max_detections,
        columns if per_class else None,
    )
    rows = ranking.rows[kept]
    return Detections(boxes[rows], columns[kept].astype(np.int64), ranking.values[kept])


class _RealBoxes:
    """Boxes from outputs that are real numbers, or become them row by row."""

    def __init__(self, output: Tensor | None, head: DetectionHead) -> None:
        self._output, self._head = output, head

    def corners(self, raw: Raw, rows: Indices) -> Floats:
        """float32 [4, rows] (ymin, xmin, ymax, xmax)."""
        real = _real(raw[rows], self._output)
        return decode_boxes(real, self._head.anchors[rows], self._head.box_coder).T


class _BoxTables:
    """Boxes from an output of eight bits; bit for bit what `decode_boxes` makes of the dequantized one."""

    def __init__(self, output: Tensor, head: DetectionHead) -> None:
        real = _all_values(output).astype(np.float64)
        scales = dict(zip(head.box_coder.order, head.box_coder.scales, strict=True))
        with np.errstate(over="ignore"):
            halves = [0.5 * np.exp(real / scales[side]) for side in "hw"]
        self._tables = np.concatenate([real / scales["y"], real / scales["x"], *halves])
        self._columns = [head.box_coder.order.index(name) for name in "yxhw"]
        self._in_order = self._columns == [0, 1, 2, 3]
        self._offsets = np.arange(4) * 256
        anchors = head.anchors.astype(np.float64)
        self._centres, self._sizes = anchors[:, :2].copy(), np.tile(anchors[:, 2:], 2)

    def corners(self, raw: Raw, rows: Indices) -> Floats:
        """float32 [4, rows] (ymin, xmin, ymax, xmax)."""
        codes = raw.take(rows, axis=0).view(np.uint8)
        codes = codes[:, :4] if self._in_order else codes[:, self._columns]
        places = self._tables.take(codes + self._offsets)
        with np.errstate(over="ignore", invalid="ignore"):
            places *= self._sizes.take(rows, axis=0)
            places[:, :2] += self._centres.take(rows, axis=0)
            centres_and_halves = places.astype(np.float32).T
        centres, halves = centres_and_halves[:2], centres_and_halves[2:]
        return np.concatenate([centres - halves, centres + halves])


def _of_eight_bits(output: Tensor | None) -> Tensor | None:
    return output if output is not None and output.dtype.itemsize == 1 and output.quant is not None else None


def _all_values(output: Tensor) -> Floats:
    """The real number behind each value of eight bits, in the order of their unsigned bit patterns: [256]."""
    return as_real(output, _BYTES.view(output.dtype))


def _score_table(output: Tensor, activation: Activation) -> Floats:
    """The probability behind each value of eight bits, as `_all_values`."""
    return class_probabilities(_all_values(output), ScoreSpec(activation))


def _integer_limits(table: Floats, limits: Floats, dtype: np.dtype[Any]) -> Raw | None:
    """The smallest integers whose probability reaches the limits; None where none reaches any.

    A class whose limit is out of reach has the limit one above the largest integer, in a wider type.
    """
    codes = np.sort(_BYTES.view(dtype))
    places = np.searchsorted(table[codes.view(np.uint8)], limits)
    if places.min() == len(codes):
        return None
    wide = places + int(codes[0])
    return wide.astype(dtype if places.max() < len(codes) else np.int16)


def _without(background: int | None, columns: int) -> slice | list[int]:
    """The columns of the real classes; a slice where they lie side by side, which is read in place."""
    if background is None:
        return slice(0, columns)
    if background in (0, columns - 1):
        return slice(1, columns) if background == 0 else slice(0, columns - 1)
    return [column for column in range(columns) if column != background]


def _real(raw: Raw, output: Tensor | None) -> Raw:
    return raw if output is None else as_real(output, raw)


def _rows(raw: Raw, head: DetectionHead, what: str) -> Raw:
    rows = raw[0] if raw.ndim == 3 and len(raw) == 1 else raw
    columns = 4 if what == "box" else head.score_columns
    if rows.ndim != 2 or len(rows) != len(head.anchors) or rows.shape[1] < columns:
        raise DetectionHeadError(
            f"The {what} output has the shape {list(raw.shape)}, but the head says "
            f"[1, {len(head.anchors)}, {columns}].",
            hint="Check outputs.boxes and outputs.scores of the head: are they swapped?",
        )
    return rows


def _not_a_number(what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The model computes a {what} that is not a number (NaN).",
        hint="Check its training, its export and its head; in a float model a damaged weight does this too.",
    )
