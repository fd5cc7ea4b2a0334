"""What int8 does to detections: which box coordinate and which class suffers, how the worst tensors look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.detection.decode import class_probabilities, decode_boxes
from coralsmith.detection.head import DetectionHead
from coralsmith.graph import Array, Graph, Quant, Tensor
from coralsmith.graph.executor import Executor, as_real
from coralsmith.quantization.fidelity import ErrorSum, Fidelity, find_twins

CONFIDENT: Final = 0.3
"""Anchors with a class of at least this float probability count: those that become detections."""

COORDINATES: Final = ("y centre", "x centre", "height", "width")
WORST_TENSORS: Final = 6
BINS: Final = 64


@dataclass(frozen=True)
class CoordinateError:
    """How far one coordinate of the detected boxes is off, in parts of the box's own height or width.

    Attributes:
        name: Of the coordinate.
        mean: Mean of the absolute differences.
        worst: The largest.
    """

    name: str
    mean: float
    worst: float


@dataclass(frozen=True)
class ClassError:
    """How far the probability of one class is off, on the anchors that see an object of it.

    Attributes:
        class_id: Index into the labels.
        anchors: How many anchors see one.
        shift: Mean of the differences, int8 less float; negative where objects of the class fade.
        mean: Mean of the absolute differences.
    """

    class_id: int
    anchors: int
    shift: float
    mean: float


@dataclass(frozen=True, eq=False)
class TensorHistogram:
    """The float values of a tensor, and what of them int8 can hold.

    Attributes:
        name: The tensor.
        kind: The operator that computes it.
        sqnr_db: Signal to quantization noise of its int8 form.
        low: Lower end of the first bin.
        high: Upper end of the last bin.
        counts: Values in each of equal bins.
        held_low: The lowest value that int8 holds.
        held_high: The highest.
        clipped: Part of the values outside, 0 to 1.
    """

    name: str
    kind: str
    sqnr_db: float
    low: float
    high: float
    counts: tuple[int, ...]
    held_low: float
    held_high: float
    clipped: float


@dataclass(frozen=True)
class Explanation:
    """What int8 does; `anchors` counts those that became detections."""

    anchors: int = 0
    coordinates: tuple[CoordinateError, ...] = ()
    classes: tuple[ClassError, ...] = ()
    tensors: tuple[TensorHistogram, ...] = ()


def explain(
    reference: Graph,
    quantized: Graph,
    head: DetectionHead | None,
    samples: Iterable[tuple[Array, Array]],
    fidelity: Fidelity,
    threads: int = 2,
) -> Explanation:
    """Run both graphs over the same images and look at their heads and their worst tensors.

    Args:
        reference: The float graph, up to its raw heads.
        quantized: The int8 graph made from it.
        head: Of the float graph; None where it is not known.
        samples: Pairs of the float graph's input and the int8 graph's input.
        fidelity: How well both agree, which tells the worst tensors.
        threads: CPU threads of the interpreter.
    """
    float_executor = Executor(reference, threads=threads, keep_all=True)
    int8_executor = Executor(quantized, threads=threads, keep_all=True)
    twins = find_twins(reference, quantized)
    worst = _worst_tensors(fidelity, twins)
    values: dict[Tensor, list[Array]] = {tensor: [] for tensor, _, _ in worst}
    heads = None if head is None else _HeadErrors(reference, head, twins)
    for float_input, int8_input in samples:
        float_executor.invoke(float_input)
        int8_executor.invoke(int8_input)
        for tensor, kept in values.items():
            kept.append(float_executor.value(tensor).reshape(-1))
        if heads is not None:
            heads.add(float_executor, int8_executor)
    histograms = tuple(
        _histogram(tensor, kind, error, np.concatenate(values[tensor]), twins[tensor].quant)
        for tensor, kind, error in worst
    )
    if heads is None:
        return Explanation(tensors=histograms)
    return Explanation(heads.anchors, heads.coordinates(), heads.classes(), histograms)


class _HeadErrors:
    """Differences of the decoded heads, on the anchors that become detections."""

    def __init__(self, reference: Graph, head: DetectionHead, twins: dict[Tensor, Tensor]) -> None:
        self.head = head
        outputs = {tensor.name: tensor for tensor in reference.outputs}
        self.boxes, self.scores = outputs[head.boxes], outputs[head.scores]
        self.twins = twins
        self.differences: list[Array] = []
        self.class_ids: list[Array] = []
        self.shifts: list[Array] = []

    @property
    def anchors(self) -> int:
        return sum(len(part) for part in self.class_ids)

    def add(self, float_executor: Executor, int8_executor: Executor) -> None:
        """Look at one image."""

        def integer(tensor: Tensor) -> Array:
            return as_real(self.twins[tensor], int8_executor.value(self.twins[tensor]))

        expected = self._decoded(float_executor.value(self.boxes), float_executor.value(self.scores))
        found = self._decoded(integer(self.boxes), integer(self.scores))
        best = expected[1].argmax(axis=1)
        rows = np.flatnonzero(expected[1].max(axis=1) >= CONFIDENT)
        self.class_ids.append(best[rows])
        self.shifts.append((found[1] - expected[1])[rows, best[rows]])
        centres, sizes = zip(*(_centres_and_sizes(boxes[rows]) for boxes in (expected[0], found[0])), strict=True)
        relative = [
            (pair[1] - pair[0]) / np.maximum(sizes[0], np.finfo(np.float32).tiny) for pair in (centres, sizes)
        ]
        self.differences.append(np.concatenate(relative, axis=1))

    def _decoded(self, boxes: Array, scores: Array) -> tuple[Array, Array]:
        head = self.head
        rows = len(head.anchors)
        return (
            decode_boxes(boxes.reshape(rows, -1), head.anchors, head.box_coder),
            class_probabilities(scores.reshape(rows, -1), head.score),
        )

    def coordinates(self) -> tuple[CoordinateError, ...]:
        if not self.anchors:
            return ()
        away = np.abs(np.concatenate(self.differences))
        columns = zip(COORDINATES, away.mean(axis=0).tolist(), away.max(axis=0).tolist(), strict=True)
        return tuple(CoordinateError(name, mean, worst) for name, mean, worst in columns)

    def classes(self) -> tuple[ClassError, ...]:
        """Those that were seen, the worst first."""
        if not self.anchors:
            return ()
        class_ids, shifts = np.concatenate(self.class_ids), np.concatenate(self.shifts)
        errors = [
            ClassError(int(i), len(own), float(own.mean()), float(np.abs(own).mean()))
            for i in np.unique(class_ids)
            for own in [shifts[class_ids == i]]
        ]
        return tuple(sorted(errors, key=lambda error: -error.mean))


def _centres_and_sizes(boxes: Array) -> tuple[Array, Array]:
    """(y, x) centres and (height, width) of boxes (ymin, xmin, ymax, xmax)."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def _worst_tensors(fidelity: Fidelity, twins: dict[Tensor, Tensor]) -> list[tuple[Tensor, str, ErrorSum]]:
    """The results of layers with the most noise, each scale once."""
    ordered = sorted(fidelity.layers, key=lambda layer: layer[1].sqnr_db)
    found: list[tuple[Tensor, str, ErrorSum]] = []
    scales: list[Quant] = []
    for op, error in ordered:
        quant = twins[op.output].quant
        if quant is not None and not any(quant.same_as(other) for other in scales):
            scales.append(quant)
            found.append((op.output, op.kind, error))
        if len(found) == WORST_TENSORS:
            break
    return found


def _histogram(tensor: Tensor, kind: str, error: ErrorSum, values: Array, quant: Quant | None) -> TensorHistogram:
    assert quant is not None, "only of quantized tensors"
    held_low, held_high = quant.dequantize(np.array([-128, 127])).tolist()
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1.0
    counts = np.histogram(values, BINS, (low, high))[0]
    step = float(quant.scale[0])
    clipped = float(((values < held_low - step / 2) | (values > held_high + step / 2)).mean())
    return TensorHistogram(
        tensor.name, kind, error.sqnr_db, low, high, tuple(counts.tolist()), held_low, held_high, clipped
    )
