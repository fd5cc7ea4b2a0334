"""Imports PyTorch programs and modules: torch exports them to ONNX, and gives the reference."""

from __future__ import annotations

from typing import Final

from coralsmith.errors import UnsupportedModelError, UsageError
from coralsmith.importers.common_form import in_common_form
from coralsmith.importers.formats import PYTORCH_PROGRAM, PYTORCH_WEIGHTS, TORCHSCRIPT
from coralsmith.importers.framework_import import Framework, read_in_child
from coralsmith.importers.imported import Imported, ImportOptions, SourceInfo
from coralsmith.importers.through_onnx import ONNX, TOLERANCE
from coralsmith.progress import Progress

TORCH: Final = Framework(
    "PyTorch", "coralsmith.importers.torch.child", "torch", ("torch", "onnxscript", *ONNX.packages)
)


def import_through_torch(source: SourceInfo, options: ImportOptions, progress: Progress) -> Imported:
    """A `.pt2` program, weights with their factory or a trusted pickle, compared with what torch computes.

    Raises:
        MissingExtraError: torch, onnx, onnxscript, onnxruntime or onnxslim is not installed.
        MachineError: A limit was reached, or torch crashed.
        InputError: The source cannot be used; the subclass says how.
        UsageError: A factory or an image size is missing.
    """
    _require_options(source, options)
    read = read_in_child(TORCH, source, options, progress)
    reference = f"torch {read.facts.versions['torch']}"
    return in_common_form(read, source, options, progress, reference=reference, tolerance=TOLERANCE)


def _require_options(source: SourceInfo, options: ImportOptions) -> None:
    """Ask for what a file of this kind does not tell, before torch is started."""
    if source.format == TORCHSCRIPT and not options.trust:
        raise UnsupportedModelError(
            f"'{source.path.name}' is TorchScript, which is code.",
            hint="If you trust where the file comes from, allow it with --trust.",
        )
    if source.format == PYTORCH_WEIGHTS and options.factory is None and not options.trust:
        raise UsageError(
            f"'{source.path.name}' holds PyTorch weights, and not the module that they belong to.",
            hint="Name a function that makes it: --factory package.module:function; or give a .pt2 file "
            "(torch.export.save). A file that holds the whole module loads with --trust.",
        )
    if source.format != PYTORCH_PROGRAM and options.input_size is None:
        raise UsageError(
            f"'{source.path.name}' does not tell the size of its image.",
            hint="Give height and width: --input-size 300x300.",
        )
