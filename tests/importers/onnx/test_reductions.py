"""Reductions, Softmax, norms and matrices against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.importers.onnx.models import compared, kinds, model, node, noise, one

REDUCTIONS = {"ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MIN"}


def reduced(kind: str, axes: list[int], keep: int, opset: int) -> str:
    """The operator that a reduction becomes; its axes are an attribute at first and an input later."""
    if opset < 13:
        return kinds(one(kind, axes=axes, keepdims=keep, opset=opset, clean=False))[0]
    return kinds(one(kind, {"a": np.array(axes)}, keepdims=keep, clean=False))[0]


@pytest.mark.parametrize("axes", [[1], [2, 3], [-1], [1, 2, 3]])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("opset", [9, 18])
def test_a_mean_along_any_axes(axes: list[int], keep: int, opset: int) -> None:
    assert reduced("ReduceMean", axes, keep, opset) == "MEAN"


@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize("opset", [9, 18])
def test_every_reduction(kind: str, opset: int) -> None:
    assert reduced(kind, [2, 3], 1, opset) == REDUCTIONS[kind]


def test_a_reduction_of_everything() -> None:
    assert one("ReduceMean").outputs[0].shape == (1, 1, 1, 1)


def test_a_norm_over_channels() -> None:
    nodes = [node("ReduceL2", ["x", "a"], "n"), node("Div", ["x", "n"])]
    assert kinds(compared(model(nodes, {"a": np.array([1])}))) == ["MUL", "SUM", "SQRT", "DIV"]


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
@pytest.mark.parametrize("opset", [9, 13])
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_a_softmax_along_any_axis(axis: int, opset: int, kind: str) -> None:
    one(kind, axis=axis, opset=opset, clean=False)


def test_a_softmax_over_channels_needs_no_movement() -> None:
    assert kinds(one("Softmax", axis=1)) == ["SOFTMAX"]


def test_a_unit_length_over_channels_is_one_operator() -> None:
    assert kinds(one("LpNormalization", axis=1)) == ["L2_NORMALIZATION"]


@pytest.mark.parametrize(("flag", "shape"), [(0, (3, 5)), (1, (5, 3))])
def test_a_gemm(flag: int, shape: tuple[int, int]) -> None:
    nodes = [
        node("GlobalAveragePool", ["x"], "m"),
        node("Flatten", ["m"], "f"),
        node("Gemm", ["f", "w", "b"], transB=flag, alpha=0.5, beta=2.0),
    ]
    graph = compared(model(nodes, {"w": noise(*shape), "b": noise(5)}))
    assert kinds(graph) == ["MEAN", "RESHAPE", "FULLY_CONNECTED"]


def test_a_gemm_of_a_whole_image() -> None:
    nodes = [node("Flatten", ["x"], "f"), node("Gemm", ["f", "w"])]
    compared(model(nodes, {"w": noise(240, 4)}))


def test_a_matrix_product_along_the_last_axis() -> None:
    nodes = [node("Transpose", ["x"], "t", perm=[0, 2, 3, 1]), node("MatMul", ["t", "w"])]
    graph = compared(model(nodes, {"w": noise(3, 4)}))
    assert kinds(graph) == ["FULLY_CONNECTED"]
    assert graph.outputs[0].shape == (1, 8, 10, 4)
