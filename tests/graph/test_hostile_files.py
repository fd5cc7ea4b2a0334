"""Whatever bytes the reader is given, it answers with a graph or a typed error, in bounded time and memory."""

from __future__ import annotations

import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coralsmith.errors import InputError, MalformedModelError
from coralsmith.graph import Graph, Quant
from coralsmith.graph.reader import parse_tflite
from coralsmith.graph.writer import serialize
from tests.builders import activation, constant, graph, op
from tests.graph.files import pack, unpack

MEBIBYTE = 1 << 20


def model_of_many_parts() -> Graph:
    """A small graph with vectors, strings, enumerations, scales and an input left out."""
    quant = Quant.per_tensor(0.5, 3)
    source = activation("input", (1, 4, 4, 3), np.int8, quant)
    pool_options = {"stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2}
    pool = op("MAX_POOL_2D", [source], "pool", padding="SAME", **pool_options)
    flat = op("RESHAPE", [pool.output, constant("shape", [1, -1], np.int32)], "flat", new_shape=(1, -1))
    weights = constant(
        "weights", np.ones((2, 12)), np.int8, Quant(np.ones(2, np.float32), np.zeros(2, np.int64), 0)
    )
    dense = op(
        "FULLY_CONNECTED", [flat.output, weights, None], "dense", weights_format="DEFAULT", keep_num_dims=False
    )
    return graph([pool, flat, dense], [source])


VALID = serialize(model_of_many_parts())
many = settings(max_examples=300, deadline=None)


def assert_typed(content: bytes) -> None:
    """Reading gives a graph or an error of the input family; anything else fails the test by itself."""
    try:
        parse_tflite(content)
    except InputError as error:
        assert error.message


@many
@given(st.integers(0, len(VALID) - 1))
@example(8)
def test_truncated(length):
    assert_typed(VALID[:length])


@many
@given(st.lists(st.integers(0, 8 * len(VALID) - 1), min_size=1, max_size=4))
def test_flipped_bits(bits):
    content = bytearray(VALID)
    for bit in bits:
        content[bit // 8] ^= 1 << bit % 8
    assert_typed(bytes(content))


@many
@given(
    st.integers(0, len(VALID) // 4 - 1),
    st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2**31, 2**32 - 1, len(VALID)]),
)
def test_any_word_in_any_place(place, word):
    content = bytearray(VALID)
    struct.pack_into("<I", content, 4 * place, word)
    assert_typed(bytes(content))


@many
@given(st.binary(max_size=200))
def test_random_bytes_behind_the_identifier(noise):
    assert_typed(b"\x08\0\0\0TFL3" + noise)


def bounded(content: bytes) -> MalformedModelError:
    """The error of a file that would take time or memory out of all proportion; it may take neither."""
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(InputError) as caught:
        parse_tflite(content)
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10  # far from what the attack is after, whatever the machine
    assert peak < 64 * MEBIBYTE
    return caught.value


def file_of_copies(
    *,
    tensors: int = 1,
    operators: int = 1,
    shape: tuple[int, ...] = (1, 4),
    name: str = "tensor",
    options: bytes = b"",
    code: int = schema.BuiltinOperator.CUSTOM,
) -> bytes:
    """A file whose vectors of tensors and operators name one table again and again: four bytes a copy."""
    builder = flatbuffers.Builder(1024)
    buffers = _vector(builder, [_table(builder, schema.BufferStart, schema.BufferEnd)])
    title, dimensions = builder.CreateString(name), builder.CreateNumpyVector(np.array(shape, np.int32))
    schema.TensorStart(builder)
    schema.TensorAddName(builder, title)
    schema.TensorAddShape(builder, dimensions)
    tensor_vector = _vector(builder, [schema.TensorEnd(builder)] * tensors)
    number, custom = builder.CreateNumpyVector(np.array([0], np.int32)), builder.CreateByteVector(options)
    schema.OperatorStart(builder)
    schema.OperatorAddInputs(builder, number)
    schema.OperatorAddOutputs(builder, number)
    schema.OperatorAddCustomOptions(builder, custom)
    operator_vector = _vector(builder, [schema.OperatorEnd(builder)] * operators)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensor_vector)
    schema.SubGraphAddOperators(builder, operator_vector)
    subgraphs = _vector(builder, [schema.SubGraphEnd(builder)])
    schema.OperatorCodeStart(builder)
    schema.OperatorCodeAddBuiltinCode(builder, code)
    codes = _vector(builder, [schema.OperatorCodeEnd(builder)])
    schema.ModelStart(builder)
    schema.ModelAddBuffers(builder, buffers)
    schema.ModelAddSubgraphs(builder, subgraphs)
    schema.ModelAddOperatorCodes(builder, codes)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, start: Callable[[Any], None], end: Callable[[Any], int]) -> int:
    start(builder)
    return end(builder)


