"""The torch form of an int8 graph equals the int8 kernels, can be trained, and becomes an int8 graph again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coralsmith.detection.feeding import model_input
from coralsmith.detection.head import InputSpec
from coralsmith.detection.images import ImageFolder
from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.graph.reader import read_tflite
from coralsmith.quantization.options import PixelScale, QuantizationOptions
from coralsmith.quantization.quantizer import quantize_graph
from coralsmith.repair.driver import repair
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant
from tests.tiny_detector import tiny_detector

pytestmark = pytest.mark.slow

SPEC = InputSpec((300, 300), scale=1 / 127.5, offset=-1.0)
OPTIONS = QuantizationOptions(input_type="int8", pixels=PixelScale(1 / 127.5, -1.0))
PLAIN = {"fused_activation_function": "NONE"}


def photos(shape: tuple[int, ...], count: int = 6) -> list[Array]:
    """Normalised images of smooth noise."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (count, shape[1] // 4, shape[2] // 4, 3))
    pixels = coarse.repeat(4, axis=1).repeat(4, axis=2) + generator.integers(-20, 20, (count, *shape[1:]))
    return [SPEC.normalise(image[None]) for image in pixels.clip(0, 255).astype(np.uint8)]


def network(int8: Graph, source: Graph | None = None, **choices: Any) -> Any:
    from coralsmith.tuning.int8_network import Int8Network
    from coralsmith.tuning.tune import input_shift

    real = {} if source is None else {t.name: t.data for t in source.tensors() if t.data is not None}
    return Int8Network(int8, real, input_shift(int8, OPTIONS), **choices)


def differences(int8: Graph, torch_form: Any, images: list[Array]) -> Array:
    """By how many steps the torch form misses the interpreter, over all outputs of all images."""
    import torch

    executor = Executor(int8)
    found: list[Array] = []
    names = [tensor.name for tensor in int8.outputs]
    with torch.no_grad():
        real = torch_form.run(torch.from_numpy(np.concatenate(images)), names)
    for i, image in enumerate(images):
        pixels = np.rint((image + 1) * 127.5).astype(np.int64)
        for tensor, value in zip(int8.outputs, executor.run((pixels - 128).astype(np.int8)), strict=True):
            assert tensor.quant is not None
            mine = tensor.quant.quantize(real[tensor.name][i : i + 1].numpy(), np.dtype(np.int8))
            found.append(np.abs(mine.astype(int) - value).reshape(-1))
    return np.concatenate(found)


def many_operators() -> Graph:
    """A network with one of nearly every operator that computes, moves or joins."""
    source = activation("input", (1, 16, 16, 3))
    ops: list[Op] = []

    def add(kind: str, *inputs: Tensor, **attributes: Any) -> Tensor:
        ops.append(op(kind, list(inputs), f"{len(ops)}_{kind}", **attributes))
        return ops[-1].output

    def conv(data: Tensor, filters: int, **attributes: Any) -> Tensor:
        shape = (filters, 3, 3, data.shape[3])
        weights = random_constant(f"w{len(ops)}", shape, len(ops), 0.2)
        return add(
            "CONV_2D",
            data,
            weights,
            random_constant(f"b{len(ops)}", shape[:1], 9),
            **{**CONVOLUTION, **attributes},
        )

    pool = {"padding": "SAME", "stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2, **PLAIN}
    stem = conv(source, 8, fused_activation_function="RELU6")
    spread = random_constant("dw", (1, 3, 3, 8), 4)
    depthwise = add(
        "DEPTHWISE_CONV_2D", stem, spread, random_constant("db", (8,), 5), **CONVOLUTION, depth_multiplier=1
    )
    joined = add("ADD", stem, depthwise, fused_activation_function="RELU")
    gated = add("MUL", joined, add("LOGISTIC", joined), **PLAIN)
    sloped = add("PRELU", gated, random_constant("alpha", (1, 1, 8), 7))
    halves = [add("MAX_POOL_2D", sloped, **pool), add("AVERAGE_POOL_2D", conv(sloped, 8), **pool)]
    wide = add("CONCATENATION", *halves, axis=3, **PLAIN)
    grown = add(
        "RESIZE_BILINEAR", wide, constant("size", [16, 16], np.int32), align_corners=False, half_pixel_centers=True
    )
    padded = add("PAD", conv(grown, 8), constant("pads", [[0, 0], [1, 0], [0, 1], [0, 0]], np.int32))
    cut = add(
        "SLICE", padded, constant("begin", [0, 1, 0, 0], np.int32), constant("cut", [1, 16, 16, 8], np.int32)
    )
    floor = add("MAXIMUM", cut, constant("floor", np.full((1, 1, 1, 8), -0.1), np.float32))
    lowered = add("SUB", floor, constant("less", np.full(8, 0.3), np.float32), **PLAIN)
    leaky = add("LEAKY_RELU", lowered, alpha=0.1)
    mean = add("MEAN", leaky, constant("axes", [1, 2], np.int32), keep_dims=False)
    dense = add("FULLY_CONNECTED", mean, random_constant("fc", (5, 8), 3), random_constant("fb", (5,), 3), **PLAIN)
    add("SOFTMAX", dense, beta=1.0)
    return graph(ops, [source])


@pytest.mark.parametrize("weights", ["per-channel", "per-tensor"])
def test_a_detector_in_torch_equals_the_kernels(weights: Any) -> None:
    model = tiny_detector()
    images = photos(model.inputs[0].shape)
    int8 = quantize_graph(
        repair(model).graph, images, QuantizationOptions(weights, input_type="int8", pixels=OPTIONS.pixels)
    ).graph
    assert differences(int8, network(int8, model), images).max() == 0


def test_many_operators_in_torch_equal_the_kernels_to_a_step() -> None:
    model = many_operators()
    images = photos(model.inputs[0].shape)
    int8 = quantize_graph(model, images, OPTIONS).graph
    assert differences(int8, network(int8, model), images).max() <= 1


def test_an_untouched_network_becomes_the_same_graph_again() -> None:
    model = many_operators()
    images = photos(model.inputs[0].shape)
    int8 = quantize_graph(model, images, OPTIONS).graph
    again = network(int8, model).to_graph()
    pixels = np.random.default_rng(0).integers(-128, 128, int8.inputs[0].shape).astype(np.int8)
    before, after = Executor(int8).run(pixels), Executor(again).run(pixels)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_changed_network_equals_the_kernels_of_the_graph_it_becomes() -> None:
    """Weights, weight scales, biases and ranges all move; tensors that share a scale go on sharing it."""
    import torch

    model = many_operators()
    images = photos(model.inputs[0].shape)
    int8 = quantize_graph(model, images, OPTIONS).graph
    changed = network(int8, model)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in changed.parameters.items():
            size = {"steps": 1.0, "bias": 3.0}.get(name.rpartition("_")[0], 0.1)
            parameter += size * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype)
    changed.confine()
    result = changed.to_graph()
    assert differences(result, changed, images).max() <= 1
    assert differences(int8, changed, images).max() > 1


