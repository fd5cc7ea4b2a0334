"""Imports ONNX models by an importer of coralsmith's own, compared with onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from coralsmith.importers.canonical import canonicalise
from coralsmith.importers.framework_import import Framework, Read, read_in_child
from coralsmith.importers.imported import Imported, ImportOptions, SourceInfo
from coralsmith.importers.raw_heads import cut_at_raw_heads
from coralsmith.importers.refusals import refuse_unusable
from coralsmith.importers.verification import verify_import
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
    return in_common_form(read, source, options, reference, progress)


def in_common_form(
    read: Read, source: SourceInfo, options: ImportOptions, reference: str, progress: Progress
) -> Imported:
    """The graph that came out of an ONNX model, proved against its reference and cut at its raw heads."""
    refuse_unusable(read.graph)
    canonicalise(read.graph)
    read.graph.verify(f"importing the {source.format} model")
    progress.step("Comparing with the source")
    verification = verify_import(
        read.graph,
        read.samples,
        reference=reference,
        real_images=bool(options.images),
        tolerance=TOLERANCE,
    )
    described = replace(
        source,
        versions=read.facts.versions,
        output_names=read.facts.source_names,
        notes=tuple(read.facts.notes),
        usage=read.usage,
    )
    heads = cut_at_raw_heads(read.graph, read.samples, verification)
    return Imported(heads.graph, heads.head, described, heads.findings, heads.verification)
