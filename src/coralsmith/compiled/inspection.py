"""Looks into a compiled file: what it is, what it holds, what it costs, what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

from coralsmith.compiled.costs import cost_findings, cpu_places, multiply_accumulates
from coralsmith.compiled.executable import Executable, Layer, TileLayout
from coralsmith.compiled.inspection_report import (
    SCHEMA,
    CpuOp,
    ExecutableRecord,
    FileLayout,
    Inspection,
    LayerRecord,
    LayoutRecord,
    TensorRecord,
    TransferRecord,
)
from coralsmith.compiled.integrity import integrity_findings
from coralsmith.compiled.package import CompiledModel, Package, is_edgetpu_operator, read_compiled
from coralsmith.compiled.rules import CompilerRange, compiler_range, inspection_rule
from coralsmith.compiled.segments import caching_tokens, shared_token_findings
from coralsmith.findings import Finding, gravest_first
from coralsmith.graph.model import Tensor

_FINDINGS_OF_A_RULE: Final = 32


def inspect_file(path: str | Path) -> Inspection:
    """Inspect a compiled `.tflite` file.

    Raises:
        InputError: As `read_tflite`.
        MalformedModelError: A custom operator holds no readable package.
    """
    file = Path(path).expanduser()
    model = read_compiled(file, allow_stubs=True)
    return inspect_model(model, name=str(path), size=file.stat().st_size, more=shared_token_findings(file, model))


def inspect_model(model: CompiledModel, *, name: str, size: int, more: Iterable[Finding] = ()) -> Inspection:
    """Inspect a compiled model that was read.

    Args:
        model: The model.
        name: What it is called.
        size: Bytes of its file.
        more: Findings beside those of the model itself.
    """
    packages = model.packages
    tokens = caching_tokens(model)
    executables = [executable for package in packages for executable in package.executables]
    return Inspection(
        schema=SCHEMA,
        model=name,
        min_runtime=max((package.min_runtime for package in packages), default=None),
        compiler=_compiler(packages),
        chips=sorted({executable.chip for executable in executables}),
        chip_numbers=sorted({number for package in packages for number in package.chips}),
        caching_token=_token(*tokens) if len(tokens) == 1 else None,
        programs=len(packages),
        on_chip_bytes=sum(package.on_chip_bytes for package in packages),
        streamed_bytes=sum(package.streamed_bytes for package in packages),
        inputs=_tensors(model.graph.inputs),
        outputs=_tensors(model.graph.outputs),
        executables=_executables(model),
        cpu_ops=_cpu_ops(model),
        file=_file(model, size),
        findings=_bounded(gravest_first([*integrity_findings(model), *cost_findings(model), *more])),
    )


def _compiler(packages: tuple[Package, ...]) -> CompilerRange | None:
    if not packages:
        return None
    newest = max(packages, key=lambda package: package.min_runtime)
    return compiler_range(newest.min_runtime, names_chips=bool(newest.chips))


def _tensors(tensors: Iterable[Tensor]) -> list[TensorRecord]:
    """Each tensor once, however often a damaged file lists it."""
    return [
        TensorRecord(
            name=tensor.name,
            shape=tensor.shape,
            data_type=tensor.dtype.name,
            scale=None if tensor.quant is None else float(tensor.quant.scale[0]),
            zero_point=None if tensor.quant is None else int(tensor.quant.zero_point[0]),
        )
        for tensor in {id(tensor): tensor for tensor in tensors}.values()
    ]


def _executables(model: CompiledModel) -> list[ExecutableRecord]:
    indices = (index for index, op in enumerate(model.graph.ops) if is_edgetpu_operator(op))
    return [
        _executable(executable, index)
        for index, package in zip(indices, model.packages, strict=True)
        for executable in package.executables
    ]


def _executable(executable: Executable, operator: int) -> ExecutableRecord:
    return ExecutableRecord(
        operator=operator,
        type=executable.kind,
        name=executable.name,
        chip=executable.chip,
        batch_size=executable.batch_size,
        caching_token=_token(executable.caching_token),
        parameter_bytes=len(executable.parameters),
        instruction_bytes=executable.instruction_bytes,
        instruction_chunks=tuple(len(bitstream.content) for bitstream in executable.bitstreams),
        address_fields=sum(len(stream.fields) + len(stream.stray_fields) for stream in executable.bitstreams),
        scratch_bytes=executable.scratch_bytes,
        narrow_memory_bytes_per_tile=executable.narrow_memory_bytes,
        estimated_cycles=executable.estimated_cycles or None,
        inputs=[_layer(layer) for layer in executable.inputs],
        outputs=[_layer(layer) for layer in executable.outputs],
        dma_hints=[
            TransferRecord(h.kind, h.direction, h.region, h.layer, h.offset, h.size, h.number)
            for h in executable.dma_hints
        ],
        lists_all_transfers=executable.fully_deterministic,
    )


def _token(number: int) -> str:
    """A caching token as text: JSON numbers do not hold 64 bits."""
    return f"{number:#018x}"


def _layer(layer: Layer) -> LayerRecord:
    return LayerRecord(
        name=layer.name,
        size_bytes=layer.size_bytes,
        shape=layer.shape,
        data_type=layer.data_type,
        scale=layer.scale,
        zero_point=layer.zero_point,
        executions=layer.executions,
        layout=None if layer.layout is None else _layout(layer.layout, layer.shape),
    )


def _layout(layout: TileLayout, shape: tuple[int, int, int]) -> LayoutRecord:
    """A tile holds a part where the next tile's part starts later; empty tiles at the end start at the end."""
    height, width, depth = shape
    size = height * width * (-(-depth // 4) * 4)  # without the padding of the whole
    offsets = layout.tile_byte_offset
    rows, columns = len(set(layout.y_to_tile)), len(set(layout.x_to_tile))
    filled = sum(end > start for start, end in pairwise((*offsets, size)))
    return LayoutRecord(filled, rows, columns, offsets)


def _cpu_ops(model: CompiledModel) -> list[CpuOp]:
    return [
        CpuOp(index, op.custom_code or op.kind, op.name, place, multiply_accumulates(op))
        for index, op, place in cpu_places(model)
    ]


def _file(model: CompiledModel, size: int) -> FileLayout:
    executables = [executable for package in model.packages for executable in package.executables]
    return FileLayout(
        file_bytes=size,
        package_bytes=sum(len(op.custom_options) for op in model.edgetpu_ops),
        parameter_bytes=sum(len(executable.parameters) for executable in executables),
        instruction_bytes=sum(executable.instruction_bytes for executable in executables),
        description=model.graph.facts.description,
        subgraphs=model.graph.facts.subgraphs,
    )


def _bounded(findings: list[Finding]) -> list[Finding]:
    """No more findings of one rule than a person reads; the last one counts the rest."""
    counts = Counter(finding.rule for finding in findings)
    kept: list[Finding] = []
    shown: Counter[str] = Counter()
    for finding in findings:
        shown[finding.rule] += 1
        if shown[finding.rule] <= _FINDINGS_OF_A_RULE:
            kept.append(finding)
        elif shown[finding.rule] == _FINDINGS_OF_A_RULE + 1:
            rest = counts[finding.rule] - _FINDINGS_OF_A_RULE
            kept.append(inspection_rule(finding.rule).finding(measured=f"and {rest:,} more"))
    return kept