def test_every_parameter_has_a_gradient_and_following_it_lessens_the_error() -> None:
    import torch

    model = tiny_detector()
    images = photos(model.inputs[0].shape)
    batch = torch.from_numpy(np.concatenate(images))
    trained = network(quantize_graph(repair(model).graph, images, OPTIONS).graph, model)

    def error() -> Any:
        found = trained.run(batch, ["boxes", "scores"])
        return sum((found[name] - 0.5).square().mean() for name in found)

    before = error()
    before.backward()
    learned = {name: parameter.grad for name, parameter in trained.parameters.items()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in learned.values())
    assert all(learned[name].abs().max() > 0 for name in learned if not name.startswith("gain"))
    with torch.no_grad():
        for name, parameter in trained.parameters.items():
            parameter -= 0.05 * learned[name] / learned[name].norm().clamp(min=1e-9)
    trained.confine()
    assert error().item() < before.item()


def test_the_gradient_of_a_range_is_that_of_its_real_ends() -> None:
    """Against differences: a value above the range moves with its upper end, one inside by its rounding error."""
    import torch

    from coralsmith.tuning.fake_quantization import requantize, straight_through_round

    ends = torch.tensor([-1.0, 2.0], dtype=torch.float64, requires_grad=True)
    scale = ((ends[1] - ends[0]) / 255).float()
    zero_point = straight_through_round(-128 - ends[0] / scale.double()).float()
    low, high = (-128 - zero_point).item(), (127 - zero_point).item()
    values = torch.tensor([5.0, -3.0, 0.5023])
    real = requantize(values, 1 / scale, zero_point, low, high) * scale
    rows = [torch.autograd.grad(real[i], ends, retain_graph=True)[0] for i in range(3)]
    assert torch.allclose(rows[0], torch.tensor([0.0, 1.0], dtype=torch.float64), atol=1e-5)
    assert torch.allclose(rows[1], torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-5)
    rounding = (real[2] - values[2]).item() / scale.item() / 255
    assert torch.allclose(rows[2], torch.tensor([-rounding, rounding], dtype=torch.float64), atol=1e-5)


def test_a_range_below_which_nothing_lies_keeps_its_end_at_zero() -> None:
    model = tiny_detector()
    int8 = quantize_graph(repair(model).graph, photos(model.inputs[0].shape), OPTIONS).graph
    trained = network(int8)
    trained.ranges.moved.data += 0.2
    trained.confine()
    stem = trained.to_graph().tensor("stem").quant
    assert stem is not None
    assert int(stem.zero_point[0]) == -128
    assert float(stem.scale[0]) * 255 <= 6.0 + 1e-5  # RELU6 leaves nothing above 6


def test_batches_are_told_from_networks_that_mix_their_images() -> None:
    import torch

    from coralsmith.tuning.network import FloatNetwork, carries_batches

    source = activation("input", (1, 4, 4, 3))
    mixing = op("MEAN", [source, constant("axis", [0], np.int32)], "mean", keep_dims=True)
    images = torch.from_numpy(np.concatenate(photos((1, 4, 4, 3))))
    assert not carries_batches(FloatNetwork(graph([mixing], [source])), images)
    model = tiny_detector()
    wide = torch.from_numpy(np.concatenate(photos(model.inputs[0].shape)))
    assert carries_batches(FloatNetwork(model), wide)


def test_a_real_detector_in_torch_equals_its_int8_model_on_real_images(shared: Path) -> None:
    model = read_tflite(shared / "models" / "bccd_ssdlite" / "bccd_ssdlite_float.tflite")
    pixels = list(ImageFolder(shared / "data" / "bccd" / "JPEGImages", SPEC.size, limit=4))
    images = [SPEC.normalise(one[None]) for one in pixels]
    repaired = repair(model, inputs=[[images[0]]]).graph
    int8 = quantize_graph(repaired, images, OPTIONS).graph
    assert np.array_equal(model_input(int8.inputs[0], pixels[0][None], SPEC), (pixels[0][None].astype(int) - 128))
    steps = differences(int8, network(int8, repaired), images[:2])
    assert (steps <= 1).mean() >= 0.999
