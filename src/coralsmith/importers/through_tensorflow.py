"""Imports what only TensorFlow can read, in a child process: Keras files, SavedModels and TF1 frozen graphs."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from coralsmith.detection.head import DetectionHead
from coralsmith.errors import (
    CoralsmithError,
    DetectionHeadError,
    InputError,
    MachineError,
    MalformedModelError,
    MissingExtraError,
    OutputError,
    UnsupportedModelError,
)
from coralsmith.graph import Graph
from coralsmith.graph.reader import read_tflite
from coralsmith.importers import tensorflow_exchange as exchange
from coralsmith.importers.canonical import canonicalise
from coralsmith.importers.framework_process import run_module
from coralsmith.importers.imported import Imported, ImportOptions, SourceInfo, Usage
from coralsmith.importers.refusals import refuse_unusable
from coralsmith.importers.samples import Samples
from coralsmith.importers.verification import verify_import
from coralsmith.progress import Progress

CHILD_MODULE: Final = "coralsmith.importers.tensorflow_child"
_FAILURES: Final[dict[str, type[CoralsmithError]]] = {
    kind.__name__: kind
    for kind in (DetectionHeadError, MachineError, InputError, MalformedModelError, UnsupportedModelError)
}
_LOG_TAIL_BYTES: Final = 4096


def import_through_tensorflow(source: SourceInfo, options: ImportOptions, progress: Progress) -> Imported:
    """A Keras, SavedModel or frozen-graph source in the common form, converted and run by TensorFlow.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        MachineError: A limit was reached, or TensorFlow crashed.
        InputError: The source cannot be used; the subclass says how.
    """
    for module in ("tensorflow", "keras"):
        if find_spec(module) is None:
            raise MissingExtraError("tensorflow", f"Reading a {source.format} model")
    progress.step("Reading the model with TensorFlow")
    read = _read(source, options, progress)
    refuse_unusable(read.graph)
    _name_outputs(read.graph, read.facts.outputs)
    canonicalise(read.graph)
    read.graph.verify(f"importing the {source.format} model")
    head = DetectionHead.from_json(read.facts.head) if read.facts.head is not None else None
    progress.step("Comparing with the source")
    verification = verify_import(
        read.graph,
        read.samples,
        reference=f"TensorFlow {read.facts.versions['tensorflow']}",
        real_images=bool(options.images),
        head=head,
    )
    described = replace(
        source,
        versions=read.facts.versions,
        output_names=read.facts.source_names,
        notes=tuple(read.facts.notes),
        usage=read.usage,
    )
    return Imported(read.graph, head, described, [], verification)


@dataclass(frozen=True)
class _Read:
    """What the child brought back."""

    graph: Graph
    facts: exchange.Facts
    samples: Samples
    usage: Usage


def _read(source: SourceInfo, options: ImportOptions, progress: Progress) -> _Read:
    """Run the child in a private folder that is gone afterwards, whatever happens."""
    try:
        with tempfile.TemporaryDirectory(prefix="coralsmith-") as name:
            folder = Path(name)
            usage = _run_child(folder, source, options, progress)
            graph = read_tflite(folder / exchange.MODEL_FILE)
            return _Read(graph, exchange.Facts.read(folder), exchange.read_samples(folder), usage)
    except OSError as error:
        raise MachineError(
            f"The temporary folder cannot be used: {error.strerror}.", hint="Free some space in it, or set TMPDIR."
        ) from error


def _run_child(folder: Path, source: SourceInfo, options: ImportOptions, progress: Progress) -> Usage:
    request = exchange.Request(
        source.format, str(source.path), options.trust, options.input_size, options.signature
    )
    log = folder / "log.txt"
    stages = _StageReader(folder / exchange.STAGE_FILE, progress)
    try:
        exit_code, usage = run_module(
            CHILD_MODULE,
            request.write(folder, options.images),
            log=log,
            limits=options.limits,
            on_poll=stages.poll,
        )
    finally:
        if options.log is not None and log.exists():
            _keep(log, options.log)
    if exit_code != 0:
        raise _failure(folder, exit_code)
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


def _failure(folder: Path, exit_code: int) -> CoralsmithError:
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
        f"TensorFlow's process ended with {how}: {last.strip()[:300]}",
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
