"""Checks of a compiled file that need nothing else: whether the runtime takes it and it fits together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from coralsmith.compiled.executable import BUNDLE_BYTES, Executable, Layer
from coralsmith.compiled.package import CompiledModel, Package
from coralsmith.compiled.rules import inspection_rule
from coralsmith.compiled.transfers import transfer_problems
from coralsmith.edgetpu.activations import TILE_BYTES
from coralsmith.edgetpu.rules.facts import NEWEST_RUNTIME
from coralsmith.findings import Finding
from coralsmith.graph.model import Op, Tensor

CHIP: Final = "beagle"
CHIP_NUMBER: Final = 18

_MULTI_CHIP: Final = -1
_LEGAL_PROGRAMS: Final = (
    ("EXECUTION_ONLY", "PARAMETER_CACHING"),
    ("EXECUTION_ONLY", "PARAMETER_CACHING", "STAND_ALONE"),
)

# Element types of the chip and the tensors that the runtime lets them stand for (libedgetpu tflite/custom_op.cc).
_TENSOR_TYPES: Final = {
    "uint8": ("uint8",),
    "int8": ("int8",),
    "uint16": ("int16", "uint8"),
    "int16": ("int16",),
    "int32": ("int32",),
    "float16": ("float16",),
    "float32": ("float32", "uint8"),
}


def integrity_findings(model: CompiledModel) -> Iterator[Finding]:
    """What is wrong with a compiled file."""
    if not model.packages:
        yield inspection_rule("not-compiled").finding(
            measured=f"{len(model.graph.ops)} operators, all for the CPU"
        )
    for op, package in zip(model.edgetpu_ops, model.packages, strict=True):
        for check_package in _PACKAGE_CHECKS:
            yield from check_package(op, package)
        for executable in package.executables:
            for check_executable in _EXECUTABLE_CHECKS:
                yield from check_executable(op, executable)
        main = package.main_executable
        if main is not None:
            yield from _layer_findings(op, main)
    tokens = {executable.caching_token for package in model.packages for executable in package.executables}
    if len(model.packages) > 1 and len(tokens) > 1:
        yield inspection_rule("several-tokens").finding(measured=f"{len(tokens)} tokens")


def _programs(op: Op, package: Package) -> Iterator[Finding]:
    kinds = tuple(sorted(executable.kind for executable in package.executables))
    if not kinds:
        yield inspection_rule("no-executable").finding(op=op.name, measured="0 programs")
    elif len(kinds) > 1 and kinds not in _LEGAL_PROGRAMS:
        shown = ", ".join(kinds[:4]) + (f" and {len(kinds) - 4} more" if len(kinds) > 4 else "")
        yield inspection_rule("program-combination").finding(op=op.name, measured=shown)


def _chip(op: Op, package: Package) -> Iterator[Finding]:
    names = {executable.chip for executable in package.executables} - {CHIP}
    numbers = {str(number) for number in package.chips} - {str(CHIP_NUMBER)}
    if names or numbers:
        yield inspection_rule("other-chip").finding(op=op.name, measured=", ".join(sorted(names | numbers)))
    if package.virtual_chip == _MULTI_CHIP:
        yield inspection_rule("several-chips").finding(op=op.name, measured=f"virtual chip {package.virtual_chip}")


def _runtime(op: Op, package: Package) -> Iterator[Finding]:
    if package.min_runtime > NEWEST_RUNTIME:
        yield inspection_rule("runtime-too-new").finding(op=op.name, measured=f"runtime {package.min_runtime}")


def _tokens(op: Op, package: Package) -> Iterator[Finding]:
    caching = package.executable("PARAMETER_CACHING")
    if caching is not None and caching.caching_token == 0:
        yield inspection_rule("token-missing").finding(op=op.name, measured="0")
    tokens = {executable.caching_token for executable in package.executables}
    if len(tokens) > 1:
        yield inspection_rule("token-unequal").finding(
            op=op.name, measured=", ".join(f"{token:#018x}" for token in sorted(tokens)[:3])
        )


def _instructions(op: Op, executable: Executable) -> Iterator[Finding]:
    sizes = [len(bitstream.content) for bitstream in executable.bitstreams]
    if not sizes or any(size == 0 or size % BUNDLE_BYTES for size in sizes):
        odd = next((size for size in sizes if size == 0 or size % BUNDLE_BYTES), 0)
        yield inspection_rule("no-instructions").finding(op=op.name, measured=f"{executable.kind}: {odd:,} bytes")


def _batch(op: Op, executable: Executable) -> Iterator[Finding]:
    if executable.batch_size < 1:
        yield inspection_rule("batch-size").finding(
            op=op.name, measured=f"{executable.kind}: {executable.batch_size}"
        )


def _addresses(op: Op, executable: Executable) -> Iterator[Finding]:
    for number, bitstream in enumerate(executable.bitstreams):
        if bitstream.stray_fields:
            first, size = bitstream.stray_fields[0], 8 * len(bitstream.content)
            yield inspection_rule("address-outside").finding(
                op=op.name,
                measured=f"{executable.kind}, bitstream {number}: bit {first.bit:,} of {size:,}",
            )


def _transfers(op: Op, executable: Executable) -> Iterator[Finding]:
    for problem in transfer_problems(executable):
        yield inspection_rule("transfers").finding(op=op.name, measured=f"{executable.kind}, {problem}")


def _activation_memory(op: Op, executable: Executable) -> Iterator[Finding]:
    used = executable.narrow_memory_bytes
    if not 0 <= used <= TILE_BYTES:
        yield inspection_rule("activation-memory-exceeded").finding(op=op.name, measured=f"{used:,} B")


def _layer_findings(op: Op, executable: Executable) -> Iterator[Finding]:
    """The runtime pairs layers and tensors by position."""
    sides: tuple[tuple[str, Sequence[Layer], Sequence[Tensor | None]], ...] = (
        ("inputs", executable.inputs, op.inputs),
        ("outputs", executable.outputs, op.outputs),
    )
    for side, layers, tensors in sides:
        if len(layers) != len(tensors):
            yield inspection_rule("layer-count").finding(
                op=op.name, measured=f"{len(layers)} {side} for {len(tensors)} tensors"
            )
            continue
        for layer, tensor in zip(layers, tensors, strict=True):
            if tensor is not None:
                yield from _contradictions(layer, tensor)


def _contradictions(layer: Layer, tensor: Tensor) -> Iterator[Finding]:
    height, width, depth = layer.shape
    values = height * width * depth * layer.executions
    if values != tensor.elements or layer.size_bytes < height * width * depth:
        measured = f"{values:,} values in {layer.size_bytes:,} bytes for {tensor.elements:,}"
        yield inspection_rule("layer-size").finding(tensor=tensor.name, measured=measured)
    if tensor.dtype.name not in _TENSOR_TYPES.get(layer.data_type, ()):
        yield inspection_rule("layer-type").finding(
            tensor=tensor.name, measured=f"{layer.data_type} for {tensor.dtype.name}"
        )
    if layer.name != tensor.name:
        yield inspection_rule("layer-name").finding(tensor=tensor.name, measured=layer.name)
    if tensor.dtype in (np.uint8, np.int8):
        yield from _quantization(layer, tensor)


def _quantization(layer: Layer, tensor: Tensor) -> Iterator[Finding]:
    offset = 128 if tensor.dtype == np.int8 else 0  # the chip counts from 0
    stated = tensor.quant
    if stated is None:
        agrees, text = False, "none"
    else:
        scale, zero_point = float(stated.scale[0]), int(stated.zero_point[0]) + offset
        agrees = np.float32(layer.scale) == stated.scale[0] and layer.zero_point == zero_point
        text = f"{scale:.9g} and {zero_point}"
    if not agrees:
        yield inspection_rule("layer-quantization").finding(
            tensor=tensor.name, measured=f"program: {layer.scale:.9g} and {layer.zero_point}; model: {text}"
        )


_PACKAGE_CHECKS: Final[Sequence[Callable[[Op, Package], Iterator[Finding]]]] = (
    _programs,
    _chip,
    _runtime,
    _tokens,
)

_EXECUTABLE_CHECKS: Final[Sequence[Callable[[Op, Executable], Iterator[Finding]]]] = (
    _instructions,
    _batch,
    _addresses,
    _transfers,
    _activation_memory,
)
