"""The result of an inspection: the typed object that `coralsmith inspect --json` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coralsmith.compiled.costs import Place
from coralsmith.compiled.rules import CompilerRange
from coralsmith.findings import Finding, has_errors

SCHEMA: Final = "coralsmith/inspect/1"


@dataclass(frozen=True)
class TensorRecord:
    """An input or output of the whole model, as the host sees it.

    Attributes:
        name: Name of the tensor.
        shape: Its shape.
        data_type: numpy element type.
        scale: Real value of one step; null where it is not quantized.
        zero_point: Integer of the real value 0; null where it is not quantized.
    """

    name: str
    shape: tuple[int, ...]
    data_type: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class LayoutRecord:
    """How an output lies on the chip.

    Attributes:
        tiles: Tiles that hold a part of it, of 16.
        rows: Rows of tiles over which its height is spread.
        columns: Columns of tiles over which its width is spread.
        tile_offsets: First byte of each tile's part in the transferred output.
    """

    tiles: int
    rows: int
    columns: int
    tile_offsets: tuple[int, ...]


@dataclass(frozen=True)
class LayerRecord:
    """An input or output of a program, as the chip sees it.

    Attributes:
        name: Name of the tensor.
        size_bytes: Bytes transferred, padding included.
        shape: Height, width and depth.
        data_type: Element type on the chip.
        scale: Real value of one step.
        zero_point: Counted from 0: 128 more than that of an int8 tensor.
        executions: Transfers for one inference.
        layout: How an output lies on the chip; null for inputs.
    """

    name: str
    size_bytes: int
    shape: tuple[int, int, int]
    data_type: str
    scale: float
    zero_point: int
    executions: int
    layout: LayoutRecord | None


@dataclass(frozen=True)
class TransferRecord:
    """One transfer that a program announces.

    Attributes:
        kind: descriptor (memory), instructions (one chunk), interrupt or fence.
        direction: infeed (to the chip) or outfeed.
        region: Memory of a descriptor: output, input, parameter or scratch; else empty.
        layer: Input or output that a descriptor moves; else empty.
        offset: First byte of a descriptor's memory.
        size: Bytes of a descriptor.
        number: Index of the chunk of instructions, or type of the interrupt.
    """

    kind: str
    direction: str
    region: str
    layer: str
    offset: int
    size: int
    number: int


@dataclass(frozen=True)
class ExecutableRecord:
    """One program for the chip.

    Attributes:
        operator: Which of the model's operators, in execution order, holds it.
        type: EXECUTION_ONLY (the inference), PARAMETER_CACHING (loads the parameters once) or STAND_ALONE.
        name: Name of the program.
        chip: Name of the chip, "beagle".
        batch_size: Images for one run.
        caching_token: Names the parameters on the chip, in hexadecimal.
        parameter_bytes: Parameters it brings along: loaded once where it caches, else sent for every image.
        instruction_bytes: Instructions, sent with every run.
        instruction_chunks: Bytes of each chunk of instructions; a bundle has 16.
        address_fields: Places in the instructions where the driver fills in an address.
        scratch_bytes: Host memory that it needs to spill into.
        narrow_memory_bytes_per_tile: Memory for activations used of each tile's 196,608 bytes.
        estimated_cycles: The compiler's own estimate; null in files of newer compilers, which give none.
        inputs: Its inputs.
        outputs: Its outputs.
        dma_hints: The transfers it announces, in order.
        lists_all_transfers: Whether those are all of them.
    """

    operator: int
    type: str
    name: str
    chip: str
    batch_size: int
    caching_token: str
    parameter_bytes: int
    instruction_bytes: int
    instruction_chunks: tuple[int, ...]
    address_fields: int
    scratch_bytes: int
    narrow_memory_bytes_per_tile: int
    estimated_cycles: int | None
    inputs: list[LayerRecord]
    outputs: list[LayerRecord]
    dma_hints: list[TransferRecord]
    lists_all_transfers: bool


@dataclass(frozen=True)
class CpuOp:
    """An operator that runs on the CPU.

    Attributes:
        index: Position in execution order.
        kind: Operator kind, or the name of a custom operator.
        name: Name of its first output.
        place: Whether it runs before, between or after the programs on the Edge TPU.
        multiply_accumulates: Of one run, for layers with weights; null for others.
    """

    index: int
    kind: str
    name: str
    place: Place
    multiply_accumulates: int | None


@dataclass(frozen=True)
class FileLayout:
    """What the bytes of the file are.

    Attributes:
        file_bytes: The whole file.
        package_bytes: The packages for the chip, with all that follows.
        parameter_bytes: Parameters in them.
        instruction_bytes: Instructions in them.
        description: What the file calls itself.
        subgraphs: Graphs in the file; the programs stand in the first.
    """

    file_bytes: int
    package_bytes: int
    parameter_bytes: int
    instruction_bytes: int
    description: str
    subgraphs: int


@dataclass(frozen=True)
class Inspection:
    """What is inside a compiled model.

    Attributes:
        schema: Name and version of this document.
        model: The file, as the user named it.
        min_runtime: Oldest Edge TPU runtime that takes it; null where it is not compiled.
        compiler: Which compiler wrote it; null where it is not compiled.
        chips: Names of the chips it is for; "beagle" is the Coral Edge TPU.
        chip_numbers: Numbers of the chips as the operator names them, 18 for the Edge TPU; none in older files.
        caching_token: Names the parameters on the chip, in hexadecimal; null where it has none or several.
        programs: Operators that run on the Edge TPU, each with its own package.
        on_chip_bytes: Parameters loaded once and kept on the chip.
        streamed_bytes: Parameters sent for every image.
        inputs: Inputs of the whole model.
        outputs: Outputs of the whole model.
        executables: The programs for the chip, in the order of the file.
        cpu_ops: What runs on the CPU, in execution order.
        file: What the bytes of the file are.
        findings: Errors first; an error means that the runtime would refuse the file or compute nonsense.
    """

    schema: str
    model: str
    min_runtime: int | None
    compiler: CompilerRange | None
    chips: list[str]
    chip_numbers: list[int]
    caching_token: str | None
    programs: int
    on_chip_bytes: int
    streamed_bytes: int
    inputs: list[TensorRecord]
    outputs: list[TensorRecord]
    executables: list[ExecutableRecord]
    cpu_ops: list[CpuOp]
    file: FileLayout
    findings: list[Finding]

    @property
    def is_refused(self) -> bool:
        """Whether the file cannot run on the Edge TPU as it is."""
        return has_errors(self.findings)
