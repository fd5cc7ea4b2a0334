"""Imports what only TensorFlow can read, in a child process: Keras files, SavedModels and TF1 frozen graphs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from coralsmith.detection.head import DetectionHead
from coralsmith.importers.canonical import canonicalise
from coralsmith.importers.framework_import import Framework, read_in_child
from coralsmith.importers.imported import Imported, ImportOptions, SourceInfo
from coralsmith.importers.raw_heads import cut_at_raw_heads
from coralsmith.importers.refusals import refuse_unusable
from coralsmith.importers.verification import verify_import
from coralsmith.progress import Progress

TENSORFLOW: Final = Framework(
    "TensorFlow", "coralsmith.importers.tensorflow_child", "tensorflow", ("tensorflow", "keras")
)


def import_through_tensorflow(source: SourceInfo, options: ImportOptions, progress: Progress) -> Imported:
    """A Keras, SavedModel or frozen-graph source in the common form, converted and run by TensorFlow.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        MachineError: A limit was reached, or TensorFlow crashed.
        InputError: The source cannot be used; the subclass says how.
    """
    read = read_in_child(TENSORFLOW, source, options, progress)
    refuse_unusable(read.graph)
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
    if head is not None:
        return Imported(read.graph, head, described, [], verification)
    heads = cut_at_raw_heads(read.graph, read.samples, verification)
    return Imported(heads.graph, heads.head, described, heads.findings, heads.verification)
