"""Parameter bytes are those of the real compiled files: exact where the packing is known, else within the band."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compiled.package import read_compiled
from coralsmith.edgetpu.memory import ParameterMemory, parameter_memory
from coralsmith.graph.model import Quant
from coralsmith.graph.reader import read_tflite
from tests.builders import CONVOLUTION, activation, constant
from tests.edgetpu.layers import conv, dense, graph_of

EXACT = [
    "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant",
    "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant",
    "gcedgetpu__mobilenet_v1_0.25_128_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_inat_bird_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_inat_insect_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_quant",
    "gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder",
    "jorgi__N100-nMACs379699200_quant",
    "jorgi__N32-nMACs41287680_quant",
    "libredge__bright_64x64",
    "libredge__color_blue_64x64",
    "libredge__color_green_64x64",
    "libredge__color_red_64x64",
    "libredge__dense_1024",
    "libredge__dense_256",
    "libredge__gabor_64x64_p4",
    "libredge__looming_64x64_3x3",
]
BANDED = [
    ("jorgi__firstTest_quant", 640),
    ("jorgi__model_size_channel32_quant", 640),
    ("jorgi__model_size_channel82_quant", 5_000),
]


def predicted_and_real(folder):
    source, compiled = read_tflite(folder / "model.tflite"), read_compiled(folder / "model_edgetpu.tflite")
    on_cpu = {op.name for op in compiled.cpu_ops}
    mapped = [index for index, op in enumerate(source.ops) if op.name not in on_cpu]
    (package,) = compiled.packages
    return parameter_memory(source, mapped), package


@pytest.mark.parametrize("pair", EXACT)
def test_exact_to_the_byte(shared, pair) -> None:
    predicted, package = predicted_and_real(shared / "edgetpu" / "pairs" / pair)
    assert predicted.low == predicted.on_chip_bytes == package.on_chip_bytes
    assert predicted.streamed_bytes == package.streamed_bytes == predicted.streamed_high == 0
    assert predicted.high <= predicted.low + 50_000  # a softmax may bring masks along


@pytest.mark.parametrize(("pair", "width"), BANDED)
def test_within_a_narrow_band(shared, pair, width) -> None:
    predicted, package = predicted_and_real(shared / "edgetpu" / "pairs" / pair)
    assert predicted.low <= package.on_chip_bytes + package.streamed_bytes <= predicted.high
    assert predicted.high - predicted.low <= width


def test_a_whole_ssd_is_exact_though_the_rules_were_not_made_on_it(shared) -> None:
    folder = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant"
    segments = [read_compiled(path) for path in folder.glob("*_edgetpu.tflite")]
    real = sum(package.on_chip_bytes for segment in segments for package in segment.packages)
    source = read_tflite(folder / "source_rebuilt.tflite")
    predicted = parameter_memory(source, range(len(source.ops)))
    assert predicted.low == predicted.high == predicted.on_chip_bytes == real == 6_523_264
    assert len(predicted.layers) == 72


def test_quantized_per_channel_it_takes_the_cache_that_was_published(shared) -> None:
    """6.52 MiB "used" for SSD MobileNetV2 320 coco17, compiler 15: the same layers with per-channel weights."""
    source = read_tflite(shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant" / "source_rebuilt.tflite")
    for op in source.ops:
        if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            weights = op.required_input("filter")
            channels = weights.shape[0 if op.kind == "CONV_2D" else 3]
            scales = np.linspace(0.1, 0.2, channels, dtype=np.float32)
            weights.quant = Quant(scales, np.zeros(channels, np.int64))
    memory = parameter_memory(source, range(len(source.ops)))
    assert round(memory.occupied / 2**20, 2) == 6.52


def test_dense_256_takes_the_cache_that_was_published() -> None:
    op = dense(256, 256)
    op.inputs[1].quant = Quant(np.linspace(0.1, 0.2, 256, dtype=np.float32), np.zeros(256, np.int64))
    assert parameter_memory(graph_of(op), [0]).occupied == 66 << 10


def test_layers_stand_in_execution_order_and_add_up() -> None:
    first, second = conv((64, 1, 1, 32)), conv((65, 1, 1, 64))
    memory = parameter_memory(graph_of(first, second), [1, 0])
    assert [layer.index for layer in memory.layers] == [0, 1]
    assert [layer.low for layer in memory.layers] == [64 * 36, 128 * 68]
    assert memory.low == memory.high == memory.on_chip_bytes == 64 * 36 + 128 * 68
    assert memory.wasted == memory.layers[1].wasted == (128 - 65) * 64
    assert memory.occupied == 64 * 36 + 128 * 68
    assert {(layer.placement, layer.exact) for layer in memory.layers} == {("cached", True)}


def test_only_mapped_operators_count() -> None:
    graph = graph_of(conv((64, 1, 1, 32)), conv((64, 1, 1, 64)))
    assert parameter_memory(graph, [1]).low == 64 * (64 + 4)
    assert parameter_memory(graph, []) == ParameterMemory(0, 0, 0, 0, room=7_864_320)


def test_float_weights_are_sized_as_they_will_be_quantized() -> None:
    source, output = activation("input", (1, 8, 8, 32)), activation("out", (1, 8, 8, 64))
    weights = constant("weights", np.ones((64, 1, 1, 32), np.float32))
    op = conv((64, 1, 1, 32))
    op.inputs, op.outputs, op.attributes = [source, weights], [output], dict(CONVOLUTION)
    assert parameter_memory(graph_of(op), [0], as_if_quantized=True).low == 64 * (32 + 8)


@pytest.mark.parametrize(
    ("inputs", "placed"),
    [(6_900, "cached"), (7_500, "unknown"), (9_600, "streamed")],
)
def test_a_large_layer_of_few_outputs_is_streamed(inputs, placed) -> None:
    memory = parameter_memory(graph_of(dense(1, inputs)), [0])
    size = 16 * inputs
    expected = {"cached": (size, 0), "streamed": (0, size), "unknown": (None, None)}[placed]
    assert (memory.on_chip_bytes, memory.streamed_bytes) == expected
    assert [layer.placement for layer in memory.layers] == [placed]


@pytest.mark.parametrize(("size", "room"), [(320, 7_864_320), (321, 6_396_313)])
def test_large_inputs_leave_less_room(size, room) -> None:
    assert parameter_memory(graph_of(conv((64, 1, 1, 3), size=size)), [0]).room == room


def test_dense_8192_streams_all_of_its_64_mebibytes() -> None:
    memory = parameter_memory(graph_of(dense(8_192, 8_192)), [0])
    assert (memory.on_chip_bytes, memory.streamed_bytes) == (0, 64 << 20)
