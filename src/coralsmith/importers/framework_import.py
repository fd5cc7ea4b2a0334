"""The parent's side of a framework process: send a source into the child, read back the float model it makes."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from coralsmith.errors import (
    CoralsmithError,
    DetectionHeadError,
    InputError,
    MachineError,
    MalformedModelError,
    MissingExtraError,
    OutputError,
    UnsupportedModelError,
    UsageError,
)
from coralsmith.graph import Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.importers import framework_exchange as exchange
from coralsmith.importers.formats import ACCEPTED
from coralsmith.importers.framework_process import run_module
from coralsmith.importers.imported import ImportOptions, SourceInfo, Usage
from coralsmith.importers.samples import Samples
from coralsmith.progress import Progress

_FAILURES: Final[dict[str, type[CoralsmithError]]] = {
    kind.__name__: kind
    for kind in (
        DetectionHeadError,
        MachineError,
        InputError,
        MalformedModelError,
        UnsupportedModelError,
        UsageError,
    )
}
_LOG_TAIL_BYTES: Final = 4096


@dataclass(frozen=True)
class Framework:
    """A library that reads sources of some kind, in a child process.

    Attributes:
        name: What people call it.
        child: Dotted name of the module that the child runs.
        extra: The dependency group that installs it.
        packages: What must be importable.
    """

    name: str
    child: str
    extra: str
    packages: tuple[str, ...]

    def require(self, source: SourceInfo) -> None:
        """Refuse to start where a package is missing.

        Raises:
            MissingExtraError: It is not installed.
        """
        if any(find_spec(package) is None for package in self.packages):
            raise MissingExtraError(self.extra, f"Reading '{source.path.name}' ({ACCEPTED[source.format]})")


@dataclass(frozen=True)
class Read:
    """What the child brought back.

    Attributes:
        graph: The float graph as the child wrote it, its outputs by their meaningful names.
        facts: What it found out beside that.
        samples: What the source computes on the pictures.
        usage: Time and memory that it took.
    """

    graph: Graph
    facts: exchange.Facts
    samples: Samples
    usage: Usage


def read_in_child(framework: Framework, source: SourceInfo, options: ImportOptions, progress: Progress) -> Read:
    """Run the child in a private folder that is gone afterwards, whatever happens.

    Raises:
        MissingExtraError: The framework is not installed.
        MachineError: A limit was reached, or the framework crashed.
        InputError: The source cannot be used; the subclass says how.
    """
    framework.require(source)
    progress.step(f"Reading the model with {framework.name}")
    try:
        with tempfile.TemporaryDirectory(prefix="coralsmith-") as name:
            folder = Path(name)
            usage = _run_child(folder, framework, source, options, progress)
            graph = read_tflite(folder / exchange.MODEL_FILE)
            facts = exchange.Facts.read(folder)
            _name_outputs(graph, facts.outputs)
            return Read(graph, facts, exchange.read_samples(folder), usage)
    except OSError as error:
        raise MachineError(
            f"The temporary folder cannot be used: {error.strerror}.", hint="Free some space in it, or set TMPDIR."
        ) from error


def _run_child(
    folder: Path, framework: Framework, source: SourceInfo, options: ImportOptions, progress: Progress
) -> Usage:
    request = exchange.Request(
        source.format,
        str(source.path),
        options.trust,
        options.input_size,
        options.signature,
        options.factory,
        python_path=str(Path.cwd()) if options.factory or options.trust else None,
    )
    log = folder / "log.txt"
    stages = _StageReader(folder / exchange.STAGE_FILE, progress)
    try:
        exit_code, usage = run_module(
            framework.child,
            request.write(folder, options.images),
            library=framework.name,
            log=log,
            limits=options.limits,
            on_poll=stages.poll,
        )
    finally:
        if options.log is not None and log.exists():
            _keep(log, options.log)
    if exit_code != 0:
        raise _failure(folder, framework.name, exit_code)
    return usage


def _keep(log: Path, target: Path) -> None:
    try:
        shutil.copyfile(log, target)
    except OSError as error:
        raise OutputError(f"The log '{target}' cannot be written: {error.strerror}.") from error


class _StageReader:
    """Passes on the stage that the child is in, whenever it changes."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path = path
        self._progress = progress
        self._last = ""

    def poll(self) -> None:
        stage = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        if stage and stage != self._last:
            self._progress.note(stage)
            self._last = stage


def _failure(folder: Path, library: str, exit_code: int) -> CoralsmithError:
    """The child's own error, or what can be said of a crash."""
    failure = folder / exchange.FAILURE_FILE
    if failure.exists():
        document = json.loads(failure.read_text(encoding="utf-8"))
        kind = _FAILURES[document["kind"]]
        return kind(document["message"], document["hint"])
    log = (folder / "log.txt").read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", errors="replace")
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
    how = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
    return MachineError(
        f"{library}'s process ended with {how}: {last.strip()[:300]}",
        hint="SIGKILL usually means that the machine ran out of memory; otherwise the file may be damaged.",
    )


def _name_outputs(graph: Graph, names: dict[str, str]) -> None:
    """Give the outputs their meaningful names, by the names that the converter gave them."""
    found = {tensor.name for tensor in graph.outputs}
    if found != set(names):
        raise UnsupportedModelError(
            f"The converted model has the outputs {sorted(found)}, not {sorted(names)}.",
            hint="An output that is a constant, or the same as another one, cannot be converted.",
        )
    for tensor in graph.outputs:
        tensor.name = names[tensor.name]
