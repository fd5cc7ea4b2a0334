"""Finds the constants of a source's layers among the blocks of a program.

A program runs the layers in the order in which their parameters lie, so the blocks follow each other in that
order. Where one has other constants than it should, it still stands between those of the layers around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.compiled.program import RequantBlock, RequantRun
from coralsmith.compiled.requantization import Requantization
from coralsmith.compiled.verification.report import Difference

MOST_COMPARISONS: Final = 20_000_000
"""Operators times blocks; real models have under 100,000."""

_EXACT: Final = 1_000  # what an exact block counts against one that is only alike
_NAMES: Final = (
    "multiplier",
    "clamp minimum",
    "clamp maximum",
    "bias",
    "output zero point",
    "input zero point",
    "weight zero point",
)
_TELLING: Final = (0, 2, 4, 5, 6)  # the others are nearly always 0
_WEIGHT_ZERO_POINT: Final = 6
_ALIKE: Final = 3  # of the five telling constants


def fits(expected: Requantization, block: RequantBlock) -> bool:
    """Whether a block holds exactly the constants expected; floats are compared to the last bit."""
    return all(wanted is None or wanted == found for _, wanted, found in _pairs(expected, block))


def constant_differences(expected: Requantization, block: RequantBlock) -> list[Difference]:
    """The constants of a block that are not those expected."""
    return [
        Difference(what, f"{wanted:.9g}", f"{found:.9g}")
        for what, wanted, found in _pairs(expected, block)
        if wanted is not None and wanted != found
    ]


def align(expected: Sequence[Requantization | None], runs: Sequence[RequantRun]) -> list[int | None]:
    """Find the blocks of as many layers as possible, in order: those with their constants, else those like them.

    Args:
        expected: The constants of each layer in the order of the program; None where they are not known.
        runs: The runs of the program.

    Returns:
        For each layer the index of its run, ascending; None where it has none.

    Raises:
        ValueError: There are too many runs to be those of a real model.
    """
    if len(expected) * len(runs) > MOST_COMPARISONS:
        raise ValueError(f"{len(runs)} blocks of constants")
    table = np.array([run.block.constants for run in runs], np.float64).reshape(len(runs), len(_NAMES))
    scores = [_scores(wanted, table) for wanted in expected]
    # best[i, j]: highest score of the layers from i on with the runs from j on
    best = np.zeros((len(expected) + 1, len(runs) + 1), np.int32)
    for i in range(len(expected) - 1, -1, -1):
        here = np.maximum(best[i + 1, :-1], np.where(scores[i] > 0, best[i + 1, 1:] + scores[i], 0))
        best[i, :-1] = np.maximum.accumulate(here[::-1])[::-1]
    found: list[int | None] = []
    start = 0
    for i, of_layer in enumerate(scores):
        options = np.flatnonzero((of_layer > 0) & (best[i + 1, 1:] + of_layer == best[i, start]))
        options = options[options >= start]
        if best[i, start] > best[i + 1, start] and len(options):
            start = int(options[0]) + 1
            found.append(start - 1)
        else:
            found.append(None)
    return found


def _scores(expected: Requantization | None, table: NDArray[np.float64]) -> NDArray[np.int32]:
    """How much each run speaks for being that of a layer; 0 for those that cannot be."""
    if expected is None:
        return np.zeros(len(table), np.int32)
    wanted = [np.nan if value is None else float(value) for value in _constants(expected)]
    equal = (table == wanted) | np.isnan(wanted)
    in_common = equal[:, _TELLING].sum(axis=1, dtype=np.int32)
    zero_point, its_own = table[:, _WEIGHT_ZERO_POINT], wanted[_WEIGHT_ZERO_POINT]
    is_same_sort = (zero_point > 0) == (its_own > 0)
    is_alike = is_same_sort & ((in_common >= _ALIKE) | ((its_own > 0) & (zero_point == its_own)))
    scores: NDArray[np.int32] = np.where(equal.all(axis=1), _EXACT, np.where(is_alike, in_common, 0))
    return scores


def _constants(expected: Requantization) -> tuple[Any, ...]:
    """The constants in the order of `RequantBlock.constants`."""
    return (
        expected.multiplier,
        expected.clamp_min,
        expected.clamp_max,
        expected.bias,
        expected.output_zero_point,
        expected.input_zero_point,
        expected.weight_zero_point,
    )


def _pairs(expected: Requantization, block: RequantBlock) -> Iterator[tuple[str, Any, float | int]]:
    """Each constant: its name, the value expected (None where the block may hold any) and the one found."""
    return zip(_NAMES, _constants(expected), block.constants, strict=True)
