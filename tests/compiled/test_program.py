"""Constants come out of the bundles that hold them, wherever they stand, and out of nothing else."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compiled.executable import Bitstream
from coralsmith.compiled.program import Program, RequantBlock
from tests.compiled.pairs import MOBILENET_V1, MOBILENET_V2, SSD, compiled


class Bits:
    """An independent writer of bundles: one large integer, the least significant bit first."""

    def __init__(self, bundles: int) -> None:
        self.bundles, self.value = bundles, 0

    def put(self, bundle: int, bit: int, width: int, number: int) -> None:
        self.value |= (number & ((1 << width) - 1)) << (128 * bundle + bit)

    def put_float(self, bundle: int, bit: int, number: float) -> None:
        self.put(bundle, bit, 32, struct.unpack("<I", struct.pack("<f", number))[0])

    def put_block(self, block: RequantBlock) -> None:
        """As section 3 of the notes on the instruction stream has it; the bias crosses into the next bundle."""
        k = block.bundle
        self.put(k - 1, 62, 8, block.weight_zero_point)
        self.put(k - 1, 78, 8, block.input_zero_point)
        self.put_float(k, 29, block.multiplier)
        self.put_float(k, 61, block.clamp_max)
        self.put_float(k, 93, block.clamp_min)
        self.put(k, 125, 32, block.bias)
        self.put(k + 1, 29, 8, block.output_zero_point)

    def put_ratio(self, bundle: int, first: int, other: int) -> None:
        for offset, term in ((0, first), (18, first), (30, other), (48, other)):
            self.put(bundle + offset, 87, 17, 1 | term << 1)
            self.put(bundle + offset + 6, 87, 33, 1 | term << 17)

    def program(self) -> Program:
        return Program(np.frombuffer(self.value.to_bytes(16 * self.bundles, "little"), "<u8").reshape(-1, 2))


def f32(number: float) -> float:
    return struct.unpack("<f", struct.pack("<f", number))[0]


@st.composite
def blocks(draw) -> RequantBlock:
    zero_point = draw(st.integers(0, 255))
    rounding = draw(st.sampled_from([0.0, 1e-7, -1e-7]))
    return RequantBlock(
        bundle=draw(st.integers(1, 8)),
        multiplier=f32(draw(st.floats(1e-8, 4.0))),
        clamp_min=f32(-zero_point * (1 + rounding)) if zero_point == 255 or draw(st.booleans()) else 0.0,
        clamp_max=f32((255 - zero_point) * (1 + rounding)),
        bias=draw(st.integers(-(2**31), 2**31 - 1)),
        output_zero_point=zero_point,
        input_zero_point=draw(st.integers(0, 255)),
        weight_zero_point=draw(st.integers(0, 255)),
    )


@given(block=blocks())
def test_what_was_written_into_bundles_is_read_out_of_them(block):
    bits = Bits(10)
    bits.put_block(block)
    assert bits.program().blocks == (block,)


def test_random_bundles_hold_hardly_a_block():
    words = np.random.default_rng(0).integers(0, 2**64, (100_000, 2), np.uint64)
    assert len(Program(words).blocks) <= 1


def test_a_program_without_bundles_has_no_constants():
    for count in range(3):
        program = Program(np.zeros((count, 2), np.uint64))
        assert program.blocks == program.runs == program.ratios == program.paddings == ()


def test_blocks_of_one_operator_are_one_run_and_those_of_two_are_two():
    bits = Bits(80)
    one = RequantBlock(1, 0.5, 0.0, 255.0, 0, 0, 7, 9)
    for bundle in (1, 18, 35, 60):  # the last one is not 17 bundles behind the third
        bits.put_block(RequantBlock(bundle, *one.constants))
    assert [run.bundles for run in bits.program().runs] == [(1, 18, 35), (60,)]


@given(first=st.integers(1, 32767), other=st.integers(1, 32767))
def test_the_ratio_of_an_add_is_read(first, other):
    bits = Bits(100)
    bits.put_ratio(3, first, other)
    (load,) = bits.program().ratios
    assert (load.bundle, load.terms, load.block_bundle) == (3, (first, other), 80)


def test_a_ratio_that_is_loaded_once_only_is_none():
    bits = Bits(100)
    bits.put(3, 87, 17, 1 | 500 << 1)
    bits.put(9, 87, 33, 1 | 500 << 17)
    assert bits.program().ratios == ()


def test_a_zero_point_in_four_copies_is_spatial_padding():
    bits = Bits(4)
    bits.put(2, 87, 33, 1 | 0x7E7E7E7E << 1)
    (load,) = bits.program().paddings
    assert (load.bundle, load.value) == (2, 0x7E)


@pytest.mark.parametrize(
    ("name", "layers", "adds"), [(MOBILENET_V2, 53, 10), (MOBILENET_V1, 28, 0)], ids=["MobileNetV2", "MobileNetV1"]
)
def test_a_mobilenet_has_one_run_for_each_layer_and_add(shared, name, layers, adds):
    program = Program.of(compiled(shared, name)[0][1].packages[0].main_executable)
    assert (len(program.runs), len(program.ratios)) == (layers + adds, adds)


def test_known_constants_of_a_known_program(shared):
    program = Program.of(compiled(shared, MOBILENET_V2)[0][1].packages[0].main_executable)
    assert program.runs[9].block == RequantBlock(812, f32(3.80231031e-05), -133.0, 122.0, -5320422, 133, 0, 0)
    assert program.ratios[0].terms == (24433, 16786) and program.ratios[0].block_bundle == 812


def test_every_ratio_belongs_to_a_block(shared):
    for _, model in compiled(shared, SSD):
        program = Program.of(model.packages[0].main_executable)
        starts = {run.block.bundle for run in program.runs}
        assert {load.block_bundle for load in program.ratios} <= starts


def test_bitstreams_follow_each_other_and_a_part_of_a_bundle_is_left_out(shared):
    executable = compiled(shared, MOBILENET_V1)[0][1].packages[0].main_executable
    whole = bytes(executable.bitstreams[0].content)
    cut = [Bitstream(memoryview(part), ()) for part in (whole[:320], whole[320:] + b"odd")]
    two = Program.of(type(executable)(**{**vars(executable), "bitstreams": tuple(cut)}))
    assert np.array_equal(two.words, Program.of(executable).words)
