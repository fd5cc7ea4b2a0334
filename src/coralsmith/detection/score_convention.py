"""What the score output means: activation and background column, decided by its values on real images."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.agreement import CONFIDENT
from coralsmith.detection.decode import sigmoid
from coralsmith.detection.head import Activation, ScoreSpec
from coralsmith.detection.layout import ASK_FOR_HEAD
from coralsmith.errors import DetectionHeadError

Floats = NDArray[np.float32]

MOSTLY: Final = 0.8  # most anchors of any image see no object
_SUM_OF_SIGMOID: Final = 0.25
_SUM_OF_SOFTMAX: Final = 0.1


def recognise_scores(
    rows: Floats, applied: str | None, classes: int | None, dropped: int | None = None
) -> tuple[ScoreSpec, str]:
    """Decide activation and background column.

    Args:
        rows: Score rows of several images, real numbers [R, C].
        applied: Activation that the graph applies itself: LOGISTIC, SOFTMAX or None.
        classes: Number of classes without background, where labels are known.
        dropped: Column that the source itself drops as the background.

    Returns:
        The convention, and the evidence for it.

    Raises:
        DetectionHeadError: The values, or they and the labels, allow more than one answer.
    """
    background: int | None
    if dropped is not None and classes in (None, rows.shape[1] - 1):
        background, background_evidence = dropped, f"background: column {dropped}, which the source itself drops"
    else:
        background, background_evidence = _background(rows, applied, classes)
    activation, activation_evidence = _activation(rows, applied, background)
    return ScoreSpec(activation, background), f"{activation_evidence}; {background_evidence}"


def dominating_column(rows: Floats, threshold: float) -> tuple[int, float]:
    """The column that is most often the largest and above `threshold`, and in what share of the rows."""
    largest = rows.argmax(axis=1)[rows.max(axis=1) > threshold]
    counts = np.bincount(largest, minlength=rows.shape[1])
    return int(counts.argmax()), float(counts.max() / len(rows))


def share_without_object(rows: Floats) -> float:
    """In what share of the rows no class is likely: all logits are negative, or one column exceeds all others."""
    negative = float(np.mean(rows.max(axis=1) < -1.0))
    return max(negative, dominating_column(rows, 1.0)[1])


def _activation(rows: Floats, applied: str | None, background: int | None) -> tuple[Activation, str]:
    """Sigmoid logits stand alone, most of them negative; training by softmax keeps the sum of a row near 0."""
    if applied is not None:
        return "none", f"scores: {applied} in the model"
    if rows.shape[1] == 1:
        return "sigmoid", "scores: logits of one column, sigmoid"
    balance = float(np.mean(np.abs(rows.sum(axis=1)) / np.maximum(np.abs(rows).sum(axis=1), 1e-9)))
    measured = f"|sum of a row| is {balance:.2f} of the sum of magnitudes"
    if balance > _SUM_OF_SIGMOID:
        return "sigmoid", f"scores: sigmoid, {measured}"
    if balance < _SUM_OF_SOFTMAX and background is not None and rows.shape[1] > 2:
        return "softmax", f"scores: softmax, {measured}"
    raise DetectionHeadError(
        f"The scores may be logits of a sigmoid or of a softmax: {measured}, {rows.shape[1]} columns.",
        hint=ASK_FOR_HEAD,
    )


def _background(rows: Floats, applied: str | None, classes: int | None) -> tuple[int | None, str]:
    columns = rows.shape[1]
    column, share = dominating_column(rows, 0.0 if applied is None else CONFIDENT)
    dominates = columns > 1 and share > MOSTLY
    measured = f"column {column} is the largest and likely in {share:.0%} of all rows"
    wins, confident = _wins_of_first_column(rows, applied)
    if classes is not None:
        is_class = wins > 0 and not dominates and applied != "SOFTMAX"
        if is_class and columns == classes + 1:
            measured = f"column 0 is best in {wins} of {confident} confident rows, as a class"
            raise _contradiction(classes, columns, measured)
        return _background_by_labels(columns, classes, column if dominates else None, measured)
    if dominates:
        return column, f"background: {measured}"
    if columns == 1:
        return None, "background: none, there is one column"
    if wins == 0 or applied == "SOFTMAX":
        raise DetectionHeadError(
            f"Column 0 of the {columns} score columns may be a class or the background: "
            f"it is best in none of {confident} confident rows.",
            hint="Give the class names (--labels), or describe the head in a head.json (--head).",
        )
    return None, f"background: none, column 0 is a class in {wins} of {confident} confident rows"


def _wins_of_first_column(rows: Floats, applied: str | None) -> tuple[int, int]:
    """In how many rows with a confident score the first column has the best, and how many such rows there are."""
    probabilities = _probabilities(rows, applied)
    confident = probabilities[probabilities.max(axis=1) >= CONFIDENT]
    return int(np.sum(confident.argmax(axis=1) == 0)), len(confident)


def _background_by_labels(
    columns: int, classes: int, dominating: int | None, measured: str
) -> tuple[int | None, str]:
    if columns == classes and dominating is None:
        return None, f"background: none, {classes} labels for {columns} columns"
    if columns == classes + 1:
        return dominating or 0, f"background: {classes} labels for {columns} columns, {measured}"
    raise _contradiction(classes, columns, "" if dominating is None else f"{measured}, as a background")


def _contradiction(classes: int, columns: int, measured: str) -> DetectionHeadError:
    return DetectionHeadError(
        f"There are {classes} labels for {columns} score columns{f', and {measured}' if measured else ''}.",
        hint="Give one label a class, in the order of the columns, without the background.",
    )


def _probabilities(rows: Floats, applied: str | None) -> Floats:
    return rows if applied is not None else sigmoid(rows)
