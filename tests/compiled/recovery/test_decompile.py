"""A model comes back out of its compiled file: the same integers, the same outputs, or a refusal and no file."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coralsmith.compiled.recovery.recovery import recover
from coralsmith.compiled.recovery.segment import read_segments
from coralsmith.compiled.recovery.skeleton import skeletons_of
from coralsmith.decompile_files import decompile
from coralsmith.errors import CoralsmithError, InputError, NotProvedError, UnsupportedModelError, UsageError
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.writer import write_tflite
from tests.compiled.recovery import recovered as files
from tests.compiled.recovery.recovered import (
    BUNDLE,
    COLOUR,
    DENSE,
    V1,
    V2,
    V2_BIRD,
    assert_bit_equal,
    bias_of,
    compiled_of,
    layers_of,
    source_of,
    ssd_segments,
    ssd_source,
    uint8_weights,
    with_bit_flipped,
)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "model.tflite"


def assert_same_integers(source, recovered) -> None:
    """Weights, biases and zero points are identical, layer by layer."""
    for one, other in zip(layers_of(source), layers_of(recovered), strict=True):
        expected, found = uint8_weights(one), uint8_weights(other)
        assert np.array_equal(expected[0].reshape(found[0].shape), found[0]) and expected[1] == found[1]
        assert np.array_equal(bias_of(one), bias_of(other))
        zero_points = [op.output.quant.zero_point[0] + 128 * (op.output.dtype == np.int8) for op in (one, other)]
        assert zero_points[0] == zero_points[1]


@pytest.mark.parametrize(("pair", "topology"), [(V1, "MobileNet V1 0.25"), (DENSE, "one dense layer")])
def test_a_known_topology_gives_back_a_model_with_the_outputs_of_its_source(shared, out, pair, topology):
    result = decompile(compiled_of(shared, pair), output=out)
    assert result.topology == topology
    assert result.parameter_bytes == result.layer_bytes
    assert_same_integers(read_tflite(source_of(shared, pair)), read_tflite(out))
    assert_bit_equal(source_of(shared, pair), out, shared)


@pytest.mark.slow
@pytest.mark.parametrize("pair", [V2, V2_BIRD, "gcedgetpu__mobilenet_v2_1.0_224_quant"])
def test_mobilenet_v2_comes_back_bit_for_bit(shared, out, pair):
    result = decompile(compiled_of(shared, pair), output=out)
    assert result.topology == "MobileNet V2 1" and result.layers == 53
    assert_same_integers(read_tflite(source_of(shared, pair)), read_tflite(out))
    assert_bit_equal(source_of(shared, pair), out, shared)


@pytest.mark.parametrize("colour", ["red", "green", "blue"])
def test_another_model_of_the_architecture_serves_as_topology(shared, out, colour):
    pair, other = f"libredge__color_{colour}_64x64", {"red": "green", "green": "blue", "blue": "red"}[colour]
    like = source_of(shared, f"libredge__color_{other}_64x64")
    result = decompile(compiled_of(shared, pair), output=out, like=like)
    assert result.scales_free == 0
    assert_same_integers(read_tflite(source_of(shared, pair)), read_tflite(out))
    assert_bit_equal(source_of(shared, pair), out, shared)


def test_a_float_model_with_other_weights_serves_as_topology(shared, tmp_path, out):
    source = read_tflite(source_of(shared, V1))
    for tensor in source.tensors():
        tensor.quant, tensor.name = None, f"float/{tensor.name}"
        tensor.dtype = np.dtype(np.float32) if tensor.dtype != np.int32 or tensor.elements > 2 else tensor.dtype
        if tensor.data is not None and tensor.is_float:
            tensor.data = np.zeros(tensor.shape, np.float32)
    write_tflite(source, tmp_path / "float.tflite")
    result = decompile(compiled_of(shared, V1), output=out, like=tmp_path / "float.tflite")
    assert result.topology == "float.tflite"
    assert_bit_equal(source_of(shared, V1), out, shared)


@pytest.mark.slow
def test_two_segments_give_back_the_whole_detector_with_its_detections(shared, out):
    result = decompile(*reversed(ssd_segments(shared)), output=out)
    assert result.topology == "SSD MobileNet V2" and result.layers == 72
    assert result.parameter_bytes == result.layer_bytes == 6_523_264
    assert [operator.kind for operator in result.operators[-3:]] == [
        "DEQUANTIZE",
        "DEQUANTIZE",
        "TFLite_Detection_PostProcess",
    ]
    assert_bit_equal(ssd_source(shared), out, shared, noise=1, photos=8)


@pytest.mark.slow
def test_a_detector_read_with_its_source_as_topology_has_its_integers(shared, out):
    segments = read_segments(ssd_segments(shared))
    source = read_tflite(ssd_source(shared))
    (skeleton,) = skeletons_of(source, "source", segments[0].inputs, segments[-1].outputs)
    recovery = recover(skeleton, segments)
    assert not any(off.any() for off in recovery.rebuilt.off.values()) and not recovery.solved.inexact_clamps
    assert_same_integers(source, recovery.rebuilt.chip)


def test_a_flipped_weight_comes_out_flipped(shared, tmp_path, out):
    path = compiled_of(shared, V1)
    content = path.read_bytes()
    start = files.parameters_start(content, path)
    second_layer = 16 * 4 + 16 * 9 * 4  # behind the first convolution: 16 rows of a bias and 9 taps of 4 channels
    weight = start + second_layer + 4 * 4  # behind the bias of 4 channels: tap 0 of channel 0
    decompile(with_bit_flipped(path, weight, 0, tmp_path / "x_edgetpu.tflite"), output=out)
    expected = [uint8_weights(op)[0] for op in layers_of(read_tflite(source_of(shared, V1)))]
    expected[1][0, 0, 0, 0] ^= 1
    for one, other in zip(expected, layers_of(read_tflite(out)), strict=True):
        assert np.array_equal(one, uint8_weights(other)[0])


# Bits of the block of the depthwise second layer, whose multiplier stands in this bundle; see
# coralsmith/compiled/program.py. A bit of the multiplier's significand is not among them: all are possible.
BLOCK = 350
DAMAGE = {
    "weight zero point": (BLOCK - 1, 62),
    "input zero point": (BLOCK - 1, 78),
    "clamp maximum": (BLOCK, 61 + 30),
    "clamp minimum": (BLOCK, 93 + 30),
    "bias": (BLOCK, 125),
    "output zero point": (BLOCK + 1, 29),
    "sign of the multiplier": (BLOCK, 29 + 31),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_program_is_refused_and_nothing_is_written(shared, tmp_path, out, what):
    path = compiled_of(shared, V1)
    bundle, bit = DAMAGE[what]
    position = files.program_start(path.read_bytes(), path) + BUNDLE * bundle + bit // 8
    damaged = with_bit_flipped(path, position, bit % 8, tmp_path / "x_edgetpu.tflite")
    with pytest.raises(NotProvedError):
        decompile(damaged, output=out)
    assert not out.exists()


@pytest.mark.parametrize(
    "position", [8 * 4 + 1, 16 * 4 + 8 * 4], ids=["bias of a row that is none", "padding row"]
)
def test_damaged_padding_is_refused(shared, tmp_path, out, position):
    path = compiled_of(shared, V1)
    start = files.parameters_start(path.read_bytes(), path)
    damaged = with_bit_flipped(path, start + position, 3, tmp_path / "x_edgetpu.tflite")
    with pytest.raises(NotProvedError):
        decompile(damaged, output=out)
    assert not out.exists()


def test_what_does_not_follow_from_the_file_is_refused_with_the_reason(shared, out):
    def refusal(pair: str, **options: object) -> str:
        with pytest.raises((NotProvedError, UnsupportedModelError)) as caught:
            decompile(compiled_of(shared, pair), output=out, **options)
        assert not out.exists()
        return caught.value.message

    assert "known topologies fits" in refusal(COLOUR)
    large, small = "jorgi__model_size_channel82_quant", "jorgi__model_size_channel32_quant"
    assert "not tile" in refusal(large, like=source_of(shared, small))
    assert "leads from" in refusal(V1, like=source_of(shared, V2))
    looming = "libredge__looming_64x64_3x3"
    assert "MUL" in refusal(looming, like=source_of(shared, looming))
    deeplab = "gcedgetpu__deeplabv3_mnv2_dm05_pascal_quant"
    assert "and the reverse" in refusal(deeplab, like=source_of(shared, deeplab))


def test_wrong_use_and_wrong_files_are_told_apart(shared, tmp_path, out):
    dense, first = compiled_of(shared, DENSE), ssd_segments(shared)[0]
    with pytest.raises(UsageError, match="No compiled file"):
        decompile(output=out)
    with pytest.raises(UsageError, match="twice"):
        decompile(dense, dense, output=out)
    with pytest.raises(UsageError, match="one of the inputs"):
        decompile(dense, output=dense)
    with pytest.raises(InputError, match="not compiled"):
        decompile(source_of(shared, DENSE), output=out)
    with pytest.raises(InputError, match="segments of one model"):
        decompile(dense, compiled_of(shared, COLOUR), output=out)
    with pytest.raises(InputError, match="cannot be read"):
        decompile(tmp_path / "missing_edgetpu.tflite", output=out)
    with pytest.raises(InputError, match=r"segment_1_of_2_edgetpu\.tflite' is missing"):
        decompile(first, output=out)
    assert not out.exists()


def test_the_same_file_gives_the_same_bytes(shared, tmp_path):
    first, second = tmp_path / "first.tflite", tmp_path / "second.tflite"
    for path in (first, second):
        decompile(compiled_of(shared, V1), output=path)
    assert first.read_bytes() == second.read_bytes()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_never_escapes_as_another_error(shared, tmp_path, data):
    content = bytearray(compiled_of(shared, DENSE).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "x_edgetpu.tflite"
    damaged.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    with contextlib.suppress(CoralsmithError):
        decompile(damaged, output=tmp_path / "model.tflite")
