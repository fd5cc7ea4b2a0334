"""One program for the chip, as its flatbuffer describes it: instructions, parameters, transfers, layers.

Source: libedgetpu `executable/executable.fbs`; field numbers below are positions in that schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coralsmith.graph.flatbuffer import FlatbufferError, Table

BUNDLE_BYTES: Final = 16
ADDRESS_BITS: Final = 32

_KINDS: Final = ("STAND_ALONE", "PARAMETER_CACHING", "EXECUTION_ONLY")
_REGIONS: Final = ("output", "input", "parameter", "scratch")
_HINTS: Final = ("none", "descriptor", "instructions", "interrupt", "fence")
_DIRECTIONS: Final = ("infeed", "outfeed")
_DATA_TYPES: Final = {
    0: "uint8", 1: "uint16", 2: "int32", 3: "bfloat16", 4: "float16", 5: "float32", 8: "int8", 9: "int16"
}  # fmt: skip


@dataclass(frozen=True)
class AddressField:
    """Where the driver patches an address into the instructions.

    Attributes:
        region: What the address is of: output, input, parameter or scratch memory.
        layer: Name of the input or output layer; empty for parameters and scratch.
        batch: Element of the batch.
        upper: Whether it is the upper half of a 64-bit address.
        bit: Offset of the 32 bits in the bitstream.
    """

    region: str
    layer: str
    batch: int
    upper: bool
    bit: int


@dataclass(frozen=True)
class Bitstream:
    """Instructions, in bundles of 16 bytes; a program may be cut into several bitstreams.

    Attributes:
        content: The bundles.
        fields: Addresses to be patched, each wholly inside the bundles.
        stray_fields: Addresses that would be patched outside of them; none in any file of the compiler.
    """

    content: memoryview
    fields: tuple[AddressField, ...]
    stray_fields: tuple[AddressField, ...] = ()


@dataclass(frozen=True)
class DmaHint:
    """One transfer that the program expects, in order.

    Attributes:
        kind: descriptor (memory), instructions (one bitstream), interrupt or fence.
        direction: infeed (to the chip) or outfeed.
        region: Memory of a descriptor: output, input, parameter or scratch; else empty.
        layer: Layer of a descriptor, if it has one.
        offset: First byte of a descriptor's memory.
        size: Bytes of a descriptor.
        number: Index of the bitstream, or type of the interrupt.
        batch: Element of the batch whose input or output a descriptor moves.
    """

    kind: str
    direction: str
    region: str = ""
    layer: str = ""
    offset: int = 0
    size: int = 0
    number: int = 0
    batch: int = 0


@dataclass(frozen=True)
class TileLayout:
    """How an output lies scattered over the tiles of the chip; all vectors are indices or byte offsets."""

    y_to_tile: tuple[int, ...]
    x_to_tile: tuple[int, ...]
    tile_byte_offset: tuple[int, ...]
    x_to_local_byte_offset: tuple[int, ...]
    y_to_local_offset: tuple[int, ...]
    x_to_local_row_size: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """An input or output of the program.

    Attributes:
        name: Name of the tensor.
        size_bytes: Bytes transferred, padding included.
        shape: Height, width and depth.
        zero_point: In the uint8 domain: 128 more than that of an int8 tensor.
        scale: Real value of one step.
        data_type: Element type on the chip.
        executions: Transfers for one inference.
        layout: For outputs, how they lie on the tiles.
    """

    name: str
    size_bytes: int
    shape: tuple[int, int, int]
    zero_point: int
    scale: float
    data_type: str
    executions: int = 1
    layout: TileLayout | None = None


@dataclass(frozen=True)
class Executable:
    """One program for the chip.

    Attributes:
        kind: STAND_ALONE, PARAMETER_CACHING (loads the parameters once) or EXECUTION_ONLY (the inference).
        name: Name of the program.
        version: Version of its format.
        chip: Name of the chip, "beagle".
        batch_size: Images for one run.
        bitstreams: Its instructions.
        parameters: Parameters that it brings along: cached ones where it caches, else streamed ones.
        dma_hints: The transfers it expects.
        fully_deterministic: Whether those are all of them.
        inputs: Input layers.
        outputs: Output layers.
        scratch_bytes: Host memory it needs to spill into.
        narrow_memory_bytes: Memory for activations used of each tile's 196,608 bytes.
        estimated_cycles: The compiler's own estimate; 0 in files of newer compilers.
        caching_token: Names the parameters; the same in both programs of a model, 0 where nothing is cached.
    """

    kind: str
    name: str
    version: int
    chip: str
    batch_size: int
    bitstreams: tuple[Bitstream, ...]
    parameters: memoryview
    dma_hints: tuple[DmaHint, ...]
    fully_deterministic: bool
    inputs: tuple[Layer, ...]
    outputs: tuple[Layer, ...]
    scratch_bytes: int
    narrow_memory_bytes: int
    estimated_cycles: int
    caching_token: int

    @property
    def instruction_bytes(self) -> int:
        """Bytes of instructions, sent with every run."""
        return sum(len(bitstream.content) for bitstream in self.bitstreams)


def read_executable(table: Table) -> Executable:
    """Read an executable.

    Raises:
        FlatbufferError: An offset lies outside the buffer, or a number means nothing.
    """
    hints = table.table(7)
    return Executable(
        kind=_named(_KINDS, table.integer(13, "<h"), "executable type"),
        name=table.text(1),
        version=table.integer(0, "<i"),
        chip=table.text(10),
        batch_size=table.integer(3, "<i"),
        bitstreams=tuple(_bitstream(stream) for stream in table.tables(5)),
        parameters=table.content(6),
        dma_hints=() if hints is None else tuple(_dma_hint(hint) for hint in hints.tables(0)),
        fully_deterministic=hints is not None and bool(hints.integer(1, "<B")),
        inputs=tuple(_layer(layer) for layer in table.tables(8)),
        outputs=tuple(_layer(layer) for layer in table.tables(9)),
        scratch_bytes=table.integer(4, "<i"),
        narrow_memory_bytes=table.integer(12, "<i"),
        estimated_cycles=table.integer(16, "<q") or table.integer(11, "<i"),
        caching_token=table.integer(14, "<Q"),
    )


def _bitstream(table: Table) -> Bitstream:
    content = table.content(0)
    inside: list[AddressField] = []
    stray: list[AddressField] = []
    for field in map(_address_field, table.tables(1)):
        fits = 0 <= field.bit <= 8 * len(content) - ADDRESS_BITS
        (inside if fits else stray).append(field)
    return Bitstream(content, tuple(inside), tuple(stray))


def _address_field(table: Table) -> AddressField:
    meta = table.table(0)
    if meta is None:
        raise FlatbufferError("an address field says not what it is of")
    return AddressField(
        region=_named(_REGIONS, meta.integer(0, "<h"), "memory region"),
        layer=meta.text(2),
        batch=meta.integer(1, "<i"),
        upper=meta.integer(3, "<h") == 1,
        bit=table.integer(1, "<i"),
    )


def _dma_hint(table: Table) -> DmaHint:
    kind = _named(_HINTS, table.integer(0, "<B"), "DMA hint")
    direction = _named(_DIRECTIONS, table.integer(2, "<h"), "DMA direction")
    content = table.table(1)
    if content is None or kind not in ("descriptor", "instructions", "interrupt"):
        return DmaHint(kind, direction)
    if kind != "descriptor":
        return DmaHint(kind, direction, number=content.integer(0, "<i" if kind == "instructions" else "<h"))
    meta = content.table(0)
    return DmaHint(
        kind,
        direction,
        region="" if meta is None else _named(_REGIONS, meta.integer(0, "<h"), "memory region"),
        layer="" if meta is None else meta.text(2),
        offset=content.integer(1, "<i"),
        size=content.integer(2, "<i"),
        batch=0 if meta is None else meta.integer(1, "<i"),
    )


def _layer(table: Table) -> Layer:
    numerics = table.table(5)
    details = table.table(8)
    output = details if table.integer(7, "<B") == 1 else None
    layout = None if output is None else output.table(0)
    data_type = table.integer(6, "<h")
    return Layer(
        name=table.text(0),
        size_bytes=table.integer(1, "<i"),
        shape=(table.integer(2, "<i"), table.integer(3, "<i"), table.integer(4, "<i")),
        zero_point=0 if numerics is None else numerics.integer(0, "<i"),
        scale=0.0 if numerics is None else numerics.floating(1),
        data_type=_DATA_TYPES.get(data_type, f"type {data_type}"),
        executions=table.integer(9, "<i", 1),
        layout=None if layout is None else _layout(layout),
    )


def _layout(table: Table) -> TileLayout:
    return TileLayout(*(table.integers(field, "<i") for field in range(6)))


def _named(names: tuple[str, ...], number: int, what: str) -> str:
    if not 0 <= number < len(names):
        raise FlatbufferError(f"{number} is no {what}")
    return names[number]
