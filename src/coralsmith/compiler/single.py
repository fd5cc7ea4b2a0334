"""One run of the compiler on one request: fill a folder, run, read what it wrote, judge."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from coralsmith.compiler.judge import judge
from coralsmith.compiler.log import CompileResult, read_log
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.outcome import Outcome, Output, in_all
from coralsmith.compiler.place import OUTPUT_FOLDER, Compiler, Execution, work_folder
from coralsmith.errors import InputError
from coralsmith.graph.model import Graph


@dataclass(frozen=True)
class Request:
    """What is to be compiled, and how.

    Attributes:
        models: Full-integer `.tflite` files; several share the chip's memory.
        graphs: The models as graphs; None for one that coralsmith cannot read whole.
        options: The compiler's options.
        timeout_s: Seconds before the compiler and its children are killed.
    """

    models: tuple[Path, ...]
    graphs: tuple[Graph | None, ...]
    options: CompilerOptions
    timeout_s: float

    @property
    def names(self) -> tuple[str, ...]:
        """What the models are called in the compiler's folder: names that no launcher breaks on."""
        if len(self.models) == 1:
            return ("model.tflite",)
        return tuple(f"model_{index}.tflite" for index in range(len(self.models)))


def run_once(request: Request, compiler: Compiler, parent: Path) -> Outcome:
    """Run the compiler once and judge what came of it.

    Args:
        request: What is to be compiled.
        compiler: From `find_compiler`.
        parent: Private folder; a folder in it holds the results as long as it stands.

    Raises:
        CompilerError: The compiler cannot be reached or started.
        InputError: A model cannot be read.
    """
    folder = work_folder(parent)
    for model, name in zip(request.models, request.names, strict=True):
        try:
            shutil.copyfile(model, folder / name)
        except OSError as error:
            raise InputError(f"'{model}' cannot be read: {error.strerror}.") from error
    arguments = request.options.arguments(request.names, request.timeout_s, compiler.identity.major)
    execution = compiler.execute(folder, arguments, request.timeout_s)
    outputs = _outputs(folder, request, execution)
    findings = judge(execution, outputs, request.graphs, request.timeout_s)
    outcome = Outcome(
        outputs,
        in_all([output.result for output in outputs] or execution.blocks[-1:]),
        tuple(findings),
        execution.command,
        execution.stdout,
        execution.stderr,
        execution.seconds,
    )
    if outcome.succeeded:
        return outcome
    shutil.rmtree(folder.parent, ignore_errors=True)
    return dataclasses.replace(outcome, outputs=())


def _outputs(folder: Path, request: Request, execution: Execution) -> tuple[Output, ...]:
    """Every file that the run was to write, whether it is there or not, with what was said about it."""
    outputs = []
    for index, name in enumerate(request.names):
        for suffix in _suffixes(request.options.segments):
            path = folder / OUTPUT_FOLDER / f"{name.removesuffix('.tflite')}{suffix}.tflite"
            log = path.with_suffix(".log")
            outputs.append(Output(index, suffix, path, log if _is_file(log) else None, CompileResult()))
    several = len(outputs) > 1
    return tuple(
        dataclasses.replace(output, result=_result(output, position if several else None, execution.blocks))
        for position, output in enumerate(outputs)
    )


def _suffixes(segments: int) -> list[str]:
    if segments == 1:
        return ["_edgetpu"]
    return [f"_segment_{index}_of_{segments}_edgetpu" for index in range(segments)]


def _result(output: Output, position: int | None, blocks: Sequence[CompileResult]) -> CompileResult:
    """Standard output has the memory lines; the log file always has the whole operator table."""
    said = _block(output.path.name, position, blocks)
    if output.log is None:
        return said
    table = read_log(output.log)[-1]
    return dataclasses.replace(
        said, version=said.version or table.version, operations=table.operations or said.operations
    )


def _block(name: str, position: int | None, blocks: Sequence[CompileResult]) -> CompileResult:
    """The block of standard output about a file: the last that names it, else the last or the one in its place."""
    for block in reversed(blocks):
        if block.output_path is not None and PurePosixPath(block.output_path).name == name:
            return block
    if position is None:
        return blocks[-1]
    return blocks[position] if position < len(blocks) else CompileResult(version=blocks[-1].version)


def _is_file(path: Path) -> bool:
    """Whether it is a file of the run itself; a link could lead anywhere."""
    return path.is_file() and not path.is_symlink()
