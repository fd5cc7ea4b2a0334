"""What `coralsmith inspect` says: what a user wants first; programs, transfers and layouts on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from coralsmith.edgetpu.activations import TILE_BYTES
from coralsmith.report import wording
from coralsmith.report.terminal_parts import findings, headline, pairs_table, safe, standard_output

if TYPE_CHECKING:
    from coralsmith.compiled.inspection_report import (
        CpuOp,
        ExecutableRecord,
        Inspection,
        LayerRecord,
        TensorRecord,
        TransferRecord,
    )

_TYPES: Final = {
    "EXECUTION_ONLY": "the inference",
    "PARAMETER_CACHING": "loads the parameters, once",
    "STAND_ALONE": "the inference, with its parameters",
}
_TENSORS_SHOWN: Final = 6
_TRANSFERS_SHOWN: Final = 24
_NAME_WIDTH: Final = 28
_BUNDLE: Final = 16
_CYCLES_PER_MS: Final = 500_000  # the fastest of the three clocks that libedgetpu sets


def print_inspection(inspection: Inspection, *, verbose: bool = False, console: Console | None = None) -> None:
    """What is inside a compiled model."""
    console = console or standard_output()
    headline(console, *_verdict(inspection), name=Path(inspection.model).name, colour=_colour(inspection))
    if inspection.programs:
        pairs_table(console, _memory_lines(inspection))
        _tensor_table(console, "Inputs", inspection.inputs, verbose=verbose)
        _tensor_table(console, "Outputs", inspection.outputs, verbose=verbose)
        _cpu_table(console, inspection.cpu_ops)
    if verbose:
        for number, executable in enumerate(inspection.executables):
            _program(console, executable, number)
    findings(console, inspection.findings, verbose=verbose)


def _verdict(inspection: Inspection) -> tuple[str, str]:
    if not inspection.programs:
        return "Not compiled: nothing of it runs on the Edge TPU", wording.size(inspection.file.file_bytes)
    compiler = inspection.compiler.versions if inspection.compiler else "unknown"
    origin = f"{wording.size(inspection.file.file_bytes)}, written by compiler {compiler}"
    if inspection.is_refused:
        return "Damaged: the Edge TPU runtime would refuse this file, or compute nonsense", origin
    return f"Compiled: runs on Edge TPU runtime {inspection.min_runtime} and later", origin


def _colour(inspection: Inspection) -> str:
    return "red" if inspection.is_refused else "green"


def _memory_lines(inspection: Inspection) -> Iterator[tuple[str, ...]]:
    streamed = inspection.streamed_bytes
    sent = sum(e.instruction_bytes for e in inspection.executables if e.type != "PARAMETER_CACHING")
    used = max((e.narrow_memory_bytes_per_tile for e in inspection.executables), default=0)
    scratch = sum(e.scratch_bytes for e in inspection.executables)
    cycles = sum(e.estimated_cycles or 0 for e in inspection.executables)
    yield ("Parameters on chip", wording.size(inspection.on_chip_bytes), "loaded once")
    if streamed:
        yield ("Parameters streamed", wording.size(streamed), "sent for every image")
    else:
        yield ("Parameters streamed", "none")
    yield ("Instructions", wording.size(sent), "sent for every image")
    yield (
        "Activation memory",
        f"{wording.share(used, TILE_BYTES)} used",
        f"{used:,} of {TILE_BYTES:,} B a tile",
    )
    if scratch:
        yield ("Host memory", wording.size(scratch), "spilled to and fetched for every image")
    if cycles:
        yield (
            "Compiler's estimate",
            f"{cycles:,} cycles",
            f"{cycles / _CYCLES_PER_MS:.2f} ms without transfers",
        )
    yield ("Caching token", inspection.caching_token or "none or several")


def _tensor_table(console: Console, title: str, tensors: Sequence[TensorRecord], *, verbose: bool) -> None:
    console.print(Text(f"\n{title}", "bold"))
    shown = tensors if verbose else tensors[:_TENSORS_SHOWN]
    pairs_table(
        console,
        (
            (
                _name(tensor.name, verbose=verbose),
                "x".join(map(str, tensor.shape)) or "scalar",
                tensor.data_type,
                _quantization(tensor.scale, tensor.zero_point),
            )
            for tensor in shown
        ),
    )
    if len(shown) < len(tensors):
        console.print(Text(f"  and {len(tensors) - len(shown)} more; --verbose tells.", "dim"))


def _name(name: str, *, verbose: bool) -> str:
    """A tensor's name; of a long one the end, where the tensors of a model differ."""
    short = wording.short_name(name)
    if verbose:
        return short
    first = short.removesuffix(";...")
    return first if len(first) <= _NAME_WIDTH else f"...{first[3 - _NAME_WIDTH :]}"


