"""Parameter bytes are those of the real compiled files: exact where the packing is known, else within the band."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compiled.package import read_compiled
from coralsmith.edgetpu.memory import ON_CHIP_BYTES, flattened_remainder, layer_bytes, parameter_memory
from coralsmith.graph.model import Graph, Op, Quant, Tensor
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.shapes import infer_shapes
from tests.builders import CONVOLUTION, activation, constant

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
    "libredge__dense_1024",
    "libredge__dense_256",
]
BANDED = [
    "jorgi__firstTest_quant",
    "jorgi__model_size_channel32_quant",
    "jorgi__model_size_channel82_quant",
    "libredge__bright_64x64",
    "libredge__color_blue_64x64",
    "libredge__color_green_64x64",
    "libredge__color_red_64x64",
    "libredge__gabor_64x64_p4",
    "libredge__looming_64x64_3x3",
]


def predicted_and_real(folder):
    source, compiled = read_tflite(folder / "model.tflite"), read_compiled(folder / "model_edgetpu.tflite")
    on_cpu = {op.name for op in compiled.cpu_ops}
    mapped = [index for index, op in enumerate(source.ops) if op.name not in on_cpu]
    (package,) = compiled.packages
    return parameter_memory(source, mapped), package


@pytest.mark.parametrize("pair", EXACT)
def test_exact_to_the_byte(shared, pair):
    predicted, package = predicted_and_real(shared / "edgetpu" / "pairs" / pair)
    assert predicted.low == predicted.on_chip_bytes == package.on_chip_bytes
    assert predicted.streamed_bytes == package.streamed_bytes == 0
    assert predicted.high <= predicted.low + 50_000  # a softmax may bring a table along


@pytest.mark.parametrize("pair", BANDED)
def test_within_the_band(shared, pair):
    predicted, package = predicted_and_real(shared / "edgetpu" / "pairs" / pair)
    assert predicted.low <= package.on_chip_bytes + package.streamed_bytes <= predicted.high


def test_a_whole_ssd_is_exact_though_the_rules_were_not_made_on_it(shared):
    folder = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant"
    segments = [read_compiled(path) for path in folder.glob("*_edgetpu.tflite")]
    real = sum(package.on_chip_bytes for segment in segments for package in segment.packages)
    source = read_tflite(folder / "source_rebuilt.tflite")
    predicted = parameter_memory(source, range(len(source.ops)))
    assert predicted.low == predicted.high == predicted.on_chip_bytes == real == 6_523_264


def filters(shape: tuple[int, ...], *, scales: int = 1) -> Tensor:
    quant = Quant(np.full(scales, 0.1, np.float32), np.zeros(scales, np.int64))
    return constant("weights", np.ones(shape, np.int8), quant=quant)


def bias(count: int, value: int) -> Tensor:
    return constant("bias", np.full(count, value, np.int32))


def conv(shape: tuple[int, ...], *, size: int = 16, scales: int = 1, bias_value: int = 1, **attributes) -> Op:
    source = activation("input", (1, size, size, shape[3]), np.int8)
    op = Op(
        "CONV_2D",
        [source, filters(shape, scales=scales), bias(shape[0], bias_value)],
        [activation("out", (), np.int8)],
        {**CONVOLUTION, **attributes},
    )
    (op.output.shape,) = infer_shapes(op)
    return op


def dense(outputs: int, inputs: int) -> Op:
    source, output = activation("input", (1, inputs), np.int8), activation("out", (1, outputs), np.int8)
    return Op("FULLY_CONNECTED", [source, filters((outputs, inputs))], [output])


def size_of(op: Op) -> int:
    bounds = layer_bytes(op, {})
    assert bounds.low == bounds.high
    return bounds.low


@pytest.mark.parametrize(
    ("op", "size"),
    [
        (conv((64, 1, 1, 32)), 64 * (32 + 4)),
        (conv((65, 1, 1, 32)), 128 * (32 + 4)),  # 65 outputs cost as many bytes as 128
        (conv((17, 1, 1, 32)), 32 * (32 + 4)),
        (conv((64, 3, 3, 3)), 64 * (9 * 4 + 4)),
        (conv((64, 1, 1, 32), bias_value=0), 64 * 32),
        (conv((64, 1, 1, 32), scales=64), 64 * (32 + 12)),
        (conv((64, 1, 1, 32), scales=64, bias_value=0), 64 * (32 + 8)),
        (dense(1, 94_400), 16 * 94_400),  # one output costs as many bytes as 16
        (dense(1000, 1280), 1024 * 1280),
    ],
)
def test_the_packing_rules(op, size):
    assert size_of(op) == size


def test_depthwise_weights_cost_four_times():
    source, output = activation("input", (1, 8, 8, 30), np.int8), activation("out", (1, 8, 8, 30), np.int8)
    attributes = {**CONVOLUTION, "depth_multiplier": 1}
    op = Op("DEPTHWISE_CONV_2D", [source, filters((1, 3, 3, 30)), bias(30, 1)], [output], attributes)
    assert size_of(op) == 32 * (4 * 9 + 4)
    op.attributes["depth_multiplier"] = 2
    bounds = layer_bytes(op, {})
    assert bounds.low < bounds.high


def test_the_classes_of_a_detector_head_are_padded_to_a_multiple_of_four():
    head = conv((45, 3, 3, 16))
    reshaped = activation("scores", (1, 16 * 16 * 9, 5), np.int8)
    graph = Graph([head, Op("RESHAPE", [head.output], [reshaped])], [head.inputs[0]], [reshaped])
    bounds = layer_bytes(head, graph.consumers())
    assert bounds.low == 128 * (9 * 16 + 4)  # 9 anchors of 8 are 72 outputs: two groups of 64
    assert size_of(head) == 48 * (9 * 16 + 4)


@given(
    size=st.integers(1, 9),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
)
def test_kernel_taps_that_only_see_padding_are_dropped(size, kernel, stride, dilation):
    op = conv((64, kernel, 1, 4), size=size, stride_h=stride, dilation_h_factor=dilation, bias_value=0)
    seen = taps_that_change_the_output(size, kernel, stride, dilation)
    assert size_of(op) == 64 * seen * 4


def taps_that_change_the_output(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Run a one-dimensional SAME convolution with one tap at a time over an input of ones."""
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) // 2
    padded = np.zeros(size + 100)
    padded[before : before + size] = 1
    return sum(
        bool(np.any(padded[tap * dilation : tap * dilation + outputs * stride : stride][:outputs]))
        for tap in range(kernel)
    )


