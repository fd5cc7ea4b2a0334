"""Compiled files give up their operators, their runtime version and the size of their parameters."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compiled.package import read_compiled, read_package
from coralsmith.errors import MalformedModelError
from coralsmith.graph.reader import read_tflite


@pytest.fixture(scope="module")
def dense(shared):
    """The custom options of the smallest compiled model with parameters."""
    graph = read_tflite(shared / "edgetpu" / "pairs" / "libredge__looming_64x64_3x3" / "model_edgetpu.tflite")
    return graph.ops[0].custom_options


def test_every_compiled_file_is_read(shared):
    paths = sorted((shared / "edgetpu").rglob("*_edgetpu.tflite"))
    assert len(paths) == 22
    for path in paths:
        (package,) = read_compiled(path).packages
        assert package.min_runtime in {12, 14}
        assert {executable.kind for executable in package.executables} == {"EXECUTION_ONLY", "PARAMETER_CACHING"}


def test_known_numbers_of_known_files(shared):
    pairs = shared / "edgetpu" / "pairs"
    mobilenet = read_compiled(pairs / "gcedgetpu__mobilenet_v2_1.0_224_quant" / "model_edgetpu.tflite")
    assert mobilenet.packages[0].on_chip_bytes == 3_900_864
    assert mobilenet.packages[0].streamed_bytes == 0
    assert mobilenet.cpu_ops == ()


def test_operators_on_the_cpu_are_named_in_order(shared):
    second_half = "ssd_mobilenet_v2_coco_quant_postprocess_segment_1_of_2_edgetpu.tflite"
    (path,) = (shared / "edgetpu" / "segments").rglob(second_half)
    kinds = [op.custom_code or op.kind for op in read_compiled(path).cpu_ops]
    assert kinds == ["DEQUANTIZE", "DEQUANTIZE", "TFLite_Detection_PostProcess"]


def test_a_model_that_is_not_compiled_has_no_package(shared):
    model = read_compiled(shared / "edgetpu" / "pairs" / "libredge__dense_256" / "model.tflite")
    assert model.packages == () and len(model.cpu_ops) == 3


@pytest.mark.parametrize("options", [b"", b"\x00\x01", b"no map at all", bytes(64)])
def test_what_is_no_package_is_refused(options):
    with pytest.raises(MalformedModelError, match="cannot be read"):
        read_package(options)


@given(data=st.data())
def test_damage_never_escapes_as_another_error(dense, data):
    content = bytearray(dense)
    ends = st.integers(0, 400) | st.integers(len(content) - 400, len(content) - 1)
    for position in data.draw(st.lists(ends, min_size=1, max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedModelError):
        read_package(bytes(content))
