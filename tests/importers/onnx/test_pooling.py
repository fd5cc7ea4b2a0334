"""Poolings against onnxruntime."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.importers.onnx.models import compared, kinds, model, node, one

WINDOWS = {
    "kernel": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "strides": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    "pads": st.lists(st.integers(0, 2), min_size=4, max_size=4),
    "size": st.tuples(st.integers(7, 11), st.integers(7, 11)),
    "ceil": st.integers(0, 1),
}


def fits(kernel: tuple[int, int], pads: list[int]) -> bool:
    return all(2 * pad <= kernel[axis % 2] for axis, pad in enumerate(pads))


@settings(max_examples=12, deadline=None)
@given(**WINDOWS)
def test_any_maximum(kernel, strides, pads, size, ceil) -> None:
    assume(fits(kernel, pads))
    one(
        "MaxPool",
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        ceil_mode=ceil,
        shape=(1, 3, *size),
        clean=False,
    )


@settings(max_examples=12, deadline=None)
@given(**WINDOWS, include=st.integers(0, 1))
def test_any_mean(kernel, strides, pads, size, ceil, include) -> None:
    assume(fits(kernel, pads))
    window = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": ceil}
    one("AveragePool", **window, count_include_pad=include, shape=(1, 3, *size), clean=False, opset=19)


def test_a_maximum_of_what_is_never_negative_is_padded_with_zeros() -> None:
    nodes = [node("Relu", ["x"], "r"), node("MaxPool", ["r"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)]
    assert kinds(compared(model(nodes))) == ["RELU", "PAD", "MAX_POOL_2D"]


def test_a_maximum_of_any_number_is_padded_with_its_mirror() -> None:
    graph = one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, low=-3.0, high=-1.0)
    assert kinds(graph) == ["MIRROR_PAD", "MAX_POOL_2D"]


@pytest.mark.parametrize(("kind", "expected"), [("GlobalAveragePool", "MEAN"), ("GlobalMaxPool", "MAX_POOL_2D")])
def test_a_global_pooling(kind: str, expected: str) -> None:
    assert kinds(one(kind)) == [expected]
