"""Ranges and the int8 scales that cover them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.quantization.ranges import NARROWEST, Range, quant_for

BOUNDS = st.floats(-1e4, 1e4, width=32)


def test_a_range_always_holds_zero() -> None:
    assert Range.of(2.0, 5.0) == Range(0.0, 5.0)
    assert Range.of(-5.0, -2.0) == Range(-5.0, 0.0)


def test_a_range_must_be_finite() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Range.of(0.0, float("inf"))


@given(BOUNDS, BOUNDS)
def test_zero_is_exact_and_every_value_inside_is_off_by_at_most_one_step(first: float, second: float) -> None:
    span = Range.of(min(first, second), max(first, second))
    quant = quant_for(span)
    step = float(quant.scale[0])
    values = np.linspace(span.low, span.high, 101)
    restored = quant.dequantize(quant.quantize(values, np.dtype(np.int8)))
    assert quant.dequantize(quant.zero_point.astype(np.int8))[0] == 0.0
    assert np.abs(restored - values).max() <= step * 1.001


def test_a_dead_tensor_gets_a_scale_that_does_not_overflow() -> None:
    assert float(quant_for(Range(0.0, 0.0)).scale[0]) == pytest.approx(NARROWEST / 255)
