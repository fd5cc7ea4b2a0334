"""Packs metadata into a `.tflite` file as MediaPipe's writers do, with the official flatbuffers builder.

Field numbers: ``metadata_schema.fbs`` and ``object_detector_metadata_schema.fbs`` of google-ai-edge/mediapipe.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from coralsmith.graph import Graph, Op, Tensor


@dataclass(frozen=True, eq=False)
class Packed:
    """What is written; see `pack`.

    Attributes:
        anchors: [N, 4] (y centre, x centre, height, width); None writes no decoding options.
        classes: Score columns that the options claim.
        labels: Lines of the label file; None writes none.
        output_names: Names of the outputs in their order in the file.
        scales: Divisors of the columns y, x, h, w.
        exponential: Of the decoding options.
        sigmoid: Of the decoding options.
        mean: Normalisation of the input.
        std: Normalisation of the input.
        calibrated: Whether a score calibration is asked for.
        threshold: Score threshold, or None.
    """

    anchors: np.ndarray | None
    classes: int
    labels: Sequence[str] | None
    output_names: tuple[str, ...] = ("location", "score")
    scales: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    exponential: bool = True
    sigmoid: bool = True
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)
    calibrated: bool = False
    threshold: float | None = None


def pack(model: bytes, packed: Packed) -> bytes:
    """The model with a metadata buffer inside and the label file in a zip archive behind."""
    content = schema.ModelT.InitFromPackedBuf(model, 0)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_metadata(packed), np.uint8)
    content.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"TFLITE_METADATA", len(content.buffers) - 1
    content.metadata = [*(content.metadata or []), entry]
    builder = flatbuffers.Builder(len(model) + 4096)
    builder.Finish(content.Pack(builder), b"TFL3")
    stream = io.BytesIO(bytes(builder.Output()))
    if packed.labels is not None:
        with zipfile.ZipFile(stream, "a") as archive:
            archive.writestr("labels.txt", "\n".join(packed.labels))
    return stream.getvalue()


def halved(graph: Graph) -> Graph:
    """The graph with its convolution weights in half precision behind DEQUANTIZE, as converters write them."""
    graph = graph.copy()
    ops: list[Op] = []
    for op in graph.ops:
        for position, tensor in enumerate(op.inputs):
            if tensor is not None and tensor.data is not None and tensor.is_float and tensor.elements > 1:
                half = Tensor.constant(f"{tensor.name}_half", tensor.data.astype(np.float16))
                full = Tensor(f"{tensor.name}_full", tensor.shape, np.dtype(np.float32))
                ops.append(Op("DEQUANTIZE", [half], [full]))
                op.inputs[position] = full
        ops.append(op)
    graph.ops = ops
    return graph


class _Writer:
    """Tables and vectors of one flatbuffer."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)

    def table(self, offsets: dict[int, int] | None = None, **scalars: tuple[int, float | int]) -> int:
        """A table of offsets by field number, and of scalars (field, value) by their type's name."""
        self.builder.StartObject(12)
        for field, offset in (offsets or {}).items():
            self.builder.PrependUOffsetTRelativeSlot(field, offset, 0)
        return self._end(scalars)

    def scalars(self, *values: tuple[str, int, float | int]) -> int:
        """A table of scalars (type, field, value)."""
        self.builder.StartObject(12)
        for kind, field, value in values:
            getattr(self.builder, f"Prepend{kind}Slot")(field, value, 0)
        return int(self.builder.EndObject())

    def _end(self, scalars: dict[str, tuple[int, float | int]]) -> int:
        for kind, (field, value) in scalars.items():
            getattr(self.builder, f"Prepend{kind}Slot")(field, value, 0)
        return int(self.builder.EndObject())

    def vector(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def floats(self, values: Sequence[float]) -> int:
        return int(self.builder.CreateNumpyVector(np.array(values, np.float32)))

    def text(self, value: str) -> int:
        return int(self.builder.CreateString(value))

    def finish(self, root: int, identifier: bytes) -> bytes:
        self.builder.Finish(root, identifier)
        return bytes(self.builder.Output())


def _metadata(packed: Packed) -> bytes:
    writer = _Writer()
    normalisation = writer.table({0: writer.floats(packed.mean), 1: writer.floats(packed.std)})
    unit = writer.table({1: normalisation}, Uint8=(0, 1))
    image = writer.table({0: writer.text("image"), 4: writer.vector([unit])})
    outputs = [_output(writer, name, packed) for name in packed.output_names]
    fields = {2: writer.vector([image]), 3: writer.vector(outputs)}
    if packed.anchors is not None:
        data = writer.builder.CreateByteVector(_options(packed))
        custom = writer.table({0: writer.text("DETECTOR_METADATA"), 1: data})
        fields[9] = writer.vector([custom])
    subgraph = writer.table(fields)
    return writer.finish(writer.table({3: writer.vector([subgraph])}), b"M001")


def _output(writer: _Writer, name: str, packed: Packed) -> int:
    fields = {0: writer.text(name)}
    units = []
    if name == "score" and packed.calibrated:
        units.append(writer.table({1: writer.scalars(("Float32", 1, 0.5))}, Uint8=(0, 2)))
    if name == "score" and packed.threshold is not None:
        units.append(writer.table({1: writer.scalars(("Float32", 0, packed.threshold))}, Uint8=(0, 3)))
    if units:
        fields[4] = writer.vector(units)
    if name in ("score", "category") and packed.labels is not None:
        label_file = writer.table({0: writer.text("labels.txt")}, Int8=(2, 2 if name == "score" else 3))
        fields[6] = writer.vector([label_file])
    return writer.table(fields)


def _options(packed: Packed) -> bytes:
    assert packed.anchors is not None
    writer = _Writer()
    anchors = [
        writer.scalars(("Float32", 0, x), ("Float32", 1, y), ("Float32", 2, w), ("Float32", 3, h))
        for y, x, h, w in packed.anchors.tolist()
    ]
    ssd = writer.table({0: writer.table({0: writer.vector(anchors)})})
    y, x, h, w = packed.scales
    decoding = writer.scalars(
        ("Int32", 0, packed.classes), ("Int32", 1, len(packed.anchors)), ("Int32", 2, 4), ("Int32", 5, 2),
        ("Float32", 6, x), ("Float32", 7, y), ("Float32", 8, w), ("Float32", 9, h),
        ("Bool", 10, packed.exponential), ("Bool", 11, packed.sigmoid),
    )  # fmt: skip
    return writer.finish(writer.table({1: ssd, 2: decoding}), b"V001")
