from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.errors import UnsupportedModelError
from coralsmith.importers.frozen_graph_entry import fit_normalisation

COLOURS = np.array([(0, 0, 0), (255, 255, 255), (64, 128, 192), (10, 200, 90)], np.uint8)


@given(
    scale=st.floats(1e-3, 2).map(lambda x: float(f"{x:.5g}")),
    offset=st.floats(-3, 3).map(lambda x: round(x, 5)),
)
def test_scale_and_offset_are_recovered_from_float32_answers(scale: float, offset: float) -> None:
    found = fit_normalisation(COLOURS, (COLOURS * np.float32(scale) + np.float32(offset)).astype(np.float32))
    assert found.scale == pytest.approx((scale,) * 3, rel=1e-5)
    assert found.offset == pytest.approx((offset,) * 3, abs=2e-5)


def test_mean_and_deviation_per_channel_are_recovered_to_the_digit() -> None:
    mean, std = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)
    found = fit_normalisation(COLOURS, (COLOURS - mean) / std).to_input_fields()
    assert found == {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


def test_swapped_channels_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="no plain normalisation"):
        fit_normalisation(COLOURS, COLOURS[:, ::-1].astype(np.float32))