def test_a_file_whose_shapes_contradict_each_other_is_no_obstacle():
    op = conv((64, 3, 3, 4))
    op.output.shape = ()
    assert size_of(op) == 0


def graph_of(*ops: Op) -> Graph:
    return Graph(list(ops), [op.inputs[0] for op in ops], [op.output for op in ops])


def test_only_mapped_operators_count():
    first, second = conv((64, 1, 1, 32)), conv((64, 1, 1, 64))
    graph = graph_of(first, second)
    assert parameter_memory(graph, [1]).low == size_of(second)
    assert parameter_memory(graph, []).high == 0


def test_float_weights_are_sized_as_they_will_be_quantized():
    source, output = activation("input", (1, 8, 8, 32)), activation("out", (1, 8, 8, 64))
    weights = constant("weights", np.ones((64, 1, 1, 32), np.float32))
    graph = graph_of(Op("CONV_2D", [source, weights], [output], dict(CONVOLUTION)))
    assert parameter_memory(graph, [0], as_if_quantized=True).low == 64 * (32 + 8)


@pytest.mark.parametrize(
    ("inputs", "placed"),
    [(5_800, "cached"), (7_500, "unknown"), (9_600, "streamed")],
)
def test_a_large_layer_of_few_outputs_is_streamed(inputs, placed):
    memory = parameter_memory(graph_of(dense(1, inputs)), [0])
    size = 16 * inputs
    expected = {"cached": (size, 0), "streamed": (0, size), "unknown": (None, None)}[placed]
    assert (memory.on_chip_bytes, memory.streamed_bytes) == expected
    assert memory.low == memory.high == size


def test_beyond_the_chip_it_is_not_known_what_is_cached():
    rows = ON_CHIP_BYTES // 1024 + 64
    memory = parameter_memory(graph_of(dense(rows, 1024)), [0])
    assert (memory.on_chip_bytes, memory.streamed_bytes) == (None, None)


@pytest.mark.parametrize(
    ("source", "target", "remainder"),
    [
        ((1, 6, 6, 114), (1, 4104), 114),
        ((1, 6, 6, 164), (1, 5904), None),
        ((1, 57, 57, 1), (1, 3249), 57),
        ((1, 64, 64, 1), (1, 4096), None),
        ((1, 1, 1, 1001), (1, 1001), None),
        ((1, 19, 19, 273), (1, 1083, 91), None),
    ],
)
def test_a_flatten_of_an_odd_map_is_recognised(source, target, remainder):
    op = Op("RESHAPE", [activation("in", source, np.int8)], [activation("out", target, np.int8)])
    assert flattened_remainder(op) == remainder
