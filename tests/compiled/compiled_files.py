"""Writes compiled files from the records that the reader gives, so that a test can change one thing in one.

It is written against libedgetpu's `executable.fbs` with the official flatbuffers library, without any code of the
reader. An object that occurs several times is written once and pointed to from everywhere, as hostile files do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers

from coralsmith.compiled.executable import AddressField, Bitstream, DmaHint, Executable, Layer, TileLayout
from coralsmith.compiled.package import CUSTOM_OPERATOR, Package
from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.graph.writer import serialize_for_interpreter

_KINDS = ("STAND_ALONE", "PARAMETER_CACHING", "EXECUTION_ONLY")
_REGIONS = ("output", "input", "parameter", "scratch")
_HINTS = ("none", "descriptor", "instructions", "interrupt", "fence")
_TYPES = {"uint8": 0, "uint16": 1, "int32": 2, "float32": 5, "int8": 8, "int16": 9}

Fields = dict[int, tuple[str, Any]]
"""Field number -> (type of the slot, value)."""


def layer(name: str, *shape: int, data_type: str = "uint8", scale: float = 0.5, zero_point: int = 3) -> Layer:
    """A layer whose size needs no padding where the product of its shape is a multiple of eight."""
    height, width, depth = shape
    size = -(-height * width * depth // 8) * 8
    return Layer(name, size, (height, width, depth), zero_point, scale, data_type)


def program(kind: str = "EXECUTION_ONLY", *, parameters: bytes = b"", **changes: Any) -> Executable:
    """A program of 64 bundles; the inference takes `in`, 4x4x8, and gives `out`, 1x1x16."""
    runs = kind != "PARAMETER_CACHING"
    inputs = (layer("in", 4, 4, 8),) if runs else ()
    tiles = TileLayout((0,), (0,), (0, 4, 8, 12), (0,), (0,), (16,))
    outputs = (replace(layer("out", 1, 1, 16), layout=tiles),) if runs else ()
    fields = (AddressField("parameter", "", 0, False, 256), AddressField("parameter", "", 0, True, 384))
    executable = Executable(
        kind=kind,
        name="model" if runs else "Unknown",
        version=0,
        chip="beagle",
        batch_size=1,
        bitstreams=(Bitstream(memoryview(bytes(1024)), fields),),
        parameters=memoryview(parameters),
        dma_hints=(),
        fully_deterministic=True,
        inputs=inputs,
        outputs=outputs,
        scratch_bytes=0,
        narrow_memory_bytes=1600 if runs else 0,
        estimated_cycles=0,
        caching_token=0xFEDCBA9876543210,
    )
    return with_transfers(replace(executable, **changes))


def with_transfers(executable: Executable) -> Executable:
    """The program with the transfers that it needs, as the compiler lists them."""
    hints = [DmaHint("instructions", "infeed", number=i) for i in range(len(executable.bitstreams))]
    if executable.parameters:
        hints.append(DmaHint("descriptor", "infeed", "parameter", size=len(executable.parameters)))
    hints += [DmaHint("descriptor", "infeed", "input", one.name, size=one.size_bytes) for one in executable.inputs]
    hints += [
        DmaHint("descriptor", "outfeed", "output", one.name, size=one.size_bytes) for one in executable.outputs
    ]
    hints.append(DmaHint("interrupt", "outfeed"))
    return replace(executable, dma_hints=tuple(hints))


def package(*programs: Executable, **changes: Any) -> Package:
    """A package as compiler 16 writes it; by default with an inference and 512 bytes of cached parameters."""
    executables = programs or (program(), program("PARAMETER_CACHING", parameters=bytes(512)))
    return replace(Package(14, executables, "cl/", chips=(18,)), **changes)


def write_compiled(folder: Path, *packages: Package, name: str = "model_edgetpu.tflite", **how: Any) -> Path:
    """Write a compiled file of some packages; `how` as for `compiled_bytes`."""
    path = folder / name
    path.write_bytes(compiled_bytes(*packages, **how))
    return path


def compiled_bytes(
    *packages: Package, promised: Sequence[Package] = (), before: bool = False, after: bool = False
) -> bytes:
    """A compiled file of some packages.

    Args:
        packages: One for each Edge TPU operator.
        promised: Packages whose layers the model's tensors are made after; by default `packages` themselves.
        before: Whether a QUANTIZE stands in front.
        after: Whether a DEQUANTIZE stands behind.
    """
    ops = [_operator(*pair) for pair in zip(packages, promised or packages, strict=True)]
    inputs = [tensor for op in ops for tensor in op.inputs if tensor is not None]
    outputs = [tensor for op in ops for tensor in op.outputs]
    if before:
        real = Tensor("photo", inputs[0].shape, np.dtype(np.float32))
        ops.insert(0, Op("QUANTIZE", [real], [inputs[0]]))
        inputs[0] = real
    if after:
        real = Tensor("result", outputs[-1].shape, np.dtype(np.float32))
        ops.append(Op("DEQUANTIZE", [outputs[-1]], [real]))
        outputs[-1] = real
    content, _ = serialize_for_interpreter(Graph(ops, inputs, outputs))
    return content


def _operator(one: Package, promised: Package) -> Op:
    main = next((e for e in promised.executables if e.kind != "PARAMETER_CACHING"), None)
    taken = main.inputs if main else (layer("in", 1, 1, 8),)
    given = main.outputs if main else (layer("out", 1, 1, 8),)
    inputs: list[Tensor | None] = [_tensor(each) for each in taken]
    outputs = [_tensor(each) for each in given]
    return Op("CUSTOM", inputs, outputs, custom_code=CUSTOM_OPERATOR, custom_options=package_options(one))


def _tensor(one: Layer) -> Tensor:
    offset = 128 if one.data_type == "int8" else 0
    quant = Quant.per_tensor(one.scale, one.zero_point - offset)
    return Tensor(one.name, (1, *one.shape), np.dtype(one.data_type), quant=quant)


def package_options(one: Package) -> bytes:
    """The options of the custom operator that holds a package."""
    content = _RawString(package_bytes(one))
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("1", 1)
        builder.Key("4")
        builder.String(content)
        if one.chips:
            with builder.Vector("6"):
                for number in one.chips:
                    builder.Int(number)
    return bytes(builder.Finish())


def package_bytes(one: Package) -> bytes:
    """The flatbuffer of a package."""
    inner = _Writer()
    serialized = inner.tables(one.executables, lambda each: inner.blob(executable_bytes(each)))
    multi = inner.finish(inner.table({0: ("offset", serialized)}))
    outer = _Writer()
    content, compiler = outer.blob(multi), outer.blob(one.compiler.encode())
    fields: Fields = {0: ("int32", one.min_runtime), 1: ("offset", content), 4: ("offset", compiler)}
    return outer.finish(outer.table({**fields, 5: ("int32", one.virtual_chip)}), b"DWN1")


def executable_bytes(one: Executable) -> bytes:
    """The flatbuffer of one program."""
    w = _Writer()
    hints = w.tables(one.dma_hints, w.hint)
    transfers = w.table({0: ("offset", hints), 1: ("bool", one.fully_deterministic)})
    fields: Fields = {
        0: ("int32", one.version),
        1: ("offset", w.blob(one.name.encode())),
        3: ("int32", one.batch_size),
        4: ("int32", one.scratch_bytes),
        5: ("offset", w.tables(one.bitstreams, w.bitstream)),
        6: ("offset", w.blob(bytes(one.parameters))),
        7: ("offset", transfers),
        8: ("offset", w.tables(one.inputs, lambda each: w.layer(each, is_output=False))),
        9: ("offset", w.tables(one.outputs, lambda each: w.layer(each, is_output=True))),
        10: ("offset", w.blob(one.chip.encode())),
        12: ("int32", one.narrow_memory_bytes),
        13: ("int16", _KINDS.index(one.kind)),
        14: ("uint64", one.caching_token),
        16: ("int64", one.estimated_cycles),
    }
    return w.finish(w.table(fields))


class _RawString(bytes):
    """Bytes that the FlexBuffers library takes for a string."""

    def encode(self, _: str) -> bytes:
        return bytes(self)


class _Writer:
    """The tables of `executable.fbs`."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)
        self.written: dict[int, int] = {}

    def finish(self, root: int, identifier: bytes | None = None) -> bytes:
        self.builder.Finish(root, identifier)
        return bytes(self.builder.Output())

    def blob(self, content: bytes) -> int:
        return int(self.builder.CreateByteVector(content))

    def offsets(self, targets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(targets), 4)
        for target in reversed(targets):
            self.builder.PrependUOffsetTRelative(target)
        return int(self.builder.EndVector())

    def tables(self, records: Sequence[Any], write: Callable[[Any], int]) -> int:
        for record in records:
            if id(record) not in self.written:
                self.written[id(record)] = write(record)
        return self.offsets([self.written[id(record)] for record in records])

    def table(self, fields: Fields) -> int:
        b = self.builder
        prepend = {
            "bool": b.PrependBoolSlot,
            "uint8": b.PrependUint8Slot,
            "int16": b.PrependInt16Slot,
            "int32": b.PrependInt32Slot,
            "int64": b.PrependInt64Slot,
            "uint64": b.PrependUint64Slot,
            "float32": b.PrependFloat32Slot,
            "offset": b.PrependUOffsetTRelativeSlot,
        }
        b.StartObject(max(fields, default=0) + 1)
        for number, (kind, value) in fields.items():
            prepend[kind](number, value, 0)
        return int(b.EndObject())

    def meta(self, region: str, name: str, batch: int, upper: bool = False) -> int:
        text = self.blob(name.encode())
        fields: Fields = {0: ("int16", _REGIONS.index(region)), 1: ("int32", batch), 2: ("offset", text)}
        return self.table({**fields, 3: ("int16", int(upper))})

    def field(self, one: AddressField) -> int:
        meta = self.meta(one.region, one.layer, one.batch, one.upper)
        return self.table({0: ("offset", meta), 1: ("int32", one.bit)})

    def bitstream(self, one: Bitstream) -> int:
        fields = self.tables((*one.fields, *one.stray_fields), self.field)
        return self.table({0: ("offset", self.blob(bytes(one.content))), 1: ("offset", fields)})

    def hint(self, one: DmaHint) -> int:
        content: Fields = {0: ("int32", one.number)} if one.kind == "instructions" else {0: ("int16", one.number)}
        if one.kind == "descriptor":
            meta = self.meta(one.region, one.layer, one.batch)
            content = {0: ("offset", meta), 1: ("int32", one.offset), 2: ("int32", one.size)}
        inner = self.table(content)
        direction = ("infeed", "outfeed").index(one.direction)
        kind = _HINTS.index(one.kind)
        return self.table({0: ("uint8", kind), 1: ("offset", inner), 2: ("int16", direction)})

    def layer(self, one: Layer, *, is_output: bool) -> int:
        numerics = self.table({0: ("int32", one.zero_point), 1: ("float32", one.scale)})
        details = self.table({0: ("offset", self.layout(one.layout))} if one.layout else {})
        height, width, depth = one.shape
        fields: Fields = {
            0: ("offset", self.blob(one.name.encode())),
            1: ("int32", one.size_bytes),
            2: ("int32", height),
            3: ("int32", width),
            4: ("int32", depth),
            5: ("offset", numerics),
            6: ("int16", _TYPES[one.data_type]),
            7: ("uint8", 1 if is_output else 2),
            8: ("offset", details),
            9: ("int32", one.executions),
        }
        return self.table(fields)

    def layout(self, one: TileLayout) -> int:
        vectors = [self.numbers(vector) for vector in vars(one).values()]
        return self.table({number: ("offset", vector) for number, vector in enumerate(vectors)})

    def numbers(self, values: Sequence[int]) -> int:
        return int(self.builder.CreateNumpyVector(np.array(values, np.int32)))
