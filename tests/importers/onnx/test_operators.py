"""The table of operators, and the page that lists it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.importers.onnx.models import TRANSLATORS, compared, kinds, model, node, noise

USAGE = Path(__file__).resolve().parents[3] / "docs" / "usage.md"


def test_the_manual_lists_every_operator() -> None:
    listed = re.search(r"^Operators: (.*?);", USAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert listed is not None
    names = re.sub(r"\s*\([^)]*\)", "", listed[1]).replace("\n", " ").split(", ")
    assert [name.strip() for name in names] == sorted(TRANSLATORS)


@pytest.mark.parametrize("opset", range(9, 23))
def test_a_detectors_operators_mean_the_same_in_every_operator_set(opset: int) -> None:
    """A convolution with normalisation, a pooling, and a head with softmax, as exporters write them."""
    nodes = [
        node("Conv", ["x", "w", "b"], "c", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], "n"),
        node("Relu", ["n"], "r"),
        node("MaxPool", ["r"], "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["p"], "t", perm=[0, 2, 3, 1]),
        node("Reshape", ["t", "rows"], "s"),
        node("Softmax", ["s"], axis=2),
    ]
    constants = {
        **{
            name: noise(6, seed=seed, low=0.5, high=1.5)
            for seed, name in enumerate(("b", "scale", "shift", "mean"))
        },
        "variance": noise(6, low=0.5, high=1.5),
        "w": noise(6, 3, 3, 3),
        "rows": np.array([1, -1, 3]),
    }
    graph = compared(model(nodes, constants, opset=opset))
    assert kinds(graph) == ["PAD", "CONV_2D", "MAX_POOL_2D", "RESHAPE", "SOFTMAX"]
