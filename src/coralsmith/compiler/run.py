"""Compiles a model by the real Edge TPU compiler, and takes the result only if everything about it agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from coralsmith.compiled.package import is_edgetpu_operator, read_compiled
from coralsmith.compiler.attempts import Attempt, with_choice
from coralsmith.compiler.cache import CompilationCache
from coralsmith.compiler.log import CompileResult
from coralsmith.compiler.options import CompilerOptions
from coralsmith.compiler.outcome import Outcome
from coralsmith.compiler.place import Compiler, private_folder
from coralsmith.compiler.proof import Origin, Verifier
from coralsmith.compiler.publish import output_names, publish
from coralsmith.compiler.single import Request, run_once
from coralsmith.compiler.telling import explain_outcome, explain_trying, fewer_than_foretold
from coralsmith.compiler.trying import DEFAULT_ATTEMPTS, Tried, try_to_compile
from coralsmith.errors import UnsupportedModelError, UsageError
from coralsmith.findings import Finding, gravest_first, has_errors
from coralsmith.graph.model import Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.progress import SILENT, Progress

SCHEMA: Final = "coralsmith/compile/1"
DEFAULT_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True)
class Compilation:
    """What came of compiling.

    Attributes:
        model: The compiled model, `<stem>_edgetpu.tflite`, its bytes the compiler's own; None where it failed. Of
            several files the first.
        log: The compiler's log file beside it; None where it failed or wrote none.
        result: What the compiler said in the attempt that was taken (the first one where all failed), as numbers.
        findings: Why it failed (errors), and why operators stayed on the CPU, each with its layer.
        command: What was run in that attempt, in a private folder.
        stdout: Standard output of that attempt, bounded.
        stderr: Standard error of that attempt, bounded.
        seconds: Wall time of that attempt.
        models: All compiled files: segments, or models that share the chip.
        compiler: Where the compiler is: a path, "docker:IMAGE", "ssh:HOST".
        attempts: Every attempt, in order.
        origins: For each model how far it is proved that its compiled files were made from it; empty where that
            was not looked at.
        schema: Name and version of this document.
    """

    model: Path | None
    log: Path | None
    result: CompileResult
    findings: list[Finding]
    command: tuple[str, ...]
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    seconds: float
    models: tuple[Path, ...] = ()
    compiler: str = ""
    attempts: tuple[Attempt, ...] = ()
    origins: tuple[Origin, ...] = ()
    schema: str = field(default=SCHEMA)

    @property
    def succeeded(self) -> bool:
        """Whether there is a compiled model."""
        return self.model is not None


def compile_model(
    model: Path | Sequence[Path],
    compiler: Compiler,
    out_dir: Path,
    *,
    options: CompilerOptions | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    attempts: int = DEFAULT_ATTEMPTS,
    cache: Path | None = None,
    verifier: Verifier | None = None,
    progress: Progress = SILENT,
) -> Compilation:
    """Compile an int8 model and take the best result about which everything agrees.

    Accepted is an output of plausible size that holds an `edgetpu-custom-op`, from a run that ended with exit
    code 0 and whose log counts the operators that the file has. Where the plain run fails, what may help is tried.

    Args:
        model: A full-integer `.tflite` file; several are compiled together and share the chip's memory.
        compiler: From `find_compiler`.
        out_dir: Folder for `<stem>_edgetpu.tflite` and `<stem>_edgetpu.log`; made if need be.
        options: The compiler's options.
        timeout_s: Seconds before one run of the compiler and its children are killed.
        attempts: Most runs of the compiler; 1 for the plain one alone.
        cache: Folder of remembered results; None to remember nothing.
        verifier: Holds the best result against its model before it is taken; None to go without.
        progress: Told about every attempt.

    Returns:
        The result. A failed compilation is a result too, with its reasons in `findings`.

    Raises:
        CompilerError: The compiler cannot be reached or started.
        InputError: The model cannot be read, or is compiled already.
        OutputError: The results cannot be written.
        UsageError: The options contradict each other.
    """
    models = (model,) if isinstance(model, Path) else tuple(model)
    options = options or CompilerOptions()
    _require_sense(models, options, timeout_s, attempts)
    request = Request(models, tuple(_read(path) for path in models), options, timeout_s)
    with private_folder() as parent:
        memory = CompilationCache(cache, compiler.identity, parent)
        run = partial(run_once, compiler=compiler, parent=parent)
        version = compiler.identity.major
        tried = try_to_compile(request, run, memory, version, most_attempts=attempts, progress=progress)
        taken = (tried.chosen or tried.trials[0]).outcome
        origins = [] if verifier is None else _prove(verifier, request, taken)
        findings = _findings(request, tried, version, memory.problem, origins)
        published = [] if has_errors(findings) else publish(taken, models, out_dir)
    return Compilation(
        model=published[0].model if published else None,
        log=published[0].log if published else None,
        result=taken.result,
        findings=gravest_first(findings),
        command=taken.command,
        stdout=taken.stdout,
        stderr=taken.stderr,
        seconds=taken.seconds,
        models=tuple(file.model for file in published),
        compiler=compiler.name,
        attempts=with_choice(tried.trials, tried.chosen),
        origins=tuple(origins),
    )


def _findings(
    request: Request, tried: Tried, version: int, problem: str, origins: Sequence[Origin]
) -> list[Finding]:
    """All that is to be said of the attempt that was taken, or of the first one where all failed."""
    taken = tried.chosen or tried.trials[0]
    findings = [*explain_trying(request, tried), *explain_outcome(request, taken.outcome)]
    if taken.attempt.succeeded and taken.attempt.step == "plain":  # others map fewer operators on purpose
        findings += fewer_than_foretold(request, taken.outcome, version)
    if problem:
        findings.append(_not_remembered(problem))
    return [*findings, *(finding for origin in origins for finding in origin.findings)]


def _prove(verifier: Verifier, request: Request, outcome: Outcome) -> list[Origin]:
    """Hold every model that could be read against the files made from it."""
    origins = []
    for index, graph in enumerate(request.graphs):
        own = [output for output in outcome.outputs if output.model == index]
        if graph is not None and own:
            origins.append(verifier(graph, [(output.path.name, read_compiled(output.path)) for output in own]))
    return origins


def _require_sense(models: Sequence[Path], options: CompilerOptions, timeout_s: float, attempts: int) -> None:
    if not models:
        raise UsageError("There is no model to compile.")
    if len(models) > 1 and options.segments > 1:
        raise UsageError("Several models cannot be compiled together and split into segments at once.")
    if attempts < 1 or not timeout_s > 0:
        raise UsageError("The compiler needs at least one attempt, and some time for it.")
    names = output_names(models)
    if len(set(names)) < len(names):
        raise UsageError("Two of the models have the same name, and so would the compiled ones.")


def _read(path: Path) -> Graph | None:
    """The model as a graph; None for a valid model with something in it that coralsmith does not know.

    Raises:
        InputError: It is no `.tflite` model, or one that is compiled already.
    """
    try:
        graph = read_tflite(path)
    except UnsupportedModelError:
        return None
    if any(is_edgetpu_operator(op) for op in graph.ops):
        raise UnsupportedModelError(
            f"'{path}' is compiled for the Edge TPU already.",
            hint="Give the int8 model that it was compiled from.",
        )
    return graph


def _not_remembered(problem: str) -> Finding:
    return Finding(
        "result-not-remembered",
        "info",
        f"The result could not be kept for later runs: {problem}.",
        "Name another folder with --cache.",
        evidence="documented: message of the operating system",
    )