def _quantization(scale: float | None, zero_point: int | None) -> str:
    return "" if scale is None else f"scale {scale:.7g}, zero {zero_point}"


def _cpu_table(console: Console, ops: Sequence[CpuOp]) -> None:
    console.print(Text("\nOn the CPU", "bold"))
    if not ops:
        console.print(safe(console, "  nothing"))
        return
    counts = Counter((op.place, op.kind) for op in ops)
    work: Counter[tuple[str, str]] = Counter()
    for op in ops:
        work[op.place, op.kind] += op.multiply_accumulates or 0
    pairs_table(
        console,
        (
            (kind, str(amount), f"{place} the Edge TPU", _work(work[place, kind]))
            for (place, kind), amount in counts.items()
        ),
    )


def _work(multiply_accumulates: int) -> str:
    return f"{multiply_accumulates / 1e6:,.1f} million multiply-accumulates" if multiply_accumulates else ""


def _program(console: Console, executable: ExecutableRecord, number: int) -> None:
    title = f"\nProgram {number}: {executable.type}"
    console.print(Text.assemble((title, "bold"), safe(console, f"  {_TYPES[executable.type]}", "dim")))
    pairs_table(console, _program_lines(executable))
    for side, layers in (("in", executable.inputs), ("out", executable.outputs)):
        for layer in layers[:_TRANSFERS_SHOWN]:
            _layer(console, side, layer)
    _transfers(console, executable)


def _program_lines(executable: ExecutableRecord) -> Iterator[tuple[str, ...]]:
    chunks = executable.instruction_chunks
    bundles = executable.instruction_bytes // _BUNDLE
    yield ("Chip", executable.chip, f"operator {executable.operator}, batch {executable.batch_size}")
    yield ("Token", executable.caching_token)
    yield ("Parameters", f"{executable.parameter_bytes:,} B")
    yield (
        "Instructions",
        f"{executable.instruction_bytes:,} B",
        f"{bundles:,} bundles in {wording.count(len(chunks), 'chunk')}",
    )
    yield ("Address fields", f"{executable.address_fields:,}", "filled in by the driver")
    if executable.narrow_memory_bytes_per_tile:
        yield ("Activations", f"{executable.narrow_memory_bytes_per_tile:,} B a tile")
    if executable.scratch_bytes:
        yield ("Host memory", f"{executable.scratch_bytes:,} B")
    if executable.estimated_cycles:
        yield ("Cycles", f"{executable.estimated_cycles:,}", "the compiler's estimate")


def _layer(console: Console, side: str, layer: LayerRecord) -> None:
    console.print(Padding(Text.assemble((f"{side:<4}", "dim"), safe(console, layer.name)), (0, 0, 0, 2)))
    size = f"{'x'.join(map(str, layer.shape))} {layer.data_type}, {layer.size_bytes:,} B"
    facts = [size, f"scale {layer.scale:.7g}, zero {layer.zero_point}"]
    if layer.layout is not None:
        facts.append(f"on {wording.count(layer.layout.tiles, 'tile')}")
    console.print(Padding(safe(console, "; ".join(facts), "dim"), (0, 0, 0, 6), expand=False))


def _transfers(console: Console, executable: ExecutableRecord) -> None:
    hints = executable.dma_hints
    complete = "all of them" if executable.lists_all_transfers else "not all of them"
    console.print(Text(f"  {wording.count(len(hints), 'transfer')} announced, {complete}", "dim"))
    pairs_table(console, (_transfer(hint) for hint in hints[:_TRANSFERS_SHOWN]))
    if len(hints) > _TRANSFERS_SHOWN:
        console.print(Text(f"  and {len(hints) - _TRANSFERS_SHOWN} more; --json tells.", "dim"))


def _transfer(hint: TransferRecord) -> tuple[str, ...]:
    way = "to the chip" if hint.direction == "infeed" else "from the chip"
    if hint.kind == "descriptor":
        return ("  " + hint.region, way, f"{hint.size:,} B at {hint.offset:,}", _name(hint.layer, verbose=False))
    if hint.kind == "instructions":
        return ("  instructions", way, f"chunk {hint.number}")
    return (f"  {hint.kind}", way, f"type {hint.number}" if hint.kind == "interrupt" else "")
