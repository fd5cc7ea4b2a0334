"""Whether a run of the compiler gave a compiled model: exit code, log, size and content must agree.

"Model compiled successfully" proves nothing: the compiler says so when it mapped nothing, and may leave a stub
behind when it failed.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from coralsmith.compiled.package import CompiledModel, read_compiled
from coralsmith.compiler.explain import explain_failure, explain_warnings
from coralsmith.compiler.log import CompileResult
from coralsmith.compiler.outcome import Output
from coralsmith.compiler.place import Execution
from coralsmith.errors import CoralsmithError
from coralsmith.findings import Finding
from coralsmith.graph.model import Graph, Tensor

_MAX_OUTPUT_BYTES: Final = 1 << 30

# The smallest real output known has 37 KB; a failed run may leave a stub of about 1 KB (ultralytics #25068).
_MIN_OUTPUT_BYTES: Final = 4096

# The compiler prints two decimals: a hundredth of the unit, and some room for how it rounds.
_SIZE_STEP: Final = 0.01
_SIZE_SLACK: Final = 0.02

_CRASHES: Final = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE")


def judge(
    execution: Execution, outputs: Sequence[Output], graphs: Sequence[Graph | None], timeout_s: float
) -> list[Finding]:
    """Why a run is no success; warnings only where it is one.

    Args:
        execution: How the run ended.
        outputs: Every file that it was to write, whether it is there or not.
        graphs: The models that went in.
        timeout_s: The time limit.
    """
    said = execution.stderr + execution.stdout
    if execution.exit_code is None:
        return [
            _failure(
                "compiler-timeout",
                f"The compiler was stopped after {timeout_s:g} seconds.",
                "Give it more time with --timeout, or use a smaller input size.",
            )
        ]
    if execution.exit_code < 0:
        return _ended_by_signal(-execution.exit_code, said)
    missing = [output for output in outputs if not output.path.is_file() or output.path.is_symlink()]
    claims_failure = execution.blocks[-1].succeeded is False  # of a search only the last attempt counts
    if execution.exit_code != 0 or claims_failure or len(missing) == len(outputs):
        return explain_failure(said)
    warnings = explain_warnings(said)
    if missing:
        names = ", ".join(output.path.name for output in missing)
        reason = f"The compiler wrote some of its files but not {names}."
        return [
            _failure("output-missing", reason, "Ask for fewer segments; see the compiler's output."),
            *warnings,
        ]
    whole = len(outputs) == 1
    failures = [
        failure for output in outputs for failure in _judge_output(output, graphs[output.model] if whole else None)
    ]
    return [*failures, *warnings]


def _judge_output(output: Output, source: Graph | None) -> list[Finding]:
    size = output.path.stat().st_size
    if not _MIN_OUTPUT_BYTES <= size <= _MAX_OUTPUT_BYTES:
        return [_stub(f"a file of {size} bytes, which is no compiled model")]
    if not output.result.operations:
        reason = "The compiler left no operator table, so there is nothing to hold its output against."
        return [_failure("no-operator-table", reason, "Compile again; see the compiler's output.")]
    if output.result.mapped == 0:
        return [
            _failure(
                "nothing-mapped",
                "The compiler ended normally but mapped no operator to the Edge TPU.",
                "See the statuses; usual cures: full-integer quantization, a minimum runtime of 12 or later.",
            )
        ]
    return _judge_content(output.path, output.result, source)


def _judge_content(path: Path, result: CompileResult, source: Graph | None) -> list[Finding]:
    try:
        compiled = read_compiled(path)
    except CoralsmithError as error:
        return [_stub(f"a file that is no compiled model: {error.message}")]
    if not compiled.packages:
        return [
            _failure(
                "no-custom-operator",
                "The output holds no edgetpu-custom-op, so nothing of it would run on the Edge TPU.",
                "See the statuses of the operators.",
            )
        ]
    contradictions = list(_contradictions(path.stat().st_size, compiled, result, source))
    if contradictions:
        reason = f"The compiler's words and its output do not agree: {'; '.join(contradictions)}."
        return [
            _failure("output-disagrees", reason, "Compile again; the file may be cut short or of another run.")
        ]
    return []


def _contradictions(
    size: int, compiled: CompiledModel, result: CompileResult, source: Graph | None
) -> Iterator[str]:
    """Where log, source and output differ that agree in all published pairs.

    The log's counts were those of the file in 81 of 81 pairs with a log; names, shapes and element types of inputs
    and outputs were kept in 134 of 134.
    """
    if result.unmapped != len(compiled.cpu_ops):
        yield f"{result.unmapped} operators on the CPU in the log, {len(compiled.cpu_ops)} in the file"
    if result.subgraphs is not None and result.subgraphs != len(compiled.packages):
        yield f"{result.subgraphs} Edge TPU subgraphs in the log, {len(compiled.packages)} in the file"
    listed = result.mapped + result.unmapped
    if source is not None and listed != len(source.ops):
        yield f"{listed} operators in the log, {len(source.ops)} in the model"
    if source is not None:
        yield from _changed_ends("inputs", source.inputs, compiled.graph.inputs)
        yield from _changed_ends("outputs", source.outputs, compiled.graph.outputs)
    if result.output_bytes is not None and not _same_size(result.output_bytes, size):
        yield f"{result.output_bytes} bytes in the log, {size} in the file"


def _changed_ends(what: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> Iterator[str]:
    """What of the inputs or outputs is not as it was."""
    old, new = ([(t.name, t.shape, t.dtype.name) for t in tensors] for tensors in (before, after))
    if old != new:
        yield f"the {what} of the model are {old[:4]}, those of the file {new[:4]}"


def _same_size(printed: int, size: int) -> bool:
    unit = 1 << 20 if printed >= 1 << 20 else 1 << 10
    return abs(printed - size) <= _SIZE_STEP * unit + _SIZE_SLACK * size


def _ended_by_signal(number: int, said: str) -> list[Finding]:
    """A signal says more than silence, and known messages more than a signal."""
    known = [finding for finding in explain_failure(said) if finding.rule != "unknown-compiler-failure"]
    if any(finding.severity == "error" for finding in known):
        return known
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if name in _CRASHES:
        return [
            _failure(
                "compiler-crash",
                f"The compiler crashed ({name}).",
                "Try without segments; use version 16.",
            ),
            *known,
        ]
    reason = f"The compiler was killed ({name}) before it was done; most often the machine was out of memory."
    return [_failure("compiler-killed", reason, "Give the machine or the container more memory."), *known]


def _stub(what: str) -> Finding:
    return _failure("stub-output", f"The compiler left {what}.", "Compile again; see the compiler's output.")


def _failure(rule: str, reason: str, fix: str) -> Finding:
    return Finding(rule, "error", reason, fix, evidence="compiler output: this run and its files")
