"""Compiled files give up their operators, their runtime version and the size of their parameters."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.compiled.executable import AddressField, Bitstream
from coralsmith.compiled.package import parse_compiled, read_compiled, read_package
from coralsmith.errors import MalformedModelError
from coralsmith.graph.flatbuffer import TableBudget
from coralsmith.graph.reader import read_tflite
from tests.compiled.compiled_files import compiled_bytes, layer, package, package_options, program


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


# Bytes of instructions of the inference, of instructions that load parameters, and of parameters, as published.
PUBLISHED = {
    "pairs/gcedgetpu__mobilenet_v2_1.0_224_quant/model_edgetpu.tflite": (129_632, 9_680, 3_900_864),
    "segments/ssd_mobilenet_v2_coco_quant/ssd_mobilenet_v2_coco_quant_postprocess_segment_0_of_2_edgetpu.tflite": (
        162_848,
        7_632,
        2_914_752,
    ),
    "segments/ssd_mobilenet_v2_coco_quant/ssd_mobilenet_v2_coco_quant_postprocess_segment_1_of_2_edgetpu.tflite": (
        124_608,
        4_688,
        3_608_512,
    ),
}


@pytest.mark.parametrize("path", PUBLISHED)
def test_known_numbers_of_known_files(shared, path):
    (known,) = read_compiled(shared / "edgetpu" / path).packages
    inference, caching = known.executables
    sizes = (inference.instruction_bytes, caching.instruction_bytes, len(caching.parameters))
    assert sizes == PUBLISHED[path]
    assert (known.on_chip_bytes, known.streamed_bytes) == (PUBLISHED[path][2], 0)
    assert known.main_executable is inference


def test_a_package_written_by_the_official_library_is_read_back(shared):
    small = (path for path in (shared / "edgetpu").rglob("*_edgetpu.tflite") if path.stat().st_size < 250_000)
    packages = [read_compiled(path).packages[0] for path in small]
    assert len(packages) == 10
    for original in (*packages, package(), package(program(parameters=bytes(100)), min_runtime=10, chips=())):
        assert read_package(package_options(original)) == original


def test_a_stub_is_refused_in_clear_words_unless_it_is_to_be_looked_into():
    stub = compiled_bytes(replace(package(), executables=()))
    with pytest.raises(MalformedModelError, match="holds no program: a stub"):
        parse_compiled(stub)
    assert parse_compiled(stub, allow_stubs=True).packages[0].main_executable is None


def test_a_package_that_calls_itself_a_key_is_refused():
    """A string with the type of a key: the library asserts that keys are one byte wide."""
    string, key = 0x15, 0x11
    options = bytearray(package_options(package()))
    options[options.rindex(string)] = key
    with pytest.raises(MalformedModelError, match="cannot be read"):
        read_package(bytes(options))


def test_an_address_outside_of_the_instructions_stands_apart():
    inside, outside = (AddressField("input", "in", 0, False, bit) for bit in (0, 8 * 1024 - 31))
    stream = Bitstream(memoryview(bytes(1024)), (inside, outside))
    (read,) = parse_compiled(compiled_bytes(package(program(bitstreams=(stream,))))).packages[0].executables
    assert read.bitstreams[0].fields == (inside,)
    assert read.bitstreams[0].stray_fields == (outside,)


PLAIN = program()
ALIASED = {
    "address fields": replace(
        PLAIN, bitstreams=(replace(PLAIN.bitstreams[0], fields=PLAIN.bitstreams[0].fields[:1] * 20_000),)
    ),
    "chunks": replace(PLAIN, bitstreams=(Bitstream(memoryview(bytes(1 << 20)), ()),) * 20_000),
    "transfers": replace(PLAIN, dma_hints=PLAIN.dma_hints[1:2] * 20_000),
    "inputs": replace(PLAIN, inputs=PLAIN.inputs * 8192),
    "long names": replace(PLAIN, inputs=(layer("n" * 60_000, 1, 1, 8),) * 100),
}


def test_the_packages_of_a_file_share_what_they_may_have_of_tables(monkeypatch):
    other = package(program(inputs=(layer("other", 1, 1, 8),), outputs=(layer("last", 1, 1, 8),)))
    monkeypatch.setattr("coralsmith.compiled.package.TableBudget", lambda: TableBudget(50))
    assert [len(parse_compiled(compiled_bytes(one)).packages) for one in (package(), other)] == [1, 1]
    with pytest.raises(MalformedModelError, match="tables"):
        parse_compiled(compiled_bytes(package(), other))


@pytest.mark.parametrize("form", ALIASED)
def test_one_part_that_is_pointed_to_often_does_not_multiply(form):
    with pytest.raises(MalformedModelError, match=r"more bytes together|more than 16,384"):
        read_package(package_options(package(ALIASED[form])))


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
