"""The compiled files of one model, each with the parameters and instructions that a model is recovered from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coralsmith.compiled.executable import Executable
from coralsmith.compiled.package import CompiledModel, Package, is_edgetpu_operator, read_compiled
from coralsmith.compiled.program import Program
from coralsmith.compiled.requantization import scale, zero_point
from coralsmith.compiled.segments import segments_of
from coralsmith.errors import InputError, NotProvedError
from coralsmith.graph.model import Op, Tensor


@dataclass(frozen=True, eq=False)
class Segment:
    """One compiled file.

    Attributes:
        name: Of the file.
        model: The file.
        operator: Its Edge TPU operator; the tensors it reads and writes are the boundary of the unknown.
        min_runtime: Oldest runtime version that takes it.
        program: Its instructions.
        parameters: The parameters it brings along.
        tile_bytes: Memory for activations that it uses of the fullest tile.
    """

    name: str
    model: CompiledModel
    operator: Op
    min_runtime: int
    program: Program
    parameters: bytes
    tile_bytes: int = 0

    @property
    def inputs(self) -> list[Tensor]:
        """What the chip is given."""
        return [tensor for tensor in self.operator.inputs if tensor is not None]

    @property
    def outputs(self) -> list[Tensor]:
        """What the chip gives back."""
        return self.operator.outputs


def read_segments(paths: Sequence[Path]) -> list[Segment]:
    """The compiled files of one model, in the order in which they run.

    Raises:
        InputError: A file cannot be read, is not compiled, or does not belong to the others.
        NotProvedError: It is compiled in a way that nothing is recovered from.
    """
    _require_all(paths)
    segments = [segment_of(read_compiled(path), path.name) for path in paths]
    ordered: list[Segment] = []
    while segments:
        ready = [segment for segment in segments if not _awaits(segment, segments)]
        if len(ready) != 1:
            names = ", ".join(segment.name for segment in segments)
            raise InputError(
                f"The compiled files are not the segments of one model: {names}.",
                hint="Give all segments of a model, and only those; each reads what an earlier one puts out.",
            )
        if ordered and not _reads_from(ready[0], ordered):
            raise InputError(
                f"'{ready[0].name}' reads nothing that '{ordered[-1].name}' puts out.",
                hint="Give all segments of a model, and only those.",
            )
        ordered.append(ready[0])
        segments.remove(ready[0])
    return ordered


def _require_all(paths: Sequence[Path]) -> None:
    """Refuse segments, as the compiler names them, of which some are missing."""
    given = {path.name for path in paths}
    missing = sorted({name for path in paths for name in segments_of(path.name)} - given)
    if missing and all(path.is_file() for path in paths):
        raise InputError(
            f"'{missing[0]}' is missing: the model was compiled in {len(segments_of(missing[0]))} segments.",
            hint="Give all segments of a model.",
        )


def _awaits(segment: Segment, others: Sequence[Segment]) -> bool:
    return any(_reads_from(segment, [other]) for other in others if other is not segment)


def _reads_from(segment: Segment, others: Sequence[Segment]) -> bool:
    made = {tensor.name for other in others for tensor in other.outputs}
    return any(tensor.name in made for tensor in segment.inputs)


def segment_of(model: CompiledModel, name: str) -> Segment:
    """What a compiled file holds for a model to be recovered.

    Args:
        model: The file.
        name: What it is called.

    Raises:
        InputError: It is not compiled.
        NotProvedError: It is compiled in a way that nothing is recovered from.
    """
    if not model.packages:
        raise InputError(
            f"'{name}' is not compiled for the Edge TPU.",
            hint="Files of the compiler are called *_edgetpu.tflite.",
        )
    if len(model.packages) > 1:
        raise NotProvedError(
            f"'{name}' holds {len(model.packages)} Edge TPU programs; only files with one are understood.",
            hint="The option --enable_multiple_subgraphs of the compiler makes such files.",
        )
    operator = next(op for op in model.graph.ops if is_edgetpu_operator(op))
    package = model.packages[0]
    _require_8_bits(name, operator)
    execution, parameters = _executables(name, package)
    program, tile_bytes = Program.of(execution), execution.narrow_memory_bytes
    return Segment(name, model, operator, package.min_runtime, program, parameters, tile_bytes)


def _require_8_bits(name: str, operator: Op) -> None:
    for tensor in (*operator.inputs, *operator.outputs):
        try:
            known = tensor is None or (zero_point(tensor) in range(256) and 0 < scale(tensor) < np.inf)
        except ValueError:
            known = False
        if not known:
            raise NotProvedError(f"What '{name}' gives to the chip, or gets from it, is not quantized to 8 bits.")


def _executables(name: str, package: Package) -> tuple[Executable, bytes]:
    """What runs for every image, and the parameters."""
    execution = package.executable("EXECUTION_ONLY") or package.executable("STAND_ALONE")
    caching = package.executable("PARAMETER_CACHING")
    if execution is None or (caching is not None and len(execution.parameters)):
        raise NotProvedError(
            f"'{name}' streams parameters that do not fit on the chip; how they are divided is not known."
        )
    return execution, bytes(execution.parameters if caching is None else caching.parameters)
