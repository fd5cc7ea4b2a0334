"""Reads any `.tflite` file into a `Graph`, with every access to the file's bytes bounded.

The generated schema code checks nothing, so this reader counts: no vector may be longer than the file, and all
vectors together may not have more elements than the file has bytes (tables may share vectors, so that without
the count a small file could describe an endless one).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from coralsmith.errors import InputError, MalformedModelError, UnsupportedModelError
from coralsmith.graph import schema as names
from coralsmith.graph.model import Array, Attribute, FileFacts, Graph, Op, Quant, Tensor
from coralsmith.graph.verify import violations

MAX_FILE_BYTES: Final = 1 << 30
MAX_TABLES: Final = 100_000
MAX_TENSOR_BYTES: Final = 1 << 31
_DAMAGE: Final = (struct.error, IndexError, ValueError, TypeError, OverflowError, KeyError, AttributeError)


def read_tflite(path: str | Path) -> Graph:
    """Read a `.tflite` file.

    Raises:
        InputError: The file is missing, unreadable or larger than 1 GiB.
        MalformedModelError: Its bytes are not a valid model.
        UnsupportedModelError: It uses control flow or types that coralsmith has no form for.
    """
    path = Path(path).expanduser()
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"'{path}' is larger than 1 GiB, more than any model for the Edge TPU.")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from error
    return parse_tflite(content, str(path))


def parse_tflite(content: bytes, origin: str = "the model") -> Graph:
    """Read the bytes of a `.tflite` file; `origin` names them in errors. Raises like `read_tflite`."""
    if len(content) < 8 or content[4:8] != names.FILE_IDENTIFIER:
        raise MalformedModelError(
            f"{origin} is not a TensorFlow Lite model: the file identifier TFL3 is missing.",
            hint="A download that was cut short, or a file of another kind, looks like this.",
        )
    try:
        graph = _Reader(content).graph()
    except _DAMAGE as error:
        raise MalformedModelError(
            f"{origin} is damaged: {error}.", hint="Export or download the model again."
        ) from error
    broken = violations(graph)
    if broken:
        raise MalformedModelError(f"{origin} is not a valid model: {broken[0]}.")
    return graph


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.budget = len(content)
        self.model = schema.Model.GetRootAs(content, 0)
        self.external_constants = 0

    def count(self, length: int, what: str, limit: int | None = None) -> int:
        """Charge the elements of a vector to the budget, and return their number."""
        self.budget -= length
        if length < 0 or self.budget < 0 or length > (limit or len(self.content)):
            raise ValueError(f"it claims {length} {what}")
        return length

    def graph(self) -> Graph:
        subgraphs = self.count(self.model.SubgraphsLength(), "subgraphs", MAX_TABLES)
        if subgraphs == 0:
            raise ValueError("it holds no graph")
        main = self.model.Subgraphs(0)
        tensors = self.tensors(main)
        ops = self.ops(main, tensors)
        if subgraphs > 1:
            self.refuse_control_flow(ops)
        inputs = [tensors[i] for i in self.indices(main.InputsLength(), main.Inputs)]
        outputs = [tensors[i] for i in self.indices(main.OutputsLength(), main.Outputs)]
        return Graph(ops, inputs, outputs, self.facts(subgraphs))

    def refuse_control_flow(self, ops: list[Op]) -> None:
        control = sorted({op.kind for op in ops} & {"IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_COMPOSITE"})
        if control:
            raise UnsupportedModelError(
                f"The model uses control flow ({', '.join(control)}), which the Edge TPU cannot run.",
                hint="Export the network without loops, conditions and variables (inference mode).",
            )

    def indices(self, length: int, item: Any) -> list[int]:
        """A vector of tensor numbers; -1 stands for an input left out."""
        return [int(item(j)) for j in range(self.count(length, "tensor numbers"))]

    def tensors(self, main: Any) -> list[Tensor]:
        buffers: dict[tuple[int, str, tuple[int, ...]], Array] = {}
        length = self.count(main.TensorsLength(), "tensors", MAX_TABLES)
        return [self.tensor(main.Tensors(i), buffers) for i in range(length)]

    def tensor(self, table: Any, buffers: dict[tuple[int, str, tuple[int, ...]], Array]) -> Tensor:
        name = (table.Name() or b"").decode("utf-8", "replace")
        type_number = table.Type()
        if type_number not in names.NUMPY_TYPES:
            type_name = names.TYPE_NAMES.get(type_number, f"type {type_number}")
            raise UnsupportedModelError(f"Tensor '{name}' has the element type {type_name}.")
        if table.Sparsity() is not None:
            raise UnsupportedModelError(
                f"Tensor '{name}' is stored as a sparse matrix.", hint="Export the model without sparsity."
            )
        dtype = names.NUMPY_TYPES[type_number]
        shape = tuple(self.indices(table.ShapeLength(), table.Shape))
        signature = tuple(self.indices(table.ShapeSignatureLength(), table.ShapeSignature))
        elements = 1
        for size in shape:
            elements *= size
        if min(shape, default=0) < 0 or elements * dtype.itemsize > MAX_TENSOR_BYTES:
            raise ValueError(f"tensor '{name}' has the shape {list(shape)}")
        data = self.constant(table.Buffer(), dtype, shape, elements, buffers)
        return Tensor(
            name,
            shape,
            dtype,
            data,
            self.quant(table.Quantization(), name),
            bool(table.IsVariable()),
            signature if -1 in signature else None,
        )

    def constant(
        self,
        number: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        elements: int,
        buffers: dict[tuple[int, str, tuple[int, ...]], Array],
    ) -> Array | None:
        """The constant behind a buffer number, or None for an activation."""
        if number >= self.model.BuffersLength():
            raise ValueError(f"buffer {number} does not exist")
        key = (number, dtype.str, shape)
        if number == 0 or key in buffers:
            return buffers.get(key)
        content = self.buffer_content(number)
        if not content and elements:
            return None
        if len(content) != elements * dtype.itemsize:
            raise ValueError(f"buffer {number} has {len(content)} bytes for the shape {list(shape)}")
        if dtype == np.bool_ and content.strip(b"\x00\x01"):
            raise ValueError(f"buffer {number} holds truth values other than 0 and 1")
        data = np.frombuffer(content, dtype.newbyteorder("<")).reshape(shape)
        data.flags.writeable = False
        buffers[key] = data
        return data

    def buffer_content(self, number: int) -> bytes:
        """The bytes of a buffer, whether inline or (newer converters) stored behind the flatbuffer."""
        buffer = self.model.Buffers(number)
        length = self.count(buffer.DataLength(), "bytes of constants")
        if length:
            start = buffer._tab.Vector(buffer._tab.Offset(4))
            return self.content[start : start + length]
        offset, size = buffer.Offset(), buffer.Size()
        if offset <= 1:  # the schema reserves 0 and 1 for "no external data"
            return b""
        if offset + size > len(self.content):
            raise ValueError(f"buffer {number} lies beyond the end of the file")
        self.count(size, "bytes of constants")
        self.external_constants += 1
        return self.content[offset : offset + size]

    def quant(self, table: Any, tensor: str) -> Quant | None:
        if table is None or table.ScaleLength() == 0:
            return None
        scales = self.count(table.ScaleLength(), "scales")
        zeros = self.count(table.ZeroPointLength(), "zero points")
        scale = np.array([table.Scale(j) for j in range(scales)], np.float32)
        zero_point = np.array([table.ZeroPoint(j) for j in range(zeros)], np.int64)
        if zeros == 0:
            zero_point = np.zeros(scales, np.int64)
        if zero_point.size == 1:
            zero_point = np.repeat(zero_point, scales)
        if zero_point.size != scales:
            raise ValueError(f"tensor '{tensor}' has {scales} scales and {zeros} zero points")
        return Quant(scale, zero_point, int(table.QuantizedDimension()))

    def ops(self, main: Any, tensors: list[Tensor]) -> list[Op]:
        codes = self.operator_codes()
        length = self.count(main.OperatorsLength(), "operators", MAX_TABLES)
        return [self.op(main.Operators(i), codes, tensors) for i in range(length)]

    def operator_codes(self) -> list[tuple[str, str, int]]:
        length = self.count(self.model.OperatorCodesLength(), "operator codes", MAX_TABLES)
        return [self.operator_code(self.model.OperatorCodes(i)) for i in range(length)]

    def operator_code(self, table: Any) -> tuple[str, str, int]:
        """Kind, custom code and version. The old one-byte field counts only where the new one is empty."""
        number = max(table.BuiltinCode(), table.DeprecatedBuiltinCode())
        if number not in names.OPERATOR_NAMES:
            raise UnsupportedModelError(
                f"The model uses builtin operator {number}, which is newer than this version of coralsmith."
            )
        custom = (table.CustomCode() or b"").decode("utf-8", "replace")
        return names.OPERATOR_NAMES[number], custom, int(table.Version())

    def op(self, table: Any, codes: list[tuple[str, str, int]], tensors: list[Tensor]) -> Op:
        kind, custom_code, version = codes[table.OpcodeIndex()]
        if table.BuiltinOptions2Type():
            raise UnsupportedModelError(f"The model uses {kind}, an operator newer than the Edge TPU compiler.")
        inputs = self.indices(table.InputsLength(), table.Inputs)
        outputs = self.indices(table.OutputsLength(), table.Outputs)
        intermediates = self.indices(table.IntermediatesLength(), table.Intermediates)
        if min((*outputs, *intermediates), default=0) < 0 or min(inputs, default=0) < -1:
            raise ValueError(f"a {kind} refers to a tensor with a negative number")
        options_table, attributes = self.attributes(table)
        return Op(
            kind,
            [None if i == -1 else tensors[i] for i in inputs],
            [tensors[i] for i in outputs],
            attributes,
            custom_code,
            self.custom_options(table),
            version,
            [tensors[i] for i in intermediates],
            options_table,
        )

    def attributes(self, table: Any) -> tuple[str | None, dict[str, Attribute]]:
        number = table.BuiltinOptionsType()
        options = table.BuiltinOptions()
        if number == 0 or options is None:
            return None, {}
        name = names.OPTIONS_NAMES[number]
        accessor = getattr(schema, name)()
        accessor.Init(options.Bytes, options.Pos)
        for method in dir(accessor):
            if method.endswith("Length"):
                self.count(getattr(accessor, method)(), f"elements of {name}")
        unpacked = getattr(schema, name + "T").InitFromObj(accessor)
        fields = names.attribute_fields(name)
        return name, {
            attribute: names.to_attribute(attribute, getattr(unpacked, field))
            for attribute, field in fields.items()
        }

    def custom_options(self, table: Any) -> bytes:
        length = self.count(table.CustomOptionsLength(), "bytes of options")
        if length:
            start = table._tab.Vector(table._tab.Offset(14))
            return self.content[start : start + length]
        offset, size = table.LargeCustomOptionsOffset(), table.LargeCustomOptionsSize()
        if offset <= 1:
            return b""
        if offset + size > len(self.content):
            raise ValueError("the options of a custom operator lie beyond the end of the file")
        self.count(size, "bytes of options")
        return self.content[offset : offset + size]

    def facts(self, subgraphs: int) -> FileFacts:
        entries = self.count(self.model.MetadataLength(), "metadata entries", MAX_TABLES)
        codes = [self.model.OperatorCodes(i) for i in range(self.model.OperatorCodesLength())]
        return FileFacts(
            self.external_constants,
            subgraphs,
            self.count(self.model.SignatureDefsLength(), "signatures", MAX_TABLES),
            tuple((self.model.Metadata(i).Name() or b"").decode("utf-8", "replace") for i in range(entries)),
            (self.model.Description() or b"").decode("utf-8", "replace"),
            tuple(
                names.OPERATOR_NAMES[code.BuiltinCode()]
                for code in codes
                if code.DeprecatedBuiltinCode() != min(code.BuiltinCode(), names.PLACEHOLDER_CODE)
                and code.BuiltinCode()
            ),
        )
