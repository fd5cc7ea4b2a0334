"""The moments predict what rounding the weights does to a layer's output on the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.quantization import layer_moments as module
from coralsmith.quantization.fidelity import measure_fidelity
from coralsmith.quantization.layer_moments import layer_moments
from coralsmith.quantization.options import QuantizationOptions
from coralsmith.quantization.quantizer import quantize_graph
from tests.builders import CONVOLUTION, activation, conv_graph, graph, op, random_constant
from tests.quantization.networks import DEPTHWISE, images

EVERY_PLACE = 10_000


def variances(model: Graph, inputs: list[Array]) -> Array:
    """Variance of each output channel over all positions of all inputs, by the interpreter."""
    executor = Executor(model)
    outputs = np.concatenate([executor.run(image)[0].reshape(-1, model.outputs[0].shape[-1]) for image in inputs])
    return outputs.astype(np.float64).var(axis=0)


def layer(kind: str, shape: tuple[int, ...], **attributes: object) -> Graph:
    source = activation("input", (1, 9, 7, 4))
    weights = random_constant("weights", shape)
    bias = random_constant("bias", (shape[0 if kind == "CONV_2D" else 3],))
    usual = CONVOLUTION if kind == "CONV_2D" else DEPTHWISE
    layer = op(kind, [source, weights, bias], "out", **{**usual, **attributes})  # type: ignore[arg-type]
    return graph([layer], [source])


@pytest.mark.parametrize(
    ("kind", "shape", "attributes"),
    [
        ("CONV_2D", (3, 1, 1, 4), {}),
        ("CONV_2D", (3, 3, 3, 4), {}),
        ("CONV_2D", (3, 3, 3, 4), {"padding": "VALID"}),
        ("CONV_2D", (3, 3, 3, 4), {"stride_h": 2, "stride_w": 2}),
        ("CONV_2D", (3, 3, 3, 4), {"dilation_h_factor": 2, "dilation_w_factor": 2}),
        ("DEPTHWISE_CONV_2D", (1, 3, 3, 4), {}),
        ("DEPTHWISE_CONV_2D", (1, 3, 3, 4), {"stride_h": 2, "stride_w": 2}),
        ("DEPTHWISE_CONV_2D", (1, 3, 3, 8), {"depth_multiplier": 2}),
    ],
)
def test_moments_give_the_variance_of_each_output(
    monkeypatch: pytest.MonkeyPatch, kind: str, shape: tuple[int, ...], attributes: dict[str, object]
) -> None:
    monkeypatch.setattr(module, "_PATCHES", EVERY_PLACE)
    monkeypatch.setattr(module, "_DEPTHWISE_PATCHES", EVERY_PLACE)
    monkeypatch.setattr(module, "_RIDGE", 0.0)
    model, inputs = layer(kind, shape, **attributes), images((1, 9, 7, 4))
    moments = layer_moments(model, inputs)[model.ops[0]]
    data = model.tensor("weights").data
    assert data is not None
    axis = 0 if kind == "CONV_2D" else 3
    rows = np.moveaxis(data, axis, 0).reshape(moments.shape[0], -1, moments.shape[-1])
    predicted = np.einsum("gon,gnm,gom->go", rows, moments, rows).reshape(-1)
    assert predicted == pytest.approx(variances(model, inputs), rel=1e-4)


def test_a_dense_layer_has_moments_too() -> None:
    source = activation("input", (1, 16))
    dense = op("FULLY_CONNECTED", [source, random_constant("weights", (4, 16)), None], "dense")
    model = graph([dense], [source])
    assert layer_moments(model, images((1, 16)))[dense].shape == (1, 16, 16)


def test_grouped_convolutions_are_left_out() -> None:
    source = activation("input", (1, 8, 8, 4))
    output = Tensor("out", (1, 8, 8, 2), np.dtype(np.float32))
    grouped = Op(
        "CONV_2D",
        [source, random_constant("weights", (2, 1, 1, 2)), random_constant("bias", (2,))],
        [output],
        dict(CONVOLUTION),
    )
    assert layer_moments(Graph([grouped], [source], [output]), images((1, 8, 8, 4))) == {}


def test_adaptive_rounding_brings_a_layer_closer_to_its_float_form() -> None:
    model = conv_graph(filters=8)
    weights = model.tensor("weights").data
    assert weights is not None
    model.tensor("weights").data = weights * np.array([1, *[0.02] * 7], np.float32).reshape(-1, 1, 1, 1)
    smooth = [np.full((1, 8, 8, 3), image.mean() * 8) + image / 8 for image in images(count=24)]
    found = []
    for rounding in ("nearest", "adaptive"):
        options = QuantizationOptions("per-tensor", input_type="float", rounding=rounding)  # type: ignore[arg-type]
        int8 = quantize_graph(model, smooth[:16], options).graph
        pairs = [(image, image) for image in smooth[16:]]
        found.append(measure_fidelity(model, int8, pairs).outputs["conv"].sqnr_db)
    assert found[1] > found[0] + 1
