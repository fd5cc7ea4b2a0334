"""What the source model finds when its own framework runs it: the first line of the accuracy ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith import __version__
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead, NmsSpec
from coralsmith.detection.head_decoder import select_detections
from coralsmith.detection.preprocess import Geometry, fit, resize_image
from coralsmith.errors import InputError, MachineError
from coralsmith.evaluation.agreement import Classes
from coralsmith.evaluation.dataset import AnnotatedImage
from coralsmith.evaluation.document import Decoding
from coralsmith.evaluation.ledger import Contender
from coralsmith.evaluation.looking import Seen, usable
from coralsmith.evaluation_cache import evaluation_cache_folder, load_detections, store_detections
from coralsmith.findings import Finding
from coralsmith.importers.imported import Imported, ImportOptions
from coralsmith.importers.source_run import FRAMEWORKS, SourceOutput, run_source
from coralsmith.progress import SILENT, Progress
from coralsmith.report.plain import to_document
from coralsmith.stages import digest, file_digest

MOST_IMAGES: Final = 1024
"""With more the source is not run: its framework starts anew for every 128 of them."""

NOT_MEASURED: Final = "source-not-measured"


def source_contender(
    imported: Imported,
    head: DetectionHead,
    options: ImportOptions,
    decoding: Decoding,
    images: list[AnnotatedImage],
    *,
    cache: bool = True,
    progress: Progress = SILENT,
) -> Contender | Finding | None:
    """The source as a contender of the ledger.

    Args:
        imported: The model as it was imported.
        head: Its head, the outputs named as in `imported.graph`.
        options: How it was imported.
        decoding: How its raw boxes and scores become detections.
        images: What to look at.
        cache: Reuse detections of earlier runs, and remember them.
        progress: Told about the child process and the images.

    Returns:
        The contender; a finding that says why the source cannot be run on the images; None where the source is a
        `.tflite` file, which the interpreter runs as the float graph.
    """
    framework = FRAMEWORKS.get(imported.source.format)
    if framework is None:
        return None
    if len(images) > MOST_IMAGES:
        return _not_measured(f"There are {len(images)} images; the source is run on at most {MOST_IMAGES}.")
    versions = imported.source.versions
    version = next((number for name, number in versions.items() if framework.name.lower() in name.lower()), "")
    name = f"{framework.name} {version}".strip()
    try:
        seen = _look(imported, head, options, decoding, images, cache, progress)
    except (InputError, MachineError) as error:
        return _not_measured(error.message)
    return Contender("source", name, seen, Classes(head.labels, head.category_ids))


def _look(
    imported: Imported,
    head: DetectionHead,
    options: ImportOptions,
    decoding: Decoding,
    images: list[AnnotatedImage],
    cache: bool,
    progress: Progress,
) -> Seen:
    folder = evaluation_cache_folder() if cache else None
    contents = [(file_digest(image.path), image.size) for image in images]
    identity = imported.source.sha256, imported.source.versions, to_document(head.to_json())
    key = digest(__version__, "source", identity, to_document(decoding), contents)
    known = None if folder is None else load_detections(folder, key, images)
    if known is not None:
        return known
    seen, places = Seen([], []), []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for image, pixels in usable(images):
            if isinstance(pixels, Finding):
                seen.findings.append(pixels)
                continue
            seen.images.append(image)
            places.append(fit((pixels.shape[0], pixels.shape[1]), head.input.size, head.input.resize))
            yield resize_image(pixels, head.input.size, head.input.resize)

    for output in run_source(imported.source, options, head, pictures(), progress):
        seen.detections.append(_detections(output, places[len(seen.detections)], decoding))
    if folder is not None:
        store_detections(folder, key, images, seen)
    return seen


def _detections(output: SourceOutput, place: Geometry, decoding: Decoding) -> Detections:
    limits = NmsSpec(decoding.iou, decoding.score, decoding.max_detections)
    within = decoding.suppression == "within classes"
    found = select_detections(output.boxes, output.scores, limits, per_class=within)
    return Detections(place.to_image(found.boxes), found.class_ids, found.scores)


def _not_measured(reason: str) -> Finding:
    return Finding(
        NOT_MEASURED,
        "info",
        f"The ledger begins with the float graph: the source was not run on these images. {reason}",
        fix="The import itself was compared with the source; report.json tells how far they agree.",
        evidence="measured",
    )
