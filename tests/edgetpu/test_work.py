"""What one inference moves: bytes in and out are those of the compiled files, the rest is told by operator."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compat import check_graph
from coralsmith.compiled.package import read_compiled
from coralsmith.edgetpu.memory import ParameterMemory
from coralsmith.edgetpu.work import Work, streamed_bytes, work_of
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.reader import read_tflite
from tests.builders import CONVOLUTION, activation, conv_graph, op

PAIRS = [
    "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_quant",
    "gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder",
    "jorgi__N32-nMACs41287680_quant",
    "libredge__dense_1024",
    "libredge__gabor_64x64_p4",
]


@pytest.mark.parametrize("pair", PAIRS)
def test_bytes_in_and_out_are_those_of_the_compiled_program(shared, pair):
    folder = shared / "edgetpu" / "pairs" / pair
    program = read_compiled(folder / "model_edgetpu.tflite").packages[0].executables[0]
    graph = read_tflite(folder / "model.tflite")
    work = work_of(graph, [fate.index for fate in check_graph(graph).ops if fate.target == "edgetpu"])
    assert work.input_bytes == pytest.approx(sum(layer.size_bytes for layer in program.inputs), rel=1e-4)
    assert work.output_bytes == pytest.approx(sum(layer.size_bytes for layer in program.outputs), rel=0.005)


def test_float_values_cross_the_bus_as_the_bytes_they_become():
    graph = conv_graph(size=8, channels=3, filters=4)
    work = work_of(graph, [0])
    assert (work.input_bytes, work.output_bytes) == (8 * 8 * 3, 8 * 8 * 4)


def test_output_channels_are_padded_to_four():
    work = work_of(conv_graph(size=8, filters=5), [0])
    assert work.output_bytes == 8 * 8 * 8


def test_a_tensor_that_two_operators_read_crosses_once():
    source = activation("in", (1, 8, 8, 4), np.int8)
    ops = [op("RELU", [source], "a"), op("RELU6", [source], "b")]
    work = work_of(Graph(ops, [source], [o.output for o in ops]), [0, 1])
    assert (work.input_bytes, work.output_bytes) == (256, 512)


def test_operators_on_the_cpu_count_apart():
    graph = conv_graph(size=8, channels=3, filters=4)
    graph.ops.append(op("RELU", [graph.ops[0].output], "after"))
    source, last = graph.ops[1].output, activation("boxes", (1, 10, 4))
    graph.ops.append(Op("CUSTOM", [source], [last], custom_code="TFLite_Detection_PostProcess"))
    graph.ops.append(Op("CUSTOM", [last], [activation("x", (1, 10))], custom_code="Unheard"))
    work = work_of(graph, [])
    assert work == Work(
        host_multiplications=8 * 8 * 4 * 27, host_elements=8 * 8 * 4, host_postprocess=1, host_unknown=1
    )


def test_float_ends_are_no_work():
    source, inside = activation("in", (1, 8)), activation("q", (1, 8), np.int8)
    ops = [Op("QUANTIZE", [source], [inside]), Op("DEQUANTIZE", [inside], [activation("out", (1, 8))])]
    assert work_of(Graph(ops, [source], [ops[1].output]), []) == Work()


def test_what_is_known_to_be_streamed_is_taken_as_it_is():
    memory = ParameterMemory(10, 7, 17, 17, streamed_low=6, streamed_high=9)
    assert streamed_bytes(memory) == (6, 7, 9)


def test_else_the_middle_of_what_may_be_streamed():
    assert streamed_bytes(ParameterMemory(None, None, 17, 17, streamed_low=0, streamed_high=8)) == (0, 4, 8)


@pytest.mark.parametrize(("channels", "is_crowded"), [(380, False), (390, True)])
def test_streamed_layers_whose_activations_do_not_fit_are_counted(channels, is_crowded):
    shape = (channels, 3, 3, channels)
    x = source = activation("in", (1, 64, 64, channels), np.int8)
    ops = []
    for index in range(8):
        weights = Tensor(f"w{index}", shape, np.dtype(np.int8), np.broadcast_to(np.int8(1), shape))
        ops.append(op("CONV_2D", [x, weights], f"t{index}", **CONVOLUTION))
        x = ops[-1].output
    work = work_of(Graph(ops, [source], [x]), range(8))
    assert work.streamed_bytes > 1_000_000
    assert (work.crowded_bytes > 0) == is_crowded
    assert work_of(Graph(ops[:1], [source], [ops[0].output]), [0]).crowded_bytes == 0  # nothing is streamed
