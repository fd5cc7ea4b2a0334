"""What an operator asks of the chip: the laws of the compiler's cycle estimate, and what real programs hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compat import check_graph
from coralsmith.compiled.package import read_compiled
from coralsmith.edgetpu.features import multiplications, operator_features, total, weighted
from coralsmith.edgetpu.latency import instruction_bytes
from coralsmith.edgetpu.latency_constants import constants
from coralsmith.graph.model import Graph, Op, Tensor
from coralsmith.graph.reader import read_tflite
from tests.builders import CONVOLUTION, activation, conv_graph, op

# Pairs whose program says how many cycles the compiler expects.
RECORDED = {
    "gcedgetpu__mobilenet_v1_0.25_128_quant": 0.02,
    "gcedgetpu__mobilenet_v2_1.0_224_quant": 0.05,
    "gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder": 0.05,
    "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant": 0.08,
    "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant": 0.12,
}


def weights(*shape: int) -> Tensor:
    return Tensor("weights", shape, np.dtype(np.int8), np.broadcast_to(np.int8(1), shape))


def convolution(size: int, inputs: int, outputs: int, kernel: int, stride: int = 1) -> Op:
    source = activation("in", (1, size, size, inputs), np.int8)
    attributes = {**CONVOLUTION, "stride_h": stride, "stride_w": stride}
    return op("CONV_2D", [source, weights(outputs, kernel, kernel, inputs)], "out", **attributes)


def depthwise(size: int, channels: int, stride: int) -> Op:
    source = activation("in", (1, size, size, channels), np.int8)
    attributes = {**CONVOLUTION, "stride_h": stride, "stride_w": stride, "depth_multiplier": 1}
    return op("DEPTHWISE_CONV_2D", [source, weights(1, 3, 3, channels)], "out", **attributes)


def cycles(*ops: Op) -> float:
    return weighted(total(map(operator_features, ops)), constants().cycles)


@pytest.mark.parametrize(
    ("size", "inputs", "outputs", "kernel", "expected"),
    [
        (64, 3, 100, 3, 2 * 16 * 16 * 9 * 1 * 2),
        (64, 100, 100, 3, 2 * 16 * 16 * 9 * 25 * 2),
        (30, 17, 65, 5, 2 * 8 * 8 * 25 * 5 * 2),
    ],
)
def test_a_convolution_takes_two_cycles_for_each_step_of_the_grid(size, inputs, outputs, kernel, expected):
    assert cycles(convolution(size, inputs, outputs, kernel)) == expected


def test_65_outputs_cost_as_much_as_128_and_a_map_of_5x5_as_much_as_8x8():
    assert cycles(convolution(8, 16, 65, 3)) == cycles(convolution(5, 16, 128, 3))
    assert cycles(convolution(8, 16, 64, 3)) * 2 == cycles(convolution(8, 16, 65, 3))


def test_at_one_position_the_outputs_are_spread_over_the_tiles():
    dense = Op("FULLY_CONNECTED", [activation("in", (1, 1280), np.int8), weights(1001, 1280)], [])
    dense.outputs.append(activation("out", (1, 1001), np.int8))
    assert operator_features(dense)["dense"] == 1280 // 4
    dense.inputs[1] = weights(1088, 1280)
    dense.output.shape = (1, 1088)
    assert operator_features(dense)["dense"] == 2 * 1280 // 4
    assert operator_features(convolution(1, 1280, 1001, 1))["dense"] == 1280 // 4


def test_a_pointwise_convolution_is_told_from_one_with_a_larger_kernel():
    assert "pointwise" in operator_features(convolution(8, 16, 16, 1))
    assert "convolution" in operator_features(convolution(8, 16, 16, 3))


def test_a_depthwise_convolution_with_stride_is_told_from_one_without():
    assert operator_features(depthwise(16, 32, 1))["depthwise"] == 4 * 4 * 9 * 8
    assert operator_features(depthwise(16, 32, 2))["strided depthwise"] == 2 * 2 * 9 * 8


def test_a_transposed_convolution_counts_like_the_convolution_of_its_output():
    filters = weights(32, 2, 2, 16)
    source, output = activation("in", (1, 8, 8, 16), np.int8), activation("out", (1, 16, 16, 32), np.int8)
    shape = Tensor.constant("shape", np.array(output.shape, np.int32))
    transposed = Op("TRANSPOSE_CONV", [shape, filters, source], [output], {"stride_h": 2, "stride_w": 2})
    assert operator_features(transposed)["convolution"] == 4 * 4 * 4 * 4
    assert multiplications(transposed) == 8 * 8 * 16 * 2 * 2 * 32


def test_other_operators_count_their_output():
    first = activation("in", (1, 8, 8, 20), np.int8)
    add = op("ADD", [first, activation("b", (1, 8, 8, 20), np.int8)], "sum")
    assert operator_features(add) == {"elementwise": 2 * 2 * 5, "other operators": 1, "activations": 1280}


@pytest.mark.parametrize("kind", ["RESHAPE", "QUANTIZE", "DEQUANTIZE"])
def test_what_moves_nothing_is_free(kind):
    assert not operator_features(Op(kind, [activation("in", (1, 8))], [activation("out", (8,))]))


def test_an_operator_whose_shapes_contradict_each_other_is_no_crash():
    broken = Op("CONV_2D", [activation("in", (8,)), activation("w", (3,))], [activation("out", ())])
    assert operator_features(broken)["layers"] == 1
    assert operator_features(Op("CUSTOM", [], [])) == {}


def test_multiplications_are_those_of_the_textbook():
    (conv,) = conv_graph(size=8, channels=3, filters=4, kernel=3).ops
    assert multiplications(conv) == 8 * 8 * 4 * 3 * 3 * 3
    assert multiplications(depthwise(16, 32, 2)) == 8 * 8 * 32 * 9
    assert multiplications(op("RELU", [activation("in", (1, 8))], "out")) == 0


@given(
    size=st.integers(2, 64),
    inputs=st.integers(1, 300),
    outputs=st.integers(1, 300),
    kernel=st.sampled_from([1, 3, 5]),
    more=st.sampled_from(["size", "inputs", "outputs"]),
)
def test_more_of_anything_never_takes_fewer_cycles_or_instructions(size, inputs, outputs, kernel, more):
    less = {"size": size, "inputs": inputs, "outputs": outputs, "kernel": kernel}
    first, second = convolution(**less), convolution(**{**less, more: less[more] + 1})
    assert cycles(first) <= cycles(second)
    known = constants()
    assert instruction_bytes(operator_features(first), known) <= instruction_bytes(
        operator_features(second), known
    )


def test_a_second_operator_never_makes_a_program_shorter():
    one = [convolution(8, 16, 16, 3)]
    two = [*one, depthwise(16, 32, 1)]
    features = [total(map(operator_features, ops)) for ops in (one, two)]
    first, second = (instruction_bytes(amounts, constants()) for amounts in features)
    assert constants().program_bytes < first < second


def on_chip(graph: Graph) -> list[Op]:
    return [graph.ops[fate.index] for fate in check_graph(graph).ops if fate.target == "edgetpu"]


@pytest.mark.parametrize(("pair", "tolerance"), RECORDED.items())
def test_cycles_are_those_that_the_compiler_recorded(shared, pair, tolerance):
    folder = shared / "edgetpu" / "pairs" / pair
    program = read_compiled(folder / "model_edgetpu.tflite").packages[0].executables[0]
    predicted = cycles(*on_chip(read_tflite(folder / "model.tflite")))
    assert math.isclose(predicted, program.estimated_cycles, rel_tol=tolerance)


def test_instructions_of_two_segments_are_about_those_of_the_whole(shared):
    folder = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant"
    recorded = sum(
        executable.instruction_bytes
        for path in folder.glob("*_edgetpu.tflite")
        for executable in read_compiled(path).packages[0].executables
        if executable.kind == "EXECUTION_ONLY"
    )
    features = total(map(operator_features, on_chip(read_tflite(folder / "source_rebuilt.tflite"))))
    assert 0.65 * recorded < instruction_bytes(features, constants()) < recorded
