"""The scale of what a SOFTMAX reads, as the instructions hold it.

Older compilers compute the exponential by scalar instructions, as 2 to the power of x * scale * log2(e); both
factors are loaded as float32. Newer ones have a block of constants for it.

Source: the five published pairs of min_runtime 12 that end with a SOFTMAX; four pairs of min_runtime 14. Three
more have a block with multiplier 1 and their scale elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.compiled.program import Program
from coralsmith.compiled.recovery.segment import Segment
from coralsmith.compiled.softmax_table import scale_of_softmax_table, softmax_table_bytes

_LOAD: Final = 0x0D00000000000800
_LOAD_MASK: Final = 0x0FFFFFFFFFFFFFFF
_IMMEDIATE_SHIFT: Final = 70 - 64
_LOG2_E: Final = int(np.float32(np.log2(np.e)).view(np.uint32))
_BUNDLES_BETWEEN: Final = 2

_ROUNDING: Final = 1e-3
_CLAMP: Final = -13.0380983  # of the block that feeds the exponential


def softmax_scale(program: Program) -> np.float32 | None:
    """The scale of what the SOFTMAX reads; None where the instructions show none, or several."""
    low, high = program.words[:, 0], program.words[:, 1]
    loads = (low & np.uint64(_LOAD_MASK)) == np.uint64(_LOAD)
    values = ((high >> np.uint64(_IMMEDIATE_SHIFT)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    ends = np.flatnonzero(loads & (values == _LOG2_E))
    starts = ends[ends >= _BUNDLES_BETWEEN] - _BUNDLES_BETWEEN
    scales = np.unique(values[starts[loads[starts]]].view(np.float32))
    return np.float32(scales[0]) if len(scales) == 1 and np.isfinite(scales[0]) and scales[0] > 0 else None


def softmax_block_scale(program: Program) -> np.float32 | None:
    """The same for newer compilers; None where no block shows it. One with multiplier 1 shows nothing."""
    blocks = [block for block in program.blocks if abs(block.clamp_min - _CLAMP) < _ROUNDING]
    scales = {block.multiplier for block in blocks if block.multiplier != 1}
    return np.float32(scales.pop()) if len(scales) == 1 else None


@dataclass(frozen=True)
class SoftmaxInput:
    """What is known of the scale of what a SOFTMAX reads.

    Attributes:
        scale: The scale.
        is_of_range: Whether it was computed anew from the range, as `softmax_table.scale_of_range` does it.
    """

    scale: np.float32
    is_of_range: bool = False


def softmax_input(classes: int, segment: Segment) -> SoftmaxInput | None:
    """What a compiled file says of the scale that its SOFTMAX reads.

    Args:
        classes: How many classes it tells apart; 0 where there is no SOFTMAX.
        segment: The compiled file that holds it.

    Returns:
        None where there is no SOFTMAX, or where its scale stands is not known.
    """
    if not classes:
        return None
    tabled = scale_of_softmax_table(segment.parameters[-softmax_table_bytes(classes) :], classes)
    if tabled is not None:
        return SoftmaxInput(tabled, is_of_range=True)
    scales = softmax_scale(segment.program), softmax_block_scale(segment.program)
    return next((SoftmaxInput(scale) for scale in scales if scale is not None), None)
