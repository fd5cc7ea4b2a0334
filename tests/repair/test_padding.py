"""PAD goes into convolutions and poolings exactly where SAME pads alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.graph import Attribute, Graph, Quant
from coralsmith.graph.shapes import same_padding
from coralsmith.repair.padding import FoldPadding
from tests.builders import CONVOLUTION, activation, constant, graph, op
from tests.repair.helpers import applied, apply, assert_same_function, kinds, refused, window_op

STRIDE_2: dict[str, Attribute] = {"stride_h": 2, "stride_w": 2}
VALID: dict[str, Attribute] = {"padding": "VALID"}
LOWEST = float(np.finfo(np.float32).min)


def padded(
    kind: str,
    size: tuple[int, int],
    paddings: list[list[int]],
    *,
    fill: float | None = None,
    activated: bool = False,
    kernel: int = 3,
    **attributes: Attribute,
) -> Graph:
    """[RELU,] PAD or PADV2, then a VALID operator."""
    source = activation("input", (1, *size, 3))
    ops = [op("RELU", [source], "activated")] if activated else []
    amounts = constant("paddings", paddings, np.int32)
    value = [] if fill is None else [constant("fill", fill, np.float32)]
    data = ops[-1].output if ops else source
    pad = op("PAD" if fill is None else "PADV2", [data, amounts, *value], "padded")
    last = window_op(kind, pad.output, "result", kernel=kernel, **{**VALID, **attributes})
    return graph([*ops, pad, last], [source])


def around(rows: tuple[int, int], columns: tuple[int, int]) -> list[list[int]]:
    return [[0, 0], list(rows), list(columns), [0, 0]]


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize(
    ("size", "rows", "attributes"),
    [
        (8, (1, 1), {}),
        (8, (0, 1), STRIDE_2),  # Keras: ZeroPadding2D(((0, 1), (0, 1)))
        (9, (1, 1), STRIDE_2),
        (9, (2, 2), {"dilation_h_factor": 2, "dilation_w_factor": 2}),
    ],
)
def test_a_pad_like_same_is_folded(
    kind: str, size: int, rows: tuple[int, int], attributes: dict[str, Attribute]
) -> None:
    result = applied(FoldPadding(), padded(kind, (size, size), around(rows, rows), **attributes))
    assert kinds(result) == [kind]
    assert result.ops[0].attributes["padding"] == "SAME"


@pytest.mark.parametrize(
    ("paddings", "attributes"),
    [
        (around((1, 1), (1, 1)), STRIDE_2),  # PyTorch: symmetric where SAME pads behind only
        (around((1, 1), (0, 1)), {}),
        (around((2, 2), (2, 2)), {}),
        ([[0, 0], [1, 1], [1, 1], [0, 1]], {}),
    ],
)
def test_a_pad_unlike_same_stays_and_says_why(paddings: list[list[int]], attributes: dict[str, Attribute]) -> None:
    model = padded("CONV_2D", (8, 8), paddings, **attributes)
    (reason,) = refused(FoldPadding(), model)
    assert "SAME" in reason or "channels" in reason


def test_rows_behind_the_last_window_do_not_matter() -> None:
    """An even size with stride 2 and one row too many behind: no window reaches it."""
    model = padded("CONV_2D", (8, 8), around((0, 2), (0, 2)), **STRIDE_2)
    assert kinds(applied(FoldPadding(), model)) == ["CONV_2D"]


def test_a_fill_other_than_zero_stays() -> None:
    refused(FoldPadding(), padded("CONV_2D", (8, 8), around((1, 1), (1, 1)), fill=1.0))


def test_every_reader_is_judged_for_itself() -> None:
    source = activation("input", (1, 8, 8, 3))
    pad = op("PAD", [source, constant("paddings", around((1, 1), (1, 1)), np.int32)], "padded")
    one = window_op("CONV_2D", pad.output, "one", **VALID)
    two = window_op("CONV_2D", pad.output, "two", **VALID, **STRIDE_2)
    result = applied(FoldPadding(), graph([pad, one, two], [source], [one.output, two.output]))
    assert sorted(kinds(result)) == ["CONV_2D", "CONV_2D", "PAD"]


def test_max_pooling_behind_relu_is_folded() -> None:
    result = applied(FoldPadding(), padded("MAX_POOL_2D", (8, 8), around((1, 1), (1, 1)), activated=True))
    assert kinds(result) == ["RELU", "MAX_POOL_2D"]


def test_max_pooling_of_negative_values_keeps_its_zeros() -> None:
    reasons = refused(FoldPadding(), padded("MAX_POOL_2D", (8, 8), around((1, 1), (1, 1))))
    assert reasons == ["the pooling would ignore the padding instead of counting it"]


def test_max_pooling_over_the_lowest_number_is_folded() -> None:
    model = padded("MAX_POOL_2D", (8, 8), around((1, 1), (1, 1)), fill=LOWEST)
    assert kinds(applied(FoldPadding(), model)) == ["MAX_POOL_2D"]


def test_average_pooling_counts_the_zeros_of_a_pad() -> None:
    refused(FoldPadding(), padded("AVERAGE_POOL_2D", (8, 8), around((1, 1), (1, 1)), activated=True))


def test_a_pad_that_changes_the_scale_stays() -> None:
    source = activation("input", (1, 8, 8, 3), np.int8, Quant.per_tensor(0.1, 0))
    pad = op("PAD", [source, constant("paddings", around((1, 1), (1, 1)), np.int32)], "padded")
    pad.output.quant = Quant.per_tensor(0.2, 0)
    weights = constant("weights", np.ones((2, 3, 3, 3)), np.int8, Quant.per_tensor(0.01, 0))
    conv = op("CONV_2D", [pad.output, weights], "result", **{**CONVOLUTION, "padding": "VALID"})
    conv.output.quant = Quant.per_tensor(0.5, 0)
    refused(FoldPadding(), graph([pad, conv], [source]))


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    rows=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    columns=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    fill=st.sampled_from([None, 0.0]),
)
def test_whatever_is_folded_computes_the_same(
    size: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
    kernel: int,
    stride: int,
    fill: float | None,
) -> None:
    steps: dict[str, Attribute] = {"stride_h": stride, "stride_w": stride}
    model = padded("CONV_2D", size, around(rows, columns), kernel=kernel, fill=fill, **steps)
    result, changes, _ = apply(FoldPadding(), model)
    if (rows, columns) == tuple(same_padding(length, kernel, stride) for length in size):
        assert changes
    if changes:
        assert_same_function(model, result)
