"""Each layer's share of int8's error, against networks where it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coralsmith.detection.feeding import model_input
from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import Executor, as_real
from coralsmith.quantization.attribution import attribute_error
from coralsmith.quantization.quantizer import PixelScale, QuantizationOptions, quantize_graph
from coralsmith.repair.driver import repair
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant
from tests.tiny_detector import SIDE, tiny_detector, tiny_head

OPTIONS = QuantizationOptions(input_type="uint8", pixels=PixelScale(1 / 127.5, -1.0))


def photos(count: int = 3) -> list[Array]:
    return [np.random.default_rng(seed).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8) for seed in range(count)]


def pairs(quantized: Graph) -> list[tuple[Array, Array]]:
    spec = tiny_head().input
    return [(spec.normalise(image), model_input(quantized.inputs[0], image, spec)) for image in photos()]


def quantize(source: Graph) -> Graph:
    return quantize_graph(source, [tiny_head().input.normalise(image) for image in photos()], OPTIONS).graph


def convolutions(count: int) -> Graph:
    """A chain, with a RESHAPE at its end."""
    source = activation("image", (1, SIDE, SIDE, 3))
    ops, value, channels = [], source, 3
    for number in range(count):
        weights = random_constant(f"w{number}", (4, 3, 3, channels), number)
        bias = random_constant(f"b{number}", (4,), number + 50)
        ops.append(op("CONV_2D", [value, weights, bias], f"conv{number}", **CONVOLUTION))
        value, channels = ops[-1].output, 4
    ops.append(op("RESHAPE", [value, constant("shape", [1, SIDE * SIDE * 4], np.int32)], "flat"))
    return graph(ops, [source], [ops[-1].output])


def test_a_single_layer_causes_the_whole_error() -> None:
    source = convolutions(1)
    quantized = quantize(source)
    result = attribute_error(source, quantized, pairs(quantized))
    assert [layer.op.name for layer in result.layers] == ["conv0"]  # the RESHAPE moves integers only
    assert result.shares()[0][1] == 1
    assert result.explained()["flat"] == pytest.approx(1, abs=0.02)  # the kernels round ties in their own way
    assert result.images == 3


def test_the_total_is_the_error_of_the_int8_graph() -> None:
    source = convolutions(2)
    quantized = quantize(source)
    result = attribute_error(source, quantized, pairs(quantized))
    expected = 0.0
    float_executor, int8_executor = Executor(source), Executor(quantized)
    for float_input, int8_input in pairs(quantized):
        (real,), (integers,) = float_executor.run(float_input), int8_executor.run(int8_input)
        expected += float(np.square(as_real(quantized.outputs[0], integers).astype(np.float64) - real).sum())
    assert result.total == {"flat": pytest.approx(expected)}


def test_the_layer_with_the_coarse_scale_has_the_largest_share() -> None:
    source = convolutions(3)
    quantized = quantize(source)
    middle = next(tensor for tensor in quantized.tensors() if tensor.name == "conv1")
    assert middle.quant is not None
    coarse = type(middle.quant)(middle.quant.scale * 8, middle.quant.zero_point)
    _rescale(quantized, middle.name, coarse.scale)
    result = attribute_error(source, quantized, pairs(quantized))
    shares = {each.name: share for each, share in result.shares()}
    assert max(shares, key=lambda name: shares[name]) == "conv1" and shares["conv1"] > 0.9
    assert result.explained()["flat"] == pytest.approx(1, abs=0.1)


def _rescale(quantized: Graph, name: str, scale: np.ndarray) -> None:
    """Give an activation another scale, and the next layer's bias the scale that the kernels then check."""
    tensor = next(tensor for tensor in quantized.tensors() if tensor.name == name)
    assert tensor.quant is not None
    factor = float(scale[0] / tensor.quant.scale[0])
    tensor.quant = replace(tensor.quant, scale=scale)
    for reader in quantized.consumers()[tensor]:
        bias = reader.inputs[2]
        assert bias is not None and bias.quant is not None and bias.data is not None
        bias.quant = replace(bias.quant, scale=(bias.quant.scale * factor).astype(np.float32))
        bias.data = np.rint(bias.data / factor).astype(np.int32)


def test_on_a_detector_the_shares_add_up_to_one_and_the_errors_to_about_the_whole() -> None:
    source = tiny_detector()
    repaired = repair(source, "exact", inputs=[[tiny_head().input.normalise(photos(1)[0])]]).graph
    quantized = quantize(repaired)
    result = attribute_error(repaired, quantized, pairs(quantized))
    assert sum(share for _, share in result.shares()) == pytest.approx(1)
    for explained in result.explained().values():
        assert 0.5 < explained < 2
    assert {layer.op.kind for layer in result.layers} >= {"CONV_2D", "ADD", "MUL"}
