"""One door for every source format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import UsageError
from coralsmith.findings import Finding
from coralsmith.importers.formats import (
    ACCEPTED,
    FROZEN_GRAPH,
    KERAS,
    KERAS_H5,
    ONNX,
    PYTORCH_PROGRAM,
    PYTORCH_WEIGHTS,
    SAVED_MODEL,
    TFJS_GRAPH,
    TFLITE,
    TORCHSCRIPT,
    recognise_format,
)
from coralsmith.importers.image_input import parse_size
from coralsmith.importers.imported import Imported, ImportOptions, Limits, SourceInfo
from coralsmith.importers.samples import load_samples
from coralsmith.importers.source_files import resolve_source, source_digest
from coralsmith.progress import SILENT, Progress

Importer = Callable[[SourceInfo, ImportOptions, Progress], Imported]

_TENSORFLOW: Final = ("coralsmith.importers.through_tensorflow", "import_through_tensorflow")
_TORCH: Final = ("coralsmith.importers.through_torch", "import_through_torch")
IMPORTERS: Final = {
    KERAS: _TENSORFLOW,
    KERAS_H5: _TENSORFLOW,
    SAVED_MODEL: _TENSORFLOW,
    FROZEN_GRAPH: _TENSORFLOW,
    TFJS_GRAPH: _TENSORFLOW,
    ONNX: ("coralsmith.importers.through_onnx", "import_through_onnx"),
    PYTORCH_PROGRAM: _TORCH,
    PYTORCH_WEIGHTS: _TORCH,
    TORCHSCRIPT: _TORCH,
    TFLITE: ("coralsmith.importers.tflite", "import_tflite"),
}
"""Module and function of each format's importer, loaded when it is needed."""

_NOISE: Final = Finding(
    rule="import-verified-on-noise",
    severity="info",
    reason="No pictures were given, so the import was compared with its source on noise.",
    fix="Give pictures like those that the model was trained on.",
)


def import_model(
    path: str | Path,
    *,
    trust: bool = False,
    images: Iterable[NDArray[np.uint8]] | str | Path | None = None,
    input_size: tuple[int, int] | str | None = None,
    signature: str | None = None,
    factory: str | None = None,
    limits: Limits | None = None,
    log: Path | None = None,
    verify: bool = True,
    progress: Progress = SILENT,
) -> Imported:
    """Read a trained model of any accepted format, and prove that the graph computes what the source does.

    Args:
        path: `.keras`, `.h5`, SavedModel folder, TF1 frozen `.pb`, TensorFlow.js `model.json`, `.onnx`, `.pt2`,
            PyTorch weights or `.tflite`; told by content, not by name.
        trust: Let code inside the file run (Keras Lambda layers, custom classes, pickles, TorchScript).
        images: A few uint8 RGB pictures [height, width, 3], or a `.npy` file of them, to compare on; else noise.
        input_size: Height and width for a model that leaves them open, also as text ("240x320").
        signature: Which signature of a SavedModel, where it has several.
        factory: ``package.module:function`` that makes the PyTorch module, for a file that holds its weights only.
        limits: Time and memory of the framework's child process.
        log: File that receives the framework's messages.
        verify: Compare a `.tflite` source with its graph; other formats are always compared.
        progress: Told of each step.

    Returns:
        The graph with batch 1 and static shapes, the head that the source itself carries, and the proof.

    Raises:
        InputError: The file is not an accepted source, is damaged, or uses what has no form here.
        UsageError: An option that makes no sense, or not for this format.
        MissingExtraError: The format needs a framework that is not installed.
        MachineError: The child process reached a limit or crashed.
        ImageDataError: The pictures cannot be used.
    """
    resolved = resolve_source(path)
    source = SourceInfo(resolved, recognise_format(resolved), source_digest(resolved))
    if factory is not None and source.format != PYTORCH_WEIGHTS:
        raise UsageError(
            f"A factory makes the module for PyTorch weights; '{path}' is a {ACCEPTED[source.format]}.",
            hint="Leave --factory out.",
        )
    options = ImportOptions(
        trust, load_samples(images), parse_size(input_size), signature, factory, limits or Limits(), log, verify
    )
    imported = _importer(source.format)(source, options, progress)
    if imported.verification is not None and not options.images:
        imported.findings.append(_NOISE)
    return imported


def _importer(source_format: str) -> Importer:
    module, function = IMPORTERS[source_format]
    importer: Importer = getattr(import_module(module), function)
    return importer
