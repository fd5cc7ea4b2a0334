"""What came of one run of the compiler, once everything about it was held against everything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from coralsmith.compiler.log import CompileResult, OperationCount
from coralsmith.findings import Finding, has_errors


@dataclass(frozen=True)
class Output:
    """One file that the compiler wrote.

    Attributes:
        model: Which of the models it belongs to, from 0.
        suffix: What its name adds to the model's: "_edgetpu", or "_segment_0_of_2_edgetpu".
        path: The compiled model, its bytes the compiler's own.
        log: The compiler's log file beside it; None where it wrote none.
        result: What the compiler said about it.
    """

    model: int
    suffix: str
    path: Path
    log: Path | None
    result: CompileResult


@dataclass(frozen=True)
class Outcome:
    """One judged run.

    Attributes:
        outputs: The compiled models; none where the run failed.
        result: What the compiler said in all.
        findings: Why it failed (errors), and what else is worth knowing.
        command: What was run, in a private folder.
        stdout: Standard output, bounded.
        stderr: Standard error, bounded.
        seconds: Wall time.
    """

    outputs: tuple[Output, ...]
    result: CompileResult
    findings: tuple[Finding, ...]
    command: tuple[str, ...]
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether there are compiled models."""
        return not has_errors(list(self.findings))

    @property
    def failure(self) -> str:
        """The rule of the first error; empty for a success."""
        return next((finding.rule for finding in self.findings if finding.severity == "error"), "")


def in_all(results: Iterable[CompileResult]) -> CompileResult:
    """The results of several files of one run as one: rows and sizes added up."""
    several = list(results)
    if len(several) == 1:
        return several[0]
    counts: Counter[tuple[str, str]] = Counter()
    for result in several:
        for row in result.operations:
            counts[row.kind, row.status] += row.count
    return CompileResult(
        version=next((result.version for result in several if result.version), None),
        operations=[OperationCount(kind, count, status) for (kind, status), count in counts.items()],
        succeeded=all(result.succeeded is not False for result in several),
        input_bytes=_total(result.input_bytes for result in several),
        output_bytes=_total(result.output_bytes for result in several),
        on_chip_used_bytes=_total(result.on_chip_used_bytes for result in several),
        streamed_bytes=_total(result.streamed_bytes for result in several),
        subgraphs=_total(result.subgraphs for result in several),
        operations_total=_total(result.operations_total for result in several),
        compile_ms=_total(result.compile_ms for result in several),
        unrecognised=[line for result in several for line in result.unrecognised],
        truncated=any(result.truncated for result in several),
    )


def _total(values: Iterable[int | None]) -> int | None:
    """The sum where every file has a value."""
    known = list(values)
    return None if any(value is None for value in known) else sum(value for value in known if value is not None)