def _vector(builder: flatbuffers.Builder, tables: list[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in tables:
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()


class TestSharing:
    """Tables and vectors may be shared, so a small file can describe an endless model."""

    def test_a_long_name_cannot_be_given_to_every_tensor(self):
        """4 GB of names in a file of 1.1 MB."""
        assert "bytes of text" in bounded(file_of_copies(tensors=4_000, name="n" * MEBIBYTE)).message

    def test_long_options_cannot_be_given_to_every_operator(self):
        error = bounded(file_of_copies(operators=4_000, options=bytes(MEBIBYTE)))
        assert "bytes of options" in error.message

    @pytest.mark.slow
    def test_a_long_name_cannot_stand_in_every_violation(self):
        """Each of 4,000 operators breaks a rule, and each message would hold a megabyte."""
        assert "is not a valid model" in bounded(file_of_copies(operators=4_000, name="n" * MEBIBYTE)).message

    @pytest.mark.parametrize("what", ["tensors", "operators"])
    def test_there_are_not_endlessly_many(self, what):
        assert f"it claims 17000 {what}" in bounded(file_of_copies(**{what: 17_000})).message

    def test_a_reason_stays_readable_whatever_the_names(self):
        assert len(bounded(file_of_copies(operators=2, name="n" * MEBIBYTE)).message) < 500


class TestShapes:
    @pytest.mark.parametrize("shape", [(1 << 31,), (-1,), (0,) * 9, (1,) * 9])
    def test_absurd_shapes_are_damage(self, shape):
        wrapped = tuple(np.array(shape).astype(np.int32).tolist())
        assert "has the shape" in bounded(file_of_copies(shape=wrapped)).message

    @pytest.mark.slow
    def test_a_shape_of_a_million_dimensions_is_not_multiplied_out(self):
        bounded(file_of_copies(shape=((1 << 31) - 1,) * 1_000_000))


def changed(change: Callable[[Any], object]) -> bytes:
    """The valid file after a change of its objects."""
    model = unpack(VALID)
    change(model)
    return pack(model)


MEANINGLESS: dict[str, Callable[[Any], object]] = {
    "a tensor that does not exist": lambda m: setattr(m.subgraphs[0].operators[0], "inputs", [99]),
    "an input before the first": lambda m: setattr(m.subgraphs[0].operators[0], "inputs", [-2]),
    "an output left out": lambda m: setattr(m.subgraphs[0].operators[0], "outputs", [-1]),
    "a graph input before the first": lambda m: setattr(m.subgraphs[0], "inputs", [-1]),
    "a graph output that does not exist": lambda m: setattr(m.subgraphs[0], "outputs", [99]),
    "an operator code that does not exist": lambda m: setattr(m.subgraphs[0].operators[0], "opcodeIndex", 9),
    "a buffer that does not exist": lambda m: setattr(m.subgraphs[0].tensors[0], "buffer", 99),
    "no buffers": lambda m: setattr(m, "buffers", []),
    "a scale that is no number": lambda m: setattr(
        m.subgraphs[0].tensors[0].quantization, "scale", [float("nan")]
    ),
    "a stride of 0": lambda m: setattr(m.subgraphs[0].operators[0].builtinOptions, "strideH", 0),
    "an endless window": lambda m: setattr(m.subgraphs[0].operators[0].builtinOptions, "filterWidth", -1),
    "a dimension of 0": lambda m: setattr(m.subgraphs[0].tensors[0], "shape", [1, 0, 4, 3]),
    "a scale for a dimension that is not there": lambda m: setattr(
        next(t.quantization for t in m.subgraphs[0].tensors if t.name == b"weights"), "quantizedDimension", 1 << 30
    ),
}


@pytest.mark.parametrize("what", MEANINGLESS)
def test_what_makes_no_sense_is_damage(what):
    with pytest.raises(MalformedModelError):
        parse_tflite(changed(MEANINGLESS[what]))


def places(what: str) -> list[int]:
    """Where the root, the vtables and the vector lengths of the valid file lie."""
    model = schema.Model.GetRootAs(VALID, 0)
    main = model.Subgraphs(0)
    tables = [
        model._tab,
        main._tab,
        *(main.Tensors(i)._tab for i in range(3)),
        *(main.Operators(i)._tab for i in range(3)),
    ]
    if what == "vtable":
        return [table.Pos for table in tables]
    if what == "root":
        return [0]
    fields = [(model._tab, 4), (model._tab, 8), (model._tab, 12), (main._tab, 4), (main._tab, 6), (main._tab, 8)]
    fields += [(main.Tensors(i)._tab, 4) for i in range(3)] + [(main.Operators(i)._tab, 6) for i in range(3)]
    return [table.Vector(table.Offset(field)) - 4 for table, field in fields]


@pytest.mark.parametrize("what", ["root", "vtable", "length"])
@pytest.mark.parametrize("value", [0, 4, -4, 1 << 20, -(1 << 20), (1 << 31) - 1, -(1 << 31), -1])
def test_roots_vtables_and_lengths_that_lead_astray(what, value):
    """Into cycles, in front of the file, behind it, and to more elements than there are bytes."""
    for place in places(what):
        content = bytearray(VALID)
        struct.pack_into("<i", content, place, value)
        assert_typed(bytes(content))


def test_the_valid_file_is_read():
    assert len(parse_tflite(VALID).ops) == 3
