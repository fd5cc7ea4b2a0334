"""The detection head of a model of any format, and what is to be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coralsmith.detection.head import DetectionHead
from coralsmith.detection.head_check import check_head
from coralsmith.detection.head_choice import choose_head, head_beside
from coralsmith.detection.images import find_images, readable_sample
from coralsmith.detection.pipeline_config import find_pipeline_config
from coralsmith.detection.postprocess_op import find_postprocess_op
from coralsmith.detection.preprocess import resize_image
from coralsmith.errors import DetectionHeadError
from coralsmith.findings import Finding
from coralsmith.importers import import_model
from coralsmith.importers.imported import Imported
from coralsmith.model_input import image_size
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.ranges import Range

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RECOGNITION_IMAGES = 8
_PROBABILITY_SLACK = 0.01


@dataclass(frozen=True)
class ExaminedHead:
    """A head, and what was noticed while the model was read and the head held against the images."""

    head: DetectionHead
    findings: tuple[Finding, ...]


def examine_head(
    model: Path,
    images: Path | None,
    *,
    head: Path | None = None,
    labels: Path | None = None,
    trust: bool = False,
    input_size: tuple[int, int] | str | None = None,
    factory: str | None = None,
    progress: Progress = SILENT,
) -> ExaminedHead:
    """See `coralsmith.find_head`. A head that was given is checked on the images."""
    model = model.expanduser()
    paths = [] if images is None else find_images(images.expanduser())
    photos = readable_sample(paths, RECOGNITION_IMAGES, seed=0)
    imported = import_model(
        model,
        trust=trust,
        images=photos or None,
        input_size=input_size,
        factory=factory,
        progress=progress,
    )
    size = image_size(imported.graph)
    probes = [] if size is None else [resize_image(photo, size) for photo in photos]
    found = choose_head(
        imported.graph,
        model,
        carried=imported.head,
        head_file=None if head is None else head.expanduser(),
        labels_file=None if labels is None else labels.expanduser(),
        images=probes,
        hints=imported.hints,
    )
    checked = check_given_head(imported, found, model, head, probes)
    return ExaminedHead(found, (*imported.findings, *checked))


def check_given_head(
    imported: Imported,
    head: DetectionHead,
    source: Path,
    head_file: Path | None,
    images: list[NDArray[np.uint8]],
) -> list[Finding]:
    """What `check_head` says of a head that was given: not recognised, nor proved by the source's decoding.

    Args:
        imported: The imported model.
        head: Its head.
        source: The source file, beside which a head file may lie.
        head_file: The user's head file.
        images: uint8 RGB images of the model's input size.
    """
    is_carried = head_file is None and imported.head is not None
    beside = head_beside(source) or find_pipeline_config(source)
    is_given = head_file is not None or (imported.head is None and beside is not None)
    if find_postprocess_op(imported.graph) is not None or not images:
        return []
    if is_given or (is_carried and not imported.is_head_proved):
        return check_head(imported.graph, head, images)
    return []


def require_probabilities(head: DetectionHead, seen: Range) -> None:
    """Refuse a head that calls its scores probabilities although they were seen outside 0 to 1.

    Raises:
        DetectionHeadError: They were.
    """
    low, high = -_PROBABILITY_SLACK, 1 + _PROBABILITY_SLACK
    if head.score.activation == "none" and (seen.low < low or seen.high > high):
        raise DetectionHeadError(
            f"The head calls its scores probabilities, but its scores run from {seen.low:.3g} to {seen.high:.3g}.",
            hint='Probabilities lie in 0 to 1: declare "activation": "sigmoid" (or "softmax") for raw scores.',
        )
