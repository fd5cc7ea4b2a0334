"""One run of the real Edge TPU compiler, and whether its result may be called a compiled model."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coralsmith.compiled.package import read_compiled
from coralsmith.compiler.explain import explain_failure, explain_statuses
from coralsmith.compiler.locate import Compiler
from coralsmith.compiler.log import CompileResult, parse_log
from coralsmith.compiler.process import ProcessResult, run_bounded
from coralsmith.errors import CoralsmithError, InputError, OutputError
from coralsmith.findings import Finding, has_errors
from coralsmith.graph.writer import write_atomically

DEFAULT_TIMEOUT_S: Final = 600.0

# The launcher breaks on paths with spaces: inside its private folder the compiler only sees these names.
_INPUT: Final = "model.tflite"
_OUTPUT: Final = "out/model_edgetpu.tflite"
_LOG: Final = "out/model_edgetpu.log"

_MAX_LOG_BYTES: Final = 4 * 1024 * 1024
_MAX_OUTPUT_BYTES: Final = 1 << 30

# The smallest real output known has 37 KB; a failed run may leave a stub of about 1 KB (ultralytics #25068).
_MIN_OUTPUT_BYTES: Final = 4096


@dataclass(frozen=True)
class Compilation:
    """What came of one run of the compiler.

    Attributes:
        model: The compiled model, `<stem>_edgetpu.tflite`, its bytes the compiler's own; None where it failed.
        log: The compiler's log file beside it; None where it failed or wrote none.
        result: What the compiler said, as numbers.
        findings: Why it failed (errors), and why operators stayed on the CPU.
        command: What was run, in a private folder.
        stdout: Standard output, bounded.
        stderr: Standard error, bounded.
        seconds: Wall time of the run.
    """

    model: Path | None
    log: Path | None
    result: CompileResult
    findings: list[Finding]
    command: tuple[str, ...]
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether there is a compiled model."""
        return self.model is not None


def compile_model(
    model: Path,
    compiler: Compiler,
    out_dir: Path,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    min_runtime: int | None = None,
) -> Compilation:
    """Compile an int8 model and accept the result only if everything about it agrees.

    Accepted is an output of plausible size that holds an `edgetpu-custom-op`, from a run that ended with exit
    code 0 and whose log counts operators on the Edge TPU. "Model compiled successfully" alone proves nothing:
    the compiler says so even when it mapped nothing.

    Args:
        model: A full-integer `.tflite` file.
        compiler: From `find_compiler`.
        out_dir: Folder for `<stem>_edgetpu.tflite` and `<stem>_edgetpu.log`; made if need be.
        timeout_s: Seconds before the compiler and its children are killed.
        min_runtime: Oldest Edge TPU runtime that must run the output, 10 to 14; None for the compiler's own.

    Returns:
        The result. A failed compilation is a result too, with its reasons in `findings`.

    Raises:
        CompilerError: The compiler cannot be started.
        InputError: The model cannot be read.
        OutputError: The results cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="coralsmith-") as name:
        folder = Path(name)
        _fill(folder, model)
        command = _command(compiler, min_runtime)
        process = run_bounded(command, folder=folder, timeout_s=timeout_s)
        result = _read_result(folder, process)
        findings = [*_judge(folder, process, result, timeout_s), *explain_statuses(result)]
        compiled: Path | None = None
        log: Path | None = None
        if not has_errors(findings):
            compiled, log = _publish(folder, out_dir, model.stem)
    return Compilation(compiled, log, result, findings, command, process.stdout, process.stderr, process.seconds)


def _fill(folder: Path, model: Path) -> None:
    try:
        shutil.copyfile(model, folder / _INPUT)
    except OSError as error:
        raise InputError(f"'{model}' cannot be read: {error.strerror}.") from error
    # The output folder must exist: without it the compiler ends with an internal error (edgetpu #400).
    (folder / _OUTPUT).parent.mkdir()


def _command(compiler: Compiler, min_runtime: int | None) -> tuple[str, ...]:
    runtime = () if min_runtime is None else ("-m", str(min_runtime))
    return (str(compiler.path), "-s", *runtime, "-o", str(Path(_OUTPUT).parent), _INPUT)


def _read_result(folder: Path, process: ProcessResult) -> CompileResult:
    """Standard output has the memory lines; the log file always has the whole operator table."""
    said = parse_log(process.stdout)
    log = folder / _LOG
    if not log.is_file():
        return said
    with log.open("rb") as stream:
        table = parse_log(stream.read(_MAX_LOG_BYTES).decode("utf-8", errors="replace"))
    return dataclasses.replace(
        said, version=said.version or table.version, operations=table.operations or said.operations
    )


def _judge(folder: Path, process: ProcessResult, result: CompileResult, timeout_s: float) -> list[Finding]:
    """Why the run is no success; nothing if it is one."""
    if process.exit_code is None:
        return [
            _failure(
                "compiler-timeout",
                f"The compiler was stopped after {timeout_s:g} seconds.",
                "Give it more time, or use a smaller input size; version 16 has a limit of its own (180 s).",
            )
        ]
    if process.exit_code != 0:
        return explain_failure(process.stderr + process.stdout)
    output = folder / _OUTPUT
    if not output.is_file():
        return explain_failure(process.stderr + process.stdout)
    if result.mapped == 0:
        return [
            _failure(
                "nothing-mapped",
                "The compiler ended normally but mapped no operator to the Edge TPU.",
                "See the statuses; usual cures: full-integer quantization, a minimum runtime of 12 or later.",
            )
        ]
    return _judge_output(output)


def _judge_output(output: Path) -> list[Finding]:
    size = output.stat().st_size
    if not _MIN_OUTPUT_BYTES <= size <= _MAX_OUTPUT_BYTES:
        reason = f"The compiler left a file of {size} bytes, which is no compiled model."
        return [_failure("stub-output", reason, "Compile again; see the compiler's output.")]
    try:
        found = len(read_compiled(output).packages)
    except CoralsmithError as error:
        reason = f"The compiler left a file that is no compiled model: {error.message}"
        return [_failure("stub-output", reason, "Compile again; see the compiler's output.")]
    if found == 0:
        return [
            _failure(
                "no-custom-operator",
                "The output holds no edgetpu-custom-op, so nothing of it would run on the Edge TPU.",
                "See the statuses of the operators.",
            )
        ]
    return []


def _failure(rule: str, reason: str, fix: str) -> Finding:
    return Finding(rule, "error", reason, fix, evidence="measured on the run")


def _publish(folder: Path, out_dir: Path, stem: str) -> tuple[Path, Path | None]:
    """Move the outputs to their final names, each at once and whole, bytes unchanged."""
    compiled, log = out_dir / f"{stem}_edgetpu.tflite", out_dir / f"{stem}_edgetpu.log"
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{out_dir}' cannot be made: {error.strerror}.") from error
    has_log = (folder / _LOG).is_file()
    if has_log:
        write_atomically(log, (folder / _LOG).read_bytes())
    write_atomically(compiled, (folder / _OUTPUT).read_bytes())
    return compiled, log if has_log else None
