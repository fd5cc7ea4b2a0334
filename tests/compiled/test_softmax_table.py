"""The table of a SOFTMAX is the compiler's, byte for byte, and gives back the scale."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compiled.package import read_compiled
from coralsmith.compiled.recovery.segment import read_segments
from coralsmith.compiled.recovery.softmax import softmax_block_scale, softmax_scale
from coralsmith.compiled.softmax_table import (
    scale_of_range,
    scale_of_softmax_table,
    softmax_table,
    softmax_table_bytes,
)
from coralsmith.graph.reader import read_tflite

TABLES = ["jorgi__firstTest_quant", "jorgi__model_size_channel32_quant", "jorgi__model_size_channel82_quant"]
IN_THE_PROGRAM = [
    "gcedgetpu__mobilenet_edgetpu_0.75_224_post_training_quant",
    "gcedgetpu__mobilenet_v1_0.25_128_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_inat_bird_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_inat_insect_quant",
    "gcedgetpu__mobilenet_v2_1.0_224_quant",
]
IN_A_BLOCK = ["libredge__color_blue_64x64", "libredge__color_green_64x64", "libredge__color_red_64x64"]


def true_scale(shared, pair: str) -> np.float32:
    graph = read_tflite(shared / "edgetpu" / "pairs" / pair / "model.tflite")
    (softmax,) = (op for op in graph.ops if op.kind == "SOFTMAX")
    return np.float32(softmax.inputs[0].quant.scale[0])


def true_quantization(shared, pair: str) -> tuple[np.float32, int]:
    graph = read_tflite(shared / "edgetpu" / "pairs" / pair / "model.tflite")
    (softmax,) = (op for op in graph.ops if op.kind == "SOFTMAX")
    return true_scale(shared, pair), int(softmax.inputs[0].quant.zero_point[0]) + 128


def program(shared, pair: str):
    return read_segments([shared / "edgetpu" / "pairs" / pair / "model_edgetpu.tflite"])[0].program


@pytest.mark.parametrize("pair", TABLES)
def test_the_table_of_a_pair_follows_from_its_scale(shared, pair):
    (package,) = read_compiled(shared / "edgetpu" / "pairs" / pair / "model_edgetpu.tflite").packages
    stored = bytes(package.executable("PARAMETER_CACHING").parameters)[-576:]
    assert softmax_table_bytes(10) == 576
    anew = scale_of_range(*true_quantization(shared, pair))
    assert softmax_table(anew, 10) == stored
    assert scale_of_softmax_table(stored, 10) == anew


def test_bytes_that_are_no_table_have_no_scale():
    table = bytearray(softmax_table(np.float32(0.1), 10))
    assert scale_of_softmax_table(bytes(table), 10) == np.float32(0.1)
    assert scale_of_softmax_table(bytes(table), 12) is None
    assert scale_of_softmax_table(bytes(table[:-1]), 10) is None
    for position in (0, 139, 384, 391, 523):
        damaged = bytearray(table)
        damaged[position] ^= 1
        assert scale_of_softmax_table(bytes(damaged), 10) is None
    assert scale_of_softmax_table(bytes(576), 10) is None


@pytest.mark.parametrize("pair", IN_THE_PROGRAM)
def test_older_programs_hold_the_scale_beside_the_logarithm(shared, pair):
    assert softmax_scale(program(shared, pair)) == true_scale(shared, pair)


@pytest.mark.parametrize("pair", IN_A_BLOCK)
def test_newer_programs_hold_it_in_a_block(shared, pair):
    assert softmax_block_scale(program(shared, pair)) == true_scale(shared, pair)


@pytest.mark.parametrize("pair", [*TABLES, "libredge__bright_64x64", "libredge__dense_256"])
def test_programs_that_do_not_show_it_are_not_misread(shared, pair):
    assert softmax_scale(program(shared, pair)) is None
    assert softmax_block_scale(program(shared, pair)) is None
