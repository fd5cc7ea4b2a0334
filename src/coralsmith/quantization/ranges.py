"""Ranges of real values and the int8 scales that cover them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Quant

LEVELS: Final = 255
LOWEST: Final = -128

# Below this width a scale is so small that the compiler's fixed-point arithmetic overflows
# ("no_integer_overflow_from_quantization was not true"); dead tensors get this width instead.
NARROWEST: Final = 1e-4


@dataclass(frozen=True)
class Range:
    """The closed interval of real values that a tensor is to represent; zero always lies inside."""

    low: float
    high: float

    @staticmethod
    def of(low: float, high: float) -> Range:
        """The interval from `low` to `high`, stretched to hold zero.

        Raises:
            ValueError: A bound is not finite.
        """
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"the range [{low}, {high}] is not finite")
        return Range(min(low, 0.0), max(high, 0.0))

    @property
    def width(self) -> float:
        """Length of the interval."""
        return self.high - self.low

    def union(self, other: Range) -> Range:
        """The smallest interval that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


def quant_for(span: Range) -> Quant:
    """The asymmetric int8 scale of a range, with zero exactly representable (TFLite quantization specification).

    The zero point is the rounded one of the two ends' errors' smaller, as in Jacob et al. 2018 (nudging).
    """
    width = max(span.width, NARROWEST)
    scale = np.float32(width / LEVELS)
    zero_point = round(LOWEST - span.low / float(scale))
    return Quant(np.array([scale]), np.array([min(max(zero_point, LOWEST), LOWEST + LEVELS)], np.int64))
