from __future__ import annotations

import numpy as np

from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.importers.float_weights import expand_dynamic_range_weights, expand_half_weights
from tests.builders import CONVOLUTION, activation, graph, op, random_constant


def half_conv() -> tuple[Graph, np.ndarray]:
    """A convolution whose weights come through DEQUANTIZE, as converters store fp16 weights."""
    image = activation("image", (1, 8, 8, 3))
    values = np.random.default_rng(0).normal(0, 0.3, (4, 3, 3, 3)).astype(np.float16)
    weights = Tensor("weights", values.shape, np.dtype(np.float32))
    expand = Op("DEQUANTIZE", [Tensor.constant("half", values)], [weights])
    conv = op("CONV_2D", [image, weights, random_constant("bias", (4,))], "conv", **CONVOLUTION)
    return graph([expand, conv], [image]), values


def test_half_weights_become_float_constants_of_the_same_value() -> None:
    source, values = half_conv()
    assert expand_half_weights(source) == 1
    source.verify("expand_half_weights")
    assert [each.kind for each in source.ops] == ["CONV_2D"]
    weights = source.ops[0].required_input("filter")
    assert weights.dtype == np.float32
    assert np.array_equal(weights.data, values.astype(np.float32))


def test_a_dequantize_of_an_activation_stays() -> None:
    image = activation("image", (1, 4), np.uint8, Quant.per_tensor(0.5, 3))
    expand = Op("DEQUANTIZE", [image], [activation("real", (1, 4))])
    source = graph([expand], [image])
    assert expand_half_weights(source) == 0
    assert len(source.ops) == 1


def dynamic_range_conv(quant: Quant) -> tuple[Graph, np.ndarray]:
    image = activation("image", (1, 8, 8, 3))
    integers = np.random.default_rng(0).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    weights = Tensor.constant("weights", integers, quant)
    conv = op("CONV_2D", [image, weights, random_constant("bias", (4,))], "conv", **CONVOLUTION)
    return graph([conv], [image]), integers


def test_dynamic_range_weights_become_scale_times_integer_per_channel() -> None:
    scale = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    source, integers = dynamic_range_conv(Quant(scale, np.zeros(4, np.int64), 0))
    assert expand_dynamic_range_weights(source) == 1
    weights = source.ops[0].required_input("filter")
    assert weights.quant is None
    np.testing.assert_allclose(weights.data, integers * scale[:, None, None, None], rtol=1e-6)


def test_a_weight_shared_by_two_operators_is_expanded_once() -> None:
    source, _ = dynamic_range_conv(Quant.per_tensor(0.1, 0))
    first = source.ops[0]
    second = Op(first.kind, list(first.inputs), [activation("again", first.output.shape)], dict(first.attributes))
    source = graph([first, second], source.inputs, [first.output, second.output])
    assert expand_dynamic_range_weights(source) == 1
    assert first.inputs[1] is second.inputs[1]


def test_the_weights_of_a_quantized_operator_stay() -> None:
    image = activation("image", (1, 8, 8, 3), np.int8, Quant.per_tensor(0.1, 0))
    weights = Tensor.constant("weights", np.ones((4, 1, 1, 3), np.int8), Quant.per_tensor(0.1, 0))
    conv = op("CONV_2D", [image, weights], "conv", **CONVOLUTION)
    conv.output.quant = Quant.per_tensor(0.2, 0)
    source = graph([conv], [image])
    assert expand_dynamic_range_weights(source) == 0
    assert conv.inputs[1] is weights
