"""A quantized graph computes what its float graph computes, with no float operator left inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.errors import ImageDataError, UnsupportedModelError
from coralsmith.graph import Array, Graph, Op
from coralsmith.graph.executor import Executor, real_outputs
from coralsmith.graph.reader import parse_tflite
from coralsmith.graph.writer import serialize
from coralsmith.quantization.calibration import observe
from coralsmith.quantization.fidelity import measure_fidelity
from coralsmith.quantization.options import PixelScale, QuantizationOptions
from coralsmith.quantization.quantizer import quantize_graph
from coralsmith.quantization.ranges import Range
from tests.builders import CONVOLUTION, activation, constant, conv_graph, graph, op, random_constant

MOBILENET = PixelScale(1 / 127.5, -1.0)


def images(shape: tuple[int, ...], count: int = 8, seed: int = 0) -> list[Array]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.float32)
    return list(pixels / 127.5 - 1.0)


def sqnr(model: Graph, options: QuantizationOptions) -> float:
    """dB over the first output, the quantized model fed what a host feeds."""
    samples = images(model.inputs[0].shape)
    quantized = quantize_graph(model, samples, options).graph
    pairs = [(image, host_form(quantized, image)) for image in samples]
    return measure_fidelity(model, quantized, pairs).outputs[model.outputs[0].name].sqnr_db


def host_form(quantized: Graph, image: Array) -> Array:
    tensor = quantized.inputs[0]
    if tensor.is_float:
        return image
    pixels = np.rint((image + 1.0) * 127.5)
    return pixels.astype(np.uint8) if tensor.dtype == np.uint8 else (pixels - 128).astype(np.int8)


def every_operator_is_integer(model: Graph) -> bool:
    return not any(tensor.is_float for op in model.ops for tensor in (*op.inputs, *op.outputs) if tensor)


@pytest.mark.parametrize("weights", ["per-channel", "per-tensor"])
@pytest.mark.parametrize("ranges", ["min-max", "percentile", "least-squares"])
def test_a_convolution_keeps_its_values(weights: str, ranges: str) -> None:
    options = QuantizationOptions(weights=weights, ranges=ranges, pixels=MOBILENET)  # type: ignore[arg-type]
    assert sqnr(conv_graph(), options) > 33.0


@pytest.mark.parametrize("input_type", ["uint8", "int8", "float"])
def test_every_input_type_gives_the_same_values(input_type: str) -> None:
    options = QuantizationOptions(input_type=input_type, pixels=MOBILENET)  # type: ignore[arg-type]
    assert sqnr(conv_graph(), options) > 33.0


def test_the_half_step_between_pixels_and_zero_is_taken_out_of_the_bias() -> None:
    model = conv_graph(kernel=1)
    with_correction = sqnr(model, QuantizationOptions(pixels=MOBILENET))
    without = sqnr(model, QuantizationOptions())
    assert with_correction > without + 1.0


def test_bias_correction_brings_the_mean_of_each_channel_back() -> None:
    model = conv_graph(channels=32, kernel=1)
    inputs = [np.abs(image) for image in images((1, 8, 8, 32))]
    errors = []
    for corrected in (True, False):
        options = QuantizationOptions(input_type="float", bias_correction=corrected)
        quantized = quantize_graph(model, inputs, options).graph
        executor, reference = Executor(quantized), Executor(model)
        difference = np.zeros(4)
        for image in inputs:
            executor.invoke(image)
            difference += (real_outputs(executor)[0] - reference.run(image)[0]).mean(axis=(0, 1, 2))
        errors.append(float(np.abs(difference).mean()) / len(inputs))
    assert errors[0] < errors[1] / 2


def test_no_float_operator_is_left_between_integer_input_and_outputs() -> None:
    quantized = quantize_graph(conv_graph(), images((1, 8, 8, 3)), QuantizationOptions(pixels=MOBILENET))
    assert every_operator_is_integer(quantized.graph)
    assert quantized.graph.inputs[0].dtype == np.uint8
    assert parse_tflite(serialize(quantized.graph)).inputs[0].name == "input"


def residual_network() -> Graph:
    """Two convolutions of the input, their sum, a gate and two heads: what detectors are made of."""
    source = activation("input", (1, 8, 8, 3))
    zeros = constant("bias", np.zeros(8), np.float32)
    first = op("CONV_2D", [source, random_constant("w1", (8, 3, 3, 3), 1), zeros], "first", **CONVOLUTION)
    second = op("CONV_2D", [source, random_constant("w2", (8, 1, 1, 3), 2), zeros], "second", **CONVOLUTION)
    total = op("ADD", [first.output, second.output], "sum", fused_activation_function="RELU6")
    gate = op("LOGISTIC", [total.output], "gate")
    gated = op("MUL", [total.output, gate.output], "gated", fused_activation_function="NONE")
    prelu = op("PRELU", [gated.output, constant("alpha", np.full(8, 0.1), np.float32)], "prelu")
    join = op("CONCATENATION", [prelu.output, total.output], "join", axis=3, fused_activation_function="NONE")
    return graph([first, second, total, gate, gated, prelu, join], [source])


def test_a_residual_network_keeps_its_values() -> None:
    assert sqnr(residual_network(), QuantizationOptions(pixels=MOBILENET)) > 30.0


def test_a_residual_input_keeps_its_own_range() -> None:
    quantized = quantize_graph(residual_network(), images((1, 8, 8, 3)), QuantizationOptions(pixels=MOBILENET))
    own = quantized.ranges["first"]
    quant = quantized.graph.tensor("first").quant
    assert quant is not None
    assert float(quant.scale[0]) == pytest.approx(own.width / 255, rel=1e-5)


def test_dense_weights_have_one_scale_because_old_readers_take_only_the_first() -> None:
    source = activation("input", (1, 16))
    weights = random_constant("weights", (4, 16))
    dense = op(
        "FULLY_CONNECTED", [source, weights], "dense", weights_format="DEFAULT", fused_activation_function="NONE"
    )
    quantized = quantize_graph(graph([dense], [source]), images((1, 16)))
    filters = next(o for o in quantized.graph.ops if o.kind == "FULLY_CONNECTED").required_input("filter")
    assert filters.quant is not None and not filters.quant.is_per_channel


def test_the_same_images_give_the_same_bytes() -> None:
    results = [quantize_graph(residual_network(), images((1, 8, 8, 3))).graph for _ in range(2)]
    assert serialize(results[0]) == serialize(results[1])


def test_an_operator_without_an_int8_form_is_named() -> None:
    source = activation("input", (1, 8, 8, 3))
    exp = op("EXP", [source], "decoded_height")
    with pytest.raises(UnsupportedModelError, match="EXP 'decoded_height'"):
        quantize_graph(graph([exp], [source]), images((1, 8, 8, 3)))


def test_no_image_is_an_error() -> None:
    with pytest.raises(ImageDataError):
        quantize_graph(conv_graph(), [])


def test_values_that_are_no_numbers_are_refused() -> None:
    source = activation("input", (1, 8, 8, 3))
    root = op("RSQRT", [source], "root")
    negative = [np.full((1, 8, 8, 3), -1.0, np.float32)]
    with pytest.raises(UnsupportedModelError, match="'root' takes the value"):
        quantize_graph(graph([root], [source]), negative)


def test_a_dead_tensor_is_reported() -> None:
    source = activation("input", (1, 8, 8, 3))
    weights = constant("weights", np.zeros((2, 1, 1, 3)), np.float32)
    dead = op("CONV_2D", [source, weights, constant("bias", [0, 0], np.float32)], "dead", **CONVOLUTION)
    findings = quantize_graph(graph([dead], [source]), images((1, 8, 8, 3))).findings
    assert [(finding.rule, finding.tensor) for finding in findings] == [("dead-tensor", "dead")]


def fixed_operators() -> list[Op]:
    source = activation("input", (1, 4, 4, 8))
    return [op(kind, [source], kind.lower(), **({"beta": 1.0} if kind == "SOFTMAX" else {})) for kind in FIXED]


FIXED = {"LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128), "TANH": (1 / 128, 0)}


@pytest.mark.parametrize("single", fixed_operators(), ids=lambda single: single.kind)
def test_kernels_with_a_fixed_output_scale_get_it(single: Op) -> None:
    source = next(single.activations())
    model = graph([single], [source])
    quantized = quantize_graph(model, images(source.shape), QuantizationOptions(input_type="int8"))
    quant = quantized.graph.outputs[0].quant
    assert quant is not None
    assert (float(quant.scale[0]), int(quant.zero_point[0])) == FIXED[single.kind]
    executor = Executor(quantized.graph)
    image = images(source.shape)[0]
    input_quant = quantized.graph.inputs[0].quant
    assert input_quant is not None
    executor.invoke(input_quant.quantize(image, np.dtype(np.int8)))
    expected = Executor(model).run(image)[0]
    assert np.abs(real_outputs(executor)[0] - expected).max() < 0.02


@pytest.mark.slow
def test_a_trained_detector_keeps_both_heads(shared: Path) -> None:
    from PIL import Image

    from coralsmith.graph.reader import read_tflite

    model = read_tflite(shared / "models/bccd_ssdlite/bccd_ssdlite_float.tflite")
    paths = sorted((shared / "data/bccd/JPEGImages").glob("*.jpg"))
    pixels = [np.asarray(Image.open(path).resize((300, 300)))[None] for path in paths[:30]]
    real = [p.astype(np.float32) / 127.5 - 1 for p in pixels]
    quantized = quantize_graph(model, real[:24], QuantizationOptions(pixels=MOBILENET)).graph
    measured = measure_fidelity(model, quantized, list(zip(real[24:], pixels[24:], strict=True)))
    assert every_operator_is_integer(quantized)
    assert min(output.sqnr_db for output in measured.outputs.values()) > 22.0


def test_a_bound_that_its_activation_function_sets_is_seen_exactly() -> None:
    source = activation("input", (1, 8, 8, 3))
    clipped = op("RELU6", [source], "clipped")
    seen = observe(graph([clipped], [source]), [10 * image for image in images((1, 8, 8, 3))])
    assert seen.ranges[clipped.output] == Range(0.0, 6.0)
    assert seen.images == 8


def test_every_image_counts_whichever_watcher_sees_it() -> None:
    source = activation("input", (1, 8, 8, 3))
    negated = op("NEG", [source], "negated")
    inputs = [np.full((1, 8, 8, 3), value, np.float32) for value in (1, 2, 30, 4, -5, 6, 7)]
    seen = observe(graph([negated], [source]), inputs, [source])
    assert seen.ranges[source] == Range(-5.0, 30.0)
    np.testing.assert_allclose(seen.means[source], [45 / 7] * 3, rtol=1e-6)
