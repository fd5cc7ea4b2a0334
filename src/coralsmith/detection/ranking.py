"""Which anchors and classes come into question, best first: raw scores compared as the numbers they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Candidates, best first; of equal ones the first anchor comes first.

    Attributes:
        rows: Anchor of each, [M].
        columns: Class of each, [M]; None where it is the best of the row and not looked up yet.
        values: Score of each in the numbers of the output, [M].
    """

    rows: Indices
    columns: Indices | None
    values: NDArray[Any]


def rank_pairs(values: NDArray[Any], limits: NDArray[Any]) -> Ranking:
    """Every pair of anchor and class whose score reaches the limit of the class.

    Args:
        values: Scores [N, K], real numbers or integers whose order is that of the scores.
        limits: [K], or [1] for all classes, of the same type.
    """
    found = np.flatnonzero(values >= (limits if len(limits) > 1 else limits[0]))
    rows, columns = np.divmod(found, values.shape[1])
    reached = values[rows, columns]
    order = _best_first(reached)
    return Ranking(rows[order], columns[order], reached[order])


def rank_rows(values: NDArray[Any], limits: NDArray[Any]) -> Ranking:
    """Every anchor with its best class, where that reaches its limit; see `rank_pairs`."""
    best = values.max(axis=1)
    rows = np.flatnonzero(best >= limits.min())
    columns = None
    if len(limits) > 1:
        columns = values[rows].argmax(axis=1)
        reach = best[rows] >= limits[columns]
        rows, columns = rows[reach], columns[reach]
    reached = best[rows]
    order = _best_first(reached)
    return Ranking(rows[order], None if columns is None else columns[order], reached[order])


def _best_first(values: NDArray[Any]) -> Indices:
    """Indices that sort in falling order; numpy sorts 8-bit integers stably in linear time."""
    falling = ~values if values.dtype.kind in "iu" else -values
    return np.argsort(falling, kind="stable")
