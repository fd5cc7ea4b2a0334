"""A model gets metadata and plain output order, and nothing else of its file changes, least of all the program."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from coralsmith.deploy.deployable import plain_order
from coralsmith.deploy.model_file import with_metadata
from coralsmith.errors import CoralsmithError, MalformedModelError, UnsupportedModelError
from coralsmith.graph import Graph
from coralsmith.graph.flatbuffer import Table
from coralsmith.graph.interpreter import load_interpreter
from coralsmith.graph.reader import parse_tflite
from coralsmith.graph.writer import serialize
from tests.deploy.pixel_detector import compiled_stand_in, decoding_graph, noise

METADATA = b"\x10\0\0\0M001 some metadata"
FILES = {"labels.txt": b"left\nright\n"}


def rewritten(content: bytes, order: tuple[int, ...] | None = None) -> bytes:
    return with_metadata(content, METADATA, FILES, order)


def form(graph: Graph) -> list[object]:
    """All that a graph is, as values that can be compared."""
    number = {tensor: index for index, tensor in enumerate(graph.tensors())}
    tensors = [
        (t.name, t.shape, str(t.dtype), None if t.data is None else t.data.tobytes(), repr(t.quant))
        for t in graph.tensors()
    ]
    ops = [
        (
            op.kind,
            op.custom_code,
            op.custom_options,
            op.attributes,
            op.version,
            [None if tensor is None else number[tensor] for tensor in op.inputs],
            [number[tensor] for tensor in op.outputs],
        )
        for op in graph.ops
    ]
    return [tensors, ops, [number[tensor] for tensor in (*graph.inputs, *graph.outputs)]]


def metadata_entries(content: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of the metadata, by a reader that shares no code with the writer."""
    model = Table.root(memoryview(content), b"TFL3")
    buffers = model.tables(4)
    return [(entry.text(0), bytes(buffers[entry.integer(1, "<I")].content(0))) for entry in model.tables(6)]


def outputs_for(content: bytes, pixels: np.ndarray) -> dict[str, np.ndarray]:
    interpreter = load_interpreter(content)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None])
    interpreter.invoke()
    return {o["name"]: interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()}


@pytest.mark.parametrize("make", [decoding_graph, compiled_stand_in])
def test_the_old_file_stands_in_the_new_one_byte_by_byte(make: type[Graph]) -> None:
    old = serialize(make())
    new = rewritten(old)
    at = new.index(old[8:]) - 8
    assert at % 64 == 0, "what was aligned no longer is"
    assert form(parse_tflite(new)) == form(parse_tflite(old))


def test_the_program_of_a_real_compiled_model_is_untouched(shared: Path) -> None:
    path = shared / "edgetpu/pairs/libredge__bright_64x64/model_edgetpu.tflite"
    old = path.read_bytes()
    new = rewritten(old)
    assert old in new[:-100]
    programs = [
        [op.custom_options for op in parse_tflite(content).ops if op.custom_code] for content in (old, new)
    ]
    assert programs[0] == programs[1] and len(programs[0][0]) > 1000
    assert form(parse_tflite(new)) == form(parse_tflite(old))


@pytest.mark.slow
def test_every_published_compiled_model_keeps_its_program(shared: Path) -> None:
    paths = sorted(shared.glob("edgetpu/*/*/*_edgetpu.tflite"))
    assert len(paths) > 20
    for path in paths:
        old = path.read_bytes()
        new = rewritten(old)
        assert form(parse_tflite(new)) == form(parse_tflite(old)), path
        assert [name for name, _ in metadata_entries(new)].count("TFLITE_METADATA") == 1, path


def test_the_interpreter_computes_the_same() -> None:
    old = serialize(decoding_graph())
    before, after = outputs_for(old, noise(1)), outputs_for(rewritten(old), noise(1))
    assert list(before) == list(after)
    count = int(before["num_detections"][0])
    assert count > 0
    for name, value in before.items():
        np.testing.assert_array_equal(after[name].reshape(-1)[:count], value.reshape(-1)[:count])


