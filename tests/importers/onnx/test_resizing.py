"""Resize and Upsample against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.errors import UnsupportedModelError
from tests.importers.onnx.models import compared, kinds, model, node, one


def resized(factors: tuple[float, float], **settings: object) -> list[str]:
    nodes = [node("Resize", ["x", "", "s"], **settings)]
    return kinds(compared(model(nodes, {"s": np.array([1, 1, *factors], np.float32)})))


@pytest.mark.parametrize("mode", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
def test_a_linear_resize(mode: str) -> None:
    assert resized((2, 2), mode="linear", coordinate_transformation_mode=mode) == ["RESIZE_BILINEAR"]


@pytest.mark.parametrize(
    ("mode", "rounding"),
    [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("align_corners", "round_prefer_ceil")],
)
def test_a_nearest_resize(mode: str, rounding: str) -> None:
    found = resized((2, 2), mode="nearest", coordinate_transformation_mode=mode, nearest_mode=rounding)
    assert found == ["RESIZE_NEAREST_NEIGHBOR"]


def test_a_doubling_has_the_options_that_every_compiler_knows() -> None:
    nodes = [node("Resize", ["x", "", "s"], mode="nearest")]
    graph = compared(model(nodes, {"s": np.array([1, 1, 2, 2], np.float32)}))
    assert not graph.ops[0].attributes["half_pixel_centers"]
    assert not graph.ops[0].attributes["align_corners"]


@settings(max_examples=25, deadline=None)
@given(
    mode=st.sampled_from(["nearest", "linear"]),
    places=st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    rounding=st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]),
    size=st.tuples(st.integers(1, 21), st.integers(1, 21)),
)
def test_any_size_is_either_exact_or_refused(mode: str, places: str, rounding: str, size: tuple[int, int]) -> None:
    options = {"mode": mode, "coordinate_transformation_mode": places, "nearest_mode": rounding}
    try:
        compared(
            model([node("Resize", ["x", "", "", "z"], **options)], {"z": np.array([1, 3, *size])}), clean=False
        )
    except UnsupportedModelError as refused:
        assert "as TensorFlow Lite does not" in refused.message
        assert "Export it with" in refused.hint


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_an_upsample(mode: str) -> None:
    factors = np.array([1, 1, 2, 3], np.float32)
    assert len(kinds(one("Upsample", {"s": factors}, mode=mode, opset=9))) == 1


def test_a_resize_of_operator_set_10() -> None:
    assert kinds(one("Resize", {"s": np.array([1, 1, 2, 2], np.float32)}, opset=10)) == ["RESIZE_NEAREST_NEIGHBOR"]


def test_a_resize_to_the_same_size_is_nothing() -> None:
    nodes = [node("Resize", ["x", "", "s"], "r"), node("Relu", ["r"])]
    assert kinds(compared(model(nodes, {"s": np.ones(4, np.float32)}))) == ["RELU"]


def test_a_cubic_resize_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"Resize y' \(Resize\) resizes by cubic") as caught:
        one("Resize", {"r": np.float32([]), "s": np.array([1, 1, 2, 2], np.float32)}, mode="cubic")
    assert caught.value.hint == "Export the network only up to the tensor 'x'."
