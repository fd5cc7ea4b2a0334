"""Memory for activations: the recorded size of real compiled models, and the reasons for it one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compiled.package import read_compiled
from coralsmith.edgetpu.activations import TILE_BYTES, activation_memory
from coralsmith.graph.model import Graph, Op
from coralsmith.graph.reader import read_tflite
from tests.builders import activation
from tests.edgetpu.layers import conv, dense, depthwise, flatten, graph_of

EXACT = [
    "gcedgetpu__mobilenet_v1_0.25_128_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_inat_bird_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_inat_insect_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_quant",
    "jorgi__N100-nMACs379699200_quant",
    "jorgi__N32-nMACs41287680_quant",
    "jorgi__firstTest_quant",
    "jorgi__model_size_channel32_quant",
    "jorgi__model_size_channel82_quant",
]
NEAR = [
    "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant",
    "libredge__gabor_64x64_p4",
    "libredge__looming_64x64_3x3",
]
CUT = ["gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant", "gcedgetpu__posenet_mobilenet_v1_075_353_481_quant_decoder"]
VECTORS = ["libredge__bright_64x64", "libredge__color_red_64x64", "libredge__dense_256", "libredge__dense_1024"]


def predicted_and_real(folder) -> tuple[int, int]:
    source, compiled = read_tflite(folder / "model.tflite"), read_compiled(folder / "model_edgetpu.tflite")
    on_cpu = {op.name for op in compiled.cpu_ops}
    mapped = [index for index, op in enumerate(source.ops) if op.name not in on_cpu]
    real = max(e.narrow_memory_bytes for package in compiled.packages for e in package.executables)
    return activation_memory(source, mapped).tile_bytes, real


@pytest.mark.parametrize("pair", EXACT)
def test_exact_to_the_byte(shared, pair) -> None:
    predicted, real = predicted_and_real(shared / "edgetpu" / "pairs" / pair)
    assert predicted == real


@pytest.mark.parametrize("pair", NEAR)
def test_at_most_a_tenth_too_little(shared, pair) -> None:
    predicted, real = predicted_and_real(shared / "edgetpu" / "pairs" / pair)
    assert 0.9 * real < predicted < real


@pytest.mark.parametrize("pair", CUT)
def test_what_does_not_fit_whole_was_cut(shared, pair) -> None:
    predicted, real = predicted_and_real(shared / "edgetpu" / "pairs" / pair)
    assert real <= TILE_BYTES < predicted


@pytest.mark.parametrize("pair", VECTORS)
def test_models_of_vectors_are_small_in_any_case(shared, pair) -> None:
    predicted, real = predicted_and_real(shared / "edgetpu" / "pairs" / pair)
    assert abs(predicted - real) < 14_000


def test_the_fullest_segment_of_an_ssd_is_exact(shared) -> None:
    folder = shared / "edgetpu" / "segments" / "ssd_mobilenet_v2_coco_quant"
    segments = [read_compiled(path) for path in folder.glob("*_edgetpu.tflite")]
    real = max(e.narrow_memory_bytes for s in segments for package in s.packages for e in package.executables)
    source = read_tflite(folder / "source_rebuilt.tflite")
    memory = activation_memory(source, range(len(source.ops) - 3))
    assert memory.tile_bytes == memory.live_bytes == real == 188_256
    assert memory.op == "expanded_conv_1/depthwise"
    assert memory.tensors[0] == "expanded_conv_1/expand 1x150x150x96"
    assert memory.cut == ()


def chain(*ops: Op) -> Graph:
    """Each operator reads what the one before computes."""
    for before, op in pairwise(ops):
        op.inputs[0] = before.output
    return Graph(list(ops), [ops[0].inputs[0]], [ops[-1].output])


def tile_bytes(graph: Graph) -> int:
    return activation_memory(graph, range(len(graph.ops))).tile_bytes


def test_each_tile_holds_a_sixteenth_of_a_map() -> None:
    assert tile_bytes(graph_of(conv((8, 1, 1, 4), size=64))) == 16 * 16 * (4 + 8)


def test_channels_are_padded_to_a_multiple_of_four() -> None:
    assert tile_bytes(graph_of(conv((6, 1, 1, 3), size=64))) == 16 * 16 * (4 + 8)


def test_with_its_part_a_tile_holds_what_is_read_around_it() -> None:
    assert tile_bytes(graph_of(conv((8, 3, 3, 4), size=64))) == 18 * 18 * 4 + 16 * 16 * 8
    strided = conv((8, 3, 3, 4), size=64, stride_h=2, stride_w=2)
    assert tile_bytes(graph_of(strided)) == 17 * 17 * 4 + 8 * 8 * 8
    dilated = conv((8, 3, 3, 4), size=64, dilation_h_factor=2, dilation_w_factor=2)
    assert tile_bytes(graph_of(dilated)) == 20 * 20 * 4 + 16 * 16 * 8


def test_no_tile_holds_more_than_the_map() -> None:
    assert tile_bytes(graph_of(conv((8, 3, 3, 4), size=2))) == 2 * 2 * 4 + 1 * 1 * 8


def test_a_buffer_is_free_once_its_last_reader_ran() -> None:
    first, second, third = (conv((8, 1, 1, 8), size=64, name=name) for name in "abc")
    assert tile_bytes(chain(first, second, third)) == 2 * 16 * 16 * 8


def test_a_shortcut_keeps_its_buffer() -> None:
    source = activation("input", (1, 64, 64, 8), np.int8)
    first = conv((8, 1, 1, 8), size=64, source=source, name="a")
    second = conv((8, 1, 1, 8), size=64, source=first.output, name="b")
    total = Op("ADD", [second.output, source], [activation("sum", source.shape, np.int8)])
    graph = Graph([first, second, total], [source], [total.output])
    assert tile_bytes(graph) == 3 * 16 * 16 * 8
    assert activation_memory(graph, [0, 1, 2]).op == "b"


def test_a_reshape_takes_no_buffer_of_its_own() -> None:
    op = flatten(64, 64, 4)
    graph = Graph([op], [op.inputs[0]], [op.output])
    assert tile_bytes(graph) == 4 * 64 * 64  # a vector lies on one tile


def test_ssd_mobilenet_v1_300_takes_what_its_compiled_segment_recorded() -> None:
    """The depthwise and the 1x1 layer at 150x150, and the depthwise of stride 2 that reads them."""
    first, second = depthwise(32, size=150), conv((64, 1, 1, 32), size=150, name="pointwise")
    third = depthwise(64, size=150, stride_h=2, stride_w=2)
    assert tile_bytes(chain(conv((32, 1, 1, 4), size=150), first, second, third)) == 148_608


def test_buffers_that_cannot_lie_side_by_side_leave_gaps() -> None:
    """The three of MobileNetV1 0.25 128 that take 8,996 bytes though at most 6,948 are live at once."""
    first = conv((8, 3, 3, 3), size=128, stride_h=2, stride_w=2, name="first")
    second = depthwise(8, size=64)
    third = conv((16, 1, 1, 8), size=64, name="third")
    fourth = depthwise(16, size=64, stride_h=2, stride_w=2)
    memory = activation_memory(chain(first, second, third, fourth), range(4))
    assert (memory.tile_bytes, memory.live_bytes) == (8_996, 6_948)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.integers(0, 10))
def test_buffers_take_no_less_than_what_is_live(widths, seed) -> None:
    chosen = np.random.default_rng(seed)
    tensors = [activation("input", (1, 1, 1, 4), np.int8)]
    ops = []
    for number, width in enumerate(widths):
        source = tensors[int(chosen.integers(len(tensors)))]
        tensors.append(activation(f"t{number}", (1, 1, 1, width), np.int8))
        ops.append(Op("LOGISTIC", [source], [tensors[-1]]))
    memory = activation_memory(Graph(ops, tensors[:1], tensors[1:]), range(len(ops)))
    padded = [-(-tensor.shape[3] // 4) * 4 for tensor in tensors]
    assert memory.live_bytes <= memory.tile_bytes <= sum(padded)


def test_operators_that_do_not_fit_whole_are_named() -> None:
    small, large = conv((8, 1, 1, 8), size=64, name="small"), conv((64, 1, 1, 64), size=256, name="large")
    memory = activation_memory(graph_of(small, large), [0, 1])
    assert memory.cut == (1,)
    assert (memory.index, memory.op) == (1, "large")


def test_nothing_mapped_takes_nothing() -> None:
    assert activation_memory(graph_of(dense(8, 8)), []).tile_bytes == 0


def test_very_many_long_lives_are_summed_up_only() -> None:
    source = activation("input", (1, 1, 1, 4), np.int8)
    ops = [Op("LOGISTIC", [source], [activation(f"t{n}", (1, 1, 1, 4), np.int8)]) for n in range(1_000)]
    join = Op("PACK", [op.output for op in ops], [activation("out", (1, 1, 1, 4), np.int8)])
    memory = activation_memory(Graph([*ops, join], [source], [join.output]), range(1_001))
    assert memory.tile_bytes == memory.live_bytes == 4 * 1_001