def test_the_metadata_is_an_entry_of_the_model_and_the_files_are_an_archive_behind_it() -> None:
    new = rewritten(serialize(decoding_graph()))
    assert metadata_entries(new) == [("TFLITE_METADATA", METADATA)]
    with zipfile.ZipFile(io.BytesIO(new)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt") == FILES["labels.txt"]
        member = archive.infolist()[0]
        assert member.compress_type == zipfile.ZIP_STORED
    assert new[member.header_offset :].startswith(b"PK\x03\x04"), "positions count from the start of the file"


def test_the_same_model_makes_the_same_bytes() -> None:
    content = serialize(decoding_graph())
    assert rewritten(content) == rewritten(content)


def test_metadata_that_is_there_already_is_replaced_with_its_files() -> None:
    once = with_metadata(serialize(decoding_graph()), b"old metadata", {"old.txt": b"old"})
    twice = rewritten(once)
    assert metadata_entries(twice) == [("TFLITE_METADATA", METADATA)]
    with zipfile.ZipFile(io.BytesIO(twice)) as archive:
        assert archive.namelist() == ["labels.txt"]
    assert form(parse_tflite(twice)) == form(parse_tflite(serialize(decoding_graph())))


def test_other_entries_stay() -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(serialize(decoding_graph()), 0))
    entry = schema.MetadataT()
    entry.name, entry.buffer = "min_runtime_version", len(model.buffers)
    buffer = schema.BufferT()
    buffer.data = list(b"1.14.0")
    model.buffers.append(buffer)
    model.metadata = [entry]
    found = metadata_entries(rewritten(packed(model)))
    assert found == [("min_runtime_version", b"1.14.0"), ("TFLITE_METADATA", METADATA)]


def test_signatures_are_left_out_so_that_hosts_read_by_position() -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(serialize(decoding_graph()), 0))
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.inputs, signature.outputs = "serving_default", [], []
    model.signatureDefs = [signature]
    content = packed(model)
    assert parse_tflite(content).facts.signatures == 1
    assert parse_tflite(rewritten(content)).facts.signatures == 0


def test_outputs_in_the_order_of_tf2_exports_are_put_into_plain_order() -> None:
    graph = decoding_graph()
    boxes, classes, scores, count = graph.outputs
    graph.outputs = [scores, boxes, count, classes]
    order = plain_order(graph)
    assert order == (1, 3, 0, 2)
    content = serialize(graph)
    new = rewritten(content, order)
    assert [t.name for t in parse_tflite(new).outputs] == [t.name for t in (boxes, classes, scores, count)]
    assert list(outputs_for(new, noise(2))) == [t.name for t in (boxes, classes, scores, count)]
    start = new.index(content[-256:]) + 256 - len(content)
    changed = sum(a != b for a, b in zip(content[8:], new[start + 8 :], strict=False))
    assert 0 < changed <= 16, "more than the four numbers of the output list changed"


def test_a_model_with_constants_behind_it_is_refused() -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(serialize(decoding_graph()), 0))
    number = next(i for i, buffer in enumerate(model.buffers) if buffer.data is not None and len(buffer.data))
    data = bytes(model.buffers[number].data)
    model.buffers[number].data, model.buffers[number].offset, model.buffers[number].size = None, 2, len(data)
    end = len(packed(model))
    model.buffers[number].offset = end
    with pytest.raises(UnsupportedModelError, match="behind the flatbuffer"):
        rewritten(packed(model) + data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_end_in_a_named_error_or_in_a_valid_model(seed: int) -> None:
    random = np.random.default_rng(seed)
    content = serialize(decoding_graph())
    for _ in range(250):
        damaged = bytearray(content)
        for place in random.integers(8, len(content), 3):
            damaged[place] = random.choice([0, 1, 127, 128, 255, int(random.integers(256))])
        try:
            outputs = len(parse_tflite(bytes(damaged)).outputs)
            parse_tflite(rewritten(bytes(damaged), tuple(reversed(range(outputs)))))
        except CoralsmithError:
            continue


def test_an_endless_list_of_buffers_is_an_error_at_once() -> None:
    content = bytearray(serialize(decoding_graph()))
    model = schema.Model.GetRootAs(content, 0)
    start = model._tab.Vector(model._tab.Offset(12))
    content[start - 4 : start] = (1 << 30).to_bytes(4, "little")
    with pytest.raises(MalformedModelError, match="list of buffers"):
        rewritten(bytes(content))


def packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
