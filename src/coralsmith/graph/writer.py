"""Writes a `Graph` in the one dialect that a compiler built in 2021 reads; the writer is the legaliser.

Constants stand inline in the flatbuffer (aligned to 16 bytes, as the schema demands), both operator-code fields
are set, every operator has the lowest version with its semantics, there is one subgraph, no signature and no
metadata. Same graph, same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from coralsmith.errors import OutputError, UnsupportedModelError
from coralsmith.graph import schema as names
from coralsmith.graph.model import Array, Graph, Op, Quant, Tensor
from coralsmith.graph.operators import OPERATORS
from coralsmith.graph.versions import legal_version, lowest_version

DESCRIPTION: Final = "coralsmith"
PARTIAL_PREFIX: Final = ".partial-"  # what a file is called until it is whole
_BYTES_PER_TABLE: Final = 1024  # more than tensors and operators take, so that the builder need not grow
_BUFFER_ALIGNMENT: Final = 16  # force_align of Buffer.data in the schema


def write_tflite(graph: Graph, path: str | Path) -> int:
    """Write `graph` to `path` atomically and return the size in bytes.

    Raises:
        UnsupportedModelError: An operator needs a version that the Edge TPU compiler cannot read, or a
            tensor has no static shape.
        OutputError: The file cannot be written.
    """
    content = serialize(graph)
    write_atomically(Path(path), content)
    return len(content)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that its final name only ever bears the whole content.

    Raises:
        OutputError: No permission, a full disk, or a missing folder.
    """
    partial: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f"{PARTIAL_PREFIX}{path.name}.", delete=False
        ) as stream:
            partial = Path(stream.name)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written: {error.strerror}.") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def serialize(graph: Graph) -> bytes:
    """The bytes of `graph` as a `.tflite` file that compiler 16 reads.

    Raises:
        UnsupportedModelError: An operator needs a version that the Edge TPU compiler cannot read, or a
            tensor has no static shape.
    """
    return _Writer(graph, for_compiler=True).content()


def serialize_for_interpreter(graph: Graph) -> tuple[bytes, dict[Tensor, int]]:
    """The bytes of `graph` with no limit on operator versions, and the number of each tensor in them."""
    writer = _Writer(graph, for_compiler=False)
    return writer.content(), writer.number


