"""Reads any `.tflite` file into a `Graph`, with every access to the file's bytes bounded.

The generated schema code checks little, so this reader counts: strings and vectors may not have more elements
together than the file has bytes (tables may share them, so that without the count a small file could describe an
endless one). Constants are views of the file's bytes and cost nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from coralsmith.errors import InputError, MalformedModelError, UnsupportedModelError
from coralsmith.graph import schema as names
from coralsmith.graph.model import Array, Attribute, FileFacts, Graph, Op, Quant, Tensor
from coralsmith.graph.verify import MAX_RANK, violations

MAX_FILE_BYTES: Final = 1 << 30
MAX_TABLES: Final = 1 << 14
_LONGEST_REASON: Final = 400
_DAMAGE: Final = (struct.error, IndexError, ValueError, TypeError, OverflowError, KeyError, AttributeError)
_CONTROL_FLOW: Final = frozenset({"IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_COMPOSITE"})


def read_tflite(path: str | Path) -> Graph:
    """Read a `.tflite` file.

    Raises:
        InputError: The file is missing, unreadable or larger than 1 GiB.
        MalformedModelError: Its bytes are not a valid model.
        UnsupportedModelError: It uses control flow or types that coralsmith has no form for.
    """
    return parse_tflite(read_file(path), str(Path(path).expanduser()))


def read_file(path: str | Path) -> bytes:
    """The bytes of a model file.

    Raises:
        InputError: The file is missing, unreadable or larger than 1 GiB.
    """
    try:
        path = Path(path).expanduser()
        if path.exists() and not path.is_file():
            raise InputError(f"'{path}' is not a file.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"'{path}' is larger than 1 GiB, more than any model for the Edge TPU.")
        return path.read_bytes()
    except (OSError, RuntimeError, ValueError) as error:  # the latter: an unknown ~user, a path with a null byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"'{path}' cannot be read: {reason}.") from error


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
            f"{origin} is damaged: {_in_short(error)}.", hint="Export or download the model again."
        ) from error
    for problem in violations(graph):
        raise MalformedModelError(f"{origin} is not a valid model: {_in_short(problem)}.")
    return graph


def _in_short(reason: object) -> str:
    """A reason for people; names in it may be as long as the file."""
    text = str(reason)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


def _without_weights(variable: str) -> UnsupportedModelError:
    """The error for a file that refers to variables, as some conversions of Keras 3 models silently write it."""
    return UnsupportedModelError(
        f"The model reads the variable '{variable}' (VAR_HANDLE, READ_VARIABLE): its weights are not in the file.",
        hint="TFLiteConverter.from_concrete_functions with a Keras 3 model writes such files unwarned. Give "
        "coralsmith the .keras file, or convert with model.export(folder) and from_saved_model(folder).",
    )


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.budget = len(content)
        self.model = schema.Model.GetRootAs(content, 0)
        self.external: set[int] = set()
        self.constants: dict[tuple[int, str, tuple[int, ...]], Array] = {}

    def count(self, length: int, what: str) -> int:
        """Charge the elements of a vector to the budget, and return their number."""
        self.budget -= length
        if length < 0 or self.budget < 0:
            raise ValueError(f"it claims {length} {what}")
        return length

    def tables(self, length: int, table: Callable[[int], Any], what: str) -> list[Any]:
        """The tables of a vector."""
        if self.count(length, what) > MAX_TABLES:
            raise ValueError(f"it claims {length} {what}")
        return [table(i) for i in range(length)]

    def numbers(self, length: int, vector: Callable[[], Array], what: str) -> list[Any]:
        """A vector of numbers."""
        return vector().tolist() if self.count(length, what) else []

    def text(self, content: bytes | None) -> str:
        """A string, which flatbuffers gives as bytes."""
        content = content or b""
        self.count(len(content), "bytes of text")
        return content.decode("utf-8", "replace")

    def graph(self) -> Graph:
        subgraphs = self.tables(self.model.SubgraphsLength(), self.model.Subgraphs, "subgraphs")
        if not subgraphs:
            raise ValueError("it holds no graph")
        main = subgraphs[0]
        tensors = [self.tensor(t) for t in self.tables(main.TensorsLength(), main.Tensors, "tensors")]
        ops = self.ops(main, tensors)
        inputs = self.numbers(main.InputsLength(), main.InputsAsNumpy, "inputs")
        outputs = self.numbers(main.OutputsLength(), main.OutputsAsNumpy, "outputs")
        if min((*inputs, *outputs), default=0) < 0:
            raise ValueError("its inputs or outputs refer to a tensor with a negative number")
        facts = self.facts(len(subgraphs))
        return Graph(ops, [tensors[i] for i in inputs], [tensors[i] for i in outputs], facts)

    def tensor(self, table: Any) -> Tensor:
        name = self.text(table.Name())
        type_number = table.Type()
        if type_number not in names.NUMPY_TYPES:
            type_name = names.TYPE_NAMES.get(type_number, f"type {type_number}")
            if type_name in ("RESOURCE", "VARIANT"):
                raise _without_weights(name)
            raise UnsupportedModelError(f"Tensor '{name}' has the element type {type_name}.")
        if table.Sparsity() is not None:
            raise UnsupportedModelError(
                f"Tensor '{name}' is stored as a sparse matrix.", hint="Export the model without sparsity."
            )
        dtype = names.NUMPY_TYPES[type_number]
        shape = tuple(self.numbers(table.ShapeLength(), table.ShapeAsNumpy, "dimensions"))
        signature = tuple(self.numbers(table.ShapeSignatureLength(), table.ShapeSignatureAsNumpy, "dimensions"))
        if len(shape) > MAX_RANK or min(shape, default=0) < 0:
            raise ValueError(f"tensor '{name}' has the shape {list(shape[:MAX_RANK])}")
        tensor = Tensor(name, shape, dtype, is_variable=bool(table.IsVariable()))
        tensor.data = self.constant(table.Buffer(), tensor)
        tensor.quant = self.quant(table.Quantization(), name)
        tensor.shape_signature = signature if -1 in signature else None
        return tensor

    def constant(self, number: int, tensor: Tensor) -> Array | None:
        """The value of a tensor, shared by those that look at the same bytes alike; None for an activation."""
        if number >= self.model.BuffersLength():
            raise ValueError(f"buffer {number} does not exist")
        key = (number, tensor.dtype.str, tensor.shape)
        if number == 0 or key in self.constants:
            return self.constants.get(key)
        start, size = self.place(number)
        if size == 0 and tensor.elements:
            return None
        if size != tensor.elements * tensor.dtype.itemsize:
            raise ValueError(f"buffer {number} has {size} bytes for the shape {list(tensor.shape)}")
        little_endian = tensor.dtype.newbyteorder("<")
        data = np.frombuffer(self.content, little_endian, tensor.elements, start).reshape(tensor.shape)
        if tensor.dtype == np.bool_ and self.count(size, "truth values") and data.view(np.uint8).max() > 1:
            raise ValueError(f"buffer {number} holds truth values other than 0 and 1")
        self.constants[key] = data
        return data

    def place(self, number: int) -> tuple[int, int]:
        """Where the bytes of a buffer lie: inline, or (newer converters) behind the flatbuffer."""
        buffer = self.model.Buffers(number)
        length = buffer.DataLength()
        if length:
            return buffer._tab.Vector(buffer._tab.Offset(4)), length
        offset, size = buffer.Offset(), buffer.Size()
        if offset <= 1:  # the schema reserves 0 and 1 for "no external data"
            return 0, 0
        self.external.add(number)
        return self.inside(offset, size), size

    def inside(self, offset: int, size: int) -> int:
        """The offset of bytes that lie in the file."""
        if offset + size > len(self.content):
            raise ValueError(f"{size} bytes at {offset} lie beyond the end of the file")
        return offset

    def quant(self, table: Any, tensor: str) -> Quant | None:
        if table is None or table.ScaleLength() == 0:
            return None
        scales = self.count(table.ScaleLength(), "scales")
        zeros = self.count(table.ZeroPointLength(), "zero points")
        scale = table.ScaleAsNumpy().astype(np.float32)
        zero_point = table.ZeroPointAsNumpy().astype(np.int64) if zeros else np.zeros(1, np.int64)
        if zero_point.size == 1:
            zero_point = np.repeat(zero_point, scales)
        if zero_point.size != scales:
            raise ValueError(f"tensor '{tensor}' has {scales} scales and {zeros} zero points")
        return Quant(scale, zero_point, int(table.QuantizedDimension()))

    def ops(self, main: Any, tensors: list[Tensor]) -> list[Op]:
        tables = self.tables(self.model.OperatorCodesLength(), self.model.OperatorCodes, "operator codes")
        codes = [self.operator_code(table) for table in tables]
        return [
            self.op(t, codes, tensors) for t in self.tables(main.OperatorsLength(), main.Operators, "operators")
        ]

    def operator_code(self, table: Any) -> tuple[str, str, int]:
        """Kind, custom code and version. The old one-byte field counts only where the new one is empty."""
        number = max(table.BuiltinCode(), table.DeprecatedBuiltinCode())
        if number not in names.OPERATOR_NAMES:
            raise UnsupportedModelError(
                f"The model uses builtin operator {number}, which is newer than this version of coralsmith."
            )
        return names.OPERATOR_NAMES[number], self.text(table.CustomCode()), int(table.Version())

    def op(self, table: Any, codes: list[tuple[str, str, int]], tensors: list[Tensor]) -> Op:
        kind, custom_code, version = codes[table.OpcodeIndex()]
        if kind in _CONTROL_FLOW:
            raise UnsupportedModelError(
                f"The model uses control flow ({kind}), which the Edge TPU cannot run.",
                hint="Export the network without loops, conditions and variables (inference mode).",
            )
        if table.BuiltinOptions2Type():
            raise UnsupportedModelError(f"The model uses {kind}, an operator newer than the Edge TPU compiler.")
        inputs = self.numbers(table.InputsLength(), table.InputsAsNumpy, "inputs")
        outputs = self.numbers(table.OutputsLength(), table.OutputsAsNumpy, "outputs")
        inner = self.numbers(table.IntermediatesLength(), table.IntermediatesAsNumpy, "intermediates")
        if min((*outputs, *inner), default=0) < 0 or min(inputs, default=0) < -1:
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
            [tensors[i] for i in inner],
            options_table,
        )

    def attributes(self, table: Any) -> tuple[str | None, dict[str, Attribute]]:
        number, options = table.BuiltinOptionsType(), table.BuiltinOptions()
        if number == 0 or options is None:
            return None, {}
        if number not in names.OPTIONS_NAMES:
            raise ValueError(f"it holds options of the unknown type {number}")
        name = names.OPTIONS_NAMES[number]
        accessor = getattr(schema, name)()
        accessor.Init(options.Bytes, options.Pos)
        for length in names.vector_lengths(name):
            self.count(getattr(accessor, length)(), f"elements of {name}")
        unpacked = getattr(schema, name + "T").InitFromObj(accessor)
        values = {attribute: getattr(unpacked, field) for attribute, field in names.attribute_fields(name).items()}
        return name, {
            attribute: self.text(value) if isinstance(value, bytes) else names.to_attribute(attribute, value)
            for attribute, value in values.items()
        }

    def custom_options(self, table: Any) -> bytes:
        """The options of a custom operator: inline, or behind the flatbuffer."""
        length = table.CustomOptionsLength()
        if length:
            start = table._tab.Vector(table._tab.Offset(14))
        else:
            start, length = table.LargeCustomOptionsOffset(), table.LargeCustomOptionsSize()
        if start <= 1:  # as for buffers
            return b""
        self.count(length, "bytes of options")
        return self.content[self.inside(start, length) : start + length]

    def facts(self, subgraphs: int) -> FileFacts:
        codes = [self.model.OperatorCodes(i) for i in range(self.model.OperatorCodesLength())]
        metadata = self.tables(self.model.MetadataLength(), self.model.Metadata, "metadata entries")
        return FileFacts(
            len(self.external),
            subgraphs,
            self.count(self.model.SignatureDefsLength(), "signatures"),
            tuple(self.text(entry.Name()) for entry in metadata),
            self.text(self.model.Description()),
            tuple(
                names.OPERATOR_NAMES[code.BuiltinCode()]
                for code in codes
                if code.DeprecatedBuiltinCode() != min(code.BuiltinCode(), names.PLACEHOLDER_CODE)
                and code.BuiltinCode()
            ),
        )
