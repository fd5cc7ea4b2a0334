"""Imports ONNX models by an importer of coralsmith's own, compared with onnxruntime."""

from __future__ import annotations

from typing import Final

from coralsmith.importers.common_form import in_common_form
from coralsmith.importers.framework_import import Framework, read_in_child
from coralsmith.importers.imported import Imported, ImportOptions, SourceInfo
from coralsmith.progress import Progress

ONNX: Final = Framework("ONNX", "coralsmith.importers.onnx.child", "onnx", ("onnx", "onnxruntime", "onnxslim"))
TOLERANCE: Final = 1e-4
"""Worst difference allowed, in parts of an output's range: both compute with the same float32 weights."""


def import_through_onnx(source: SourceInfo, options: ImportOptions, progress: Progress) -> Imported:
    """An ONNX model in the common form, compared with what onnxruntime computes.

    Raises:
        MissingExtraError: onnx, onnxruntime or onnxslim is not installed.
        MachineError: A limit was reached, or a library crashed.
        InputError: The source cannot be used; the subclass says how.
    """
    read = read_in_child(ONNX, source, options, progress)
    reference = f"onnxruntime {read.facts.versions['onnxruntime']}"
    return in_common_form(read, source, options, progress, reference=reference, tolerance=TOLERANCE)