class _Writer:
    def __init__(self, graph: Graph, *, for_compiler: bool) -> None:
        if for_compiler:
            _require_static(graph)
        self.graph = graph
        self.version = legal_version if for_compiler else lowest_version
        self.tensors = graph.tensors()
        self.number = {tensor: number for number, tensor in enumerate(self.tensors)}
        constants = sum(tensor.data.nbytes for tensor in self.tensors if tensor.data is not None)
        tables = _BYTES_PER_TABLE * (len(self.tensors) + len(graph.ops) + 64)
        self.builder = flatbuffers.Builder(constants + tables)
        self.buffer_number: dict[int, int] = {}

    def content(self) -> bytes:
        builder = self.builder
        buffers = self.buffers()
        codes, code_number = self.operator_codes()
        tensors = [self.tensor(tensor) for tensor in self.tensors]
        ops = [self.op(op, code_number[self.code(op)]) for op in self.graph.ops]
        subgraph = self.subgraph(tensors, ops)
        description = builder.CreateString(DESCRIPTION)
        subgraphs = self.offsets([subgraph])
        schema.ModelStart(builder)
        schema.ModelAddVersion(builder, names.SCHEMA_VERSION)
        schema.ModelAddOperatorCodes(builder, codes)
        schema.ModelAddSubgraphs(builder, subgraphs)
        schema.ModelAddDescription(builder, description)
        schema.ModelAddBuffers(builder, buffers)
        builder.Finish(schema.ModelEnd(builder), file_identifier=names.FILE_IDENTIFIER)
        return bytes(memoryview(builder.Bytes)[builder.Head() :])  # Output() would copy once more

    def offsets(self, tables: Sequence[int]) -> int:
        self.builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self.builder.PrependUOffsetTRelative(table)
        return int(self.builder.EndVector())

    def integers(self, values: Sequence[int]) -> int:
        return int(self.builder.CreateNumpyVector(np.array(values, np.int32)))

    def bytes_vector(self, content: bytes | memoryview, alignment: int) -> int:
        builder = self.builder
        builder.StartVector(1, len(content), alignment)
        builder.head = builder.head - len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        return int(builder.EndVector())

    def buffers(self) -> int:
        """All constants, each array once; buffer 0 is empty, as the schema demands."""
        arrays: dict[int, Array] = {}
        for tensor in self.tensors:
            if tensor.data is not None:
                arrays.setdefault(id(tensor.data), tensor.data)
        tables = [self.buffer(None)]
        for key, array in arrays.items():
            self.buffer_number[key] = len(tables)
            tables.append(self.buffer(array))
        return self.offsets(tables)

    def buffer(self, array: Array | None) -> int:
        data = None
        if array is not None:
            little_endian = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            data = self.bytes_vector(little_endian.reshape(-1).view(np.uint8).data, _BUFFER_ALIGNMENT)
        schema.BufferStart(self.builder)
        if data is not None:
            schema.BufferAddData(self.builder, data)
        return int(schema.BufferEnd(self.builder))

    def code(self, op: Op) -> tuple[str, str, int]:
        return op.kind, op.custom_code, 1 if op.kind == "CUSTOM" else self.version(op)

    def operator_codes(self) -> tuple[int, dict[tuple[str, str, int], int]]:
        builder = self.builder
        number = {code: i for i, code in enumerate(dict.fromkeys(self.code(op) for op in self.graph.ops))}
        tables = []
        for kind, custom_code, version in number:
            custom = builder.CreateString(custom_code) if custom_code else None
            builtin = names.OPERATOR_CODES[kind]
            schema.OperatorCodeStart(builder)
            schema.OperatorCodeAddDeprecatedBuiltinCode(builder, min(builtin, names.PLACEHOLDER_CODE))
            if custom is not None:
                schema.OperatorCodeAddCustomCode(builder, custom)
            schema.OperatorCodeAddVersion(builder, version)
            schema.OperatorCodeAddBuiltinCode(builder, builtin)
            tables.append(schema.OperatorCodeEnd(builder))
        return self.offsets(tables), number

    def tensor(self, tensor: Tensor) -> int:
        builder = self.builder
        name = builder.CreateString(tensor.name)
        shape = self.integers(tensor.shape)
        quant = self.quant(tensor.quant) if tensor.quant is not None else None
        signature = self.integers(tensor.shape_signature) if tensor.shape_signature else None
        schema.TensorStart(builder)
        schema.TensorAddShape(builder, shape)
        schema.TensorAddType(builder, names.TENSOR_TYPES[np.dtype(tensor.dtype.newbyteorder("="))])
        if tensor.data is not None:
            schema.TensorAddBuffer(builder, self.buffer_number[id(tensor.data)])
        if signature is not None:
            schema.TensorAddShapeSignature(builder, signature)
        schema.TensorAddName(builder, name)
        if quant is not None:
            schema.TensorAddQuantization(builder, quant)
        schema.TensorAddIsVariable(builder, tensor.is_variable)
        return int(schema.TensorEnd(builder))

    def quant(self, quant: Quant) -> int:
        builder = self.builder
        scale = builder.CreateNumpyVector(quant.scale.astype(np.float32))
        zero_point = builder.CreateNumpyVector(quant.zero_point.astype(np.int64))
        schema.QuantizationParametersStart(builder)
        schema.QuantizationParametersAddScale(builder, scale)
        schema.QuantizationParametersAddZeroPoint(builder, zero_point)
        schema.QuantizationParametersAddQuantizedDimension(builder, quant.axis)
        return int(schema.QuantizationParametersEnd(builder))

    def op(self, op: Op, code_number: int) -> int:
        builder = self.builder
        inputs = self.integers([-1 if tensor is None else self.number[tensor] for tensor in _padded(op)])
        outputs = self.integers([self.number[tensor] for tensor in op.outputs])
        table, options = self.options(op)
        custom = self.bytes_vector(op.custom_options, 4) if op.custom_options else None
        inner = self.integers([self.number[t] for t in op.intermediates]) if op.intermediates else None
        schema.OperatorStart(builder)
        schema.OperatorAddOpcodeIndex(builder, code_number)
        schema.OperatorAddInputs(builder, inputs)
        schema.OperatorAddOutputs(builder, outputs)
        if options is not None:
            schema.OperatorAddBuiltinOptionsType(builder, names.OPTIONS_CODES[table])
            schema.OperatorAddBuiltinOptions(builder, options)
        if custom is not None:
            schema.OperatorAddCustomOptions(builder, custom)
        if inner is not None:
            schema.OperatorAddIntermediates(builder, inner)
        return int(schema.OperatorEnd(builder))

    def options(self, op: Op) -> tuple[str, int | None]:
        """The options table and its name; none for an operator without attributes, as converters write it."""
        table = op.options_table
        if table is None and op.attributes:
            table = OPERATORS[op.kind].options
        if table is None:
            return "", None
        options: Any = getattr(schema, table + "T")()
        fields = names.attribute_fields(table)
        for attribute, value in op.attributes.items():
            setattr(options, fields[attribute], names.from_attribute(attribute, value))
        return table, int(options.Pack(self.builder))

    def subgraph(self, tensors: list[int], ops: list[int]) -> int:
        builder = self.builder
        tensor_vector, op_vector = self.offsets(tensors), self.offsets(ops)
        inputs = self.integers([self.number[tensor] for tensor in self.graph.inputs])
        outputs = self.integers([self.number[tensor] for tensor in self.graph.outputs])
        name = builder.CreateString("main")
        schema.SubGraphStart(builder)
        schema.SubGraphAddTensors(builder, tensor_vector)
        schema.SubGraphAddInputs(builder, inputs)
        schema.SubGraphAddOutputs(builder, outputs)
        schema.SubGraphAddOperators(builder, op_vector)
        schema.SubGraphAddName(builder, name)
        return int(schema.SubGraphEnd(builder))


def _require_static(graph: Graph) -> None:
    dynamic = [tensor for tensor in graph.tensors() if tensor.shape_signature]
    if dynamic:
        raise UnsupportedModelError(
            f"'{dynamic[0].name}' and {len(dynamic) - 1} other tensors have no static shape.",
            hint="The Edge TPU compiler needs static shapes: `coralsmith convert` fixes the batch to 1.",
        )


def _padded(op: Op) -> list[Tensor | None]:
    """The inputs, a missing bias of FULLY_CONNECTED said as such: leaving it out would need version 6."""
    missing = 3 - len(op.inputs) if op.kind == "FULLY_CONNECTED" else 0
    return op.inputs + [None] * missing
