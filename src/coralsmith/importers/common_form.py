"""What becomes of a graph that a child process left: usable, compared with its source, cut at its heads."""

from __future__ import annotations

from dataclasses import replace

from coralsmith.detection.head import DetectionHead
from coralsmith.importers.canonical import canonicalise
from coralsmith.importers.framework_import import Read
from coralsmith.importers.imported import Imported, ImportOptions, SourceInfo
from coralsmith.importers.raw_heads import cut_at_raw_heads
from coralsmith.importers.refusals import refuse_unusable
from coralsmith.importers.verification import EXACT_TOLERANCE, verify_import
from coralsmith.progress import Progress


def in_common_form(
    read: Read,
    source: SourceInfo,
    options: ImportOptions,
    progress: Progress,
    *,
    reference: str,
    tolerance: float = EXACT_TOLERANCE,
) -> Imported:
    """The graph that a child process read, proved against its reference and cut at its raw heads.

    A head that the source carries belongs to the graph as it is, so nothing is cut then.

    Args:
        read: What the child left.
        source: The source, as far as it was known before.
        options: How it was to be imported.
        progress: Told about the comparison.
        reference: The program that ran the source.
        tolerance: Worst difference allowed, in parts of an output's range.

    Raises:
        InputError: The graph cannot be used, or does not compute what the source does; the subclass says which.
    """
    refuse_unusable(read.graph)
    canonicalise(read.graph)
    read.graph.verify(f"importing the {source.format} model")
    head = DetectionHead.from_json(read.facts.head) if read.facts.head is not None else None
    progress.step("Comparing with the source")
    verification = verify_import(
        read.graph,
        read.samples,
        reference=reference,
        real_images=bool(options.images),
        tolerance=tolerance,
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
    return Imported(heads.graph, heads.head, described, heads.findings, heads.verification, heads.hints)
