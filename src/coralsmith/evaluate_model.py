"""The public `evaluate`: average precision of models on a data set, side by side, and their agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.images import find_images, readable_sample
from coralsmith.errors import DetectionHeadError, UsageError
from coralsmith.evaluation.bootstrap import RESAMPLES
from coralsmith.evaluation.class_findings import class_findings
from coralsmith.evaluation.classes import match_classes
from coralsmith.evaluation.dataset import AnnotatedImage, Dataset, load_dataset
from coralsmith.evaluation.document import AgainstRecord, AgreementRecord, Decoding, EvaluationReport
from coralsmith.evaluation.ledger import Contender, Entry, LedgerRow, draw_up, set_against
from coralsmith.evaluation.looking import Seen, look
from coralsmith.evaluation_cache import (
    detections_key,
    evaluation_cache_folder,
    load_detections,
    store_detections,
)
from coralsmith.findings import Finding, gravest_first
from coralsmith.importers.imported import ImportOptions
from coralsmith.measured_model import (
    ImportChoices,
    MeasuredModel,
    decoding_of,
    detector_like,
    load_model,
)
from coralsmith.progress import SILENT, Progress
from coralsmith.source_detections import source_contender

RECOGNITION_IMAGES: Final = 8
HIGH_SCORE_LIMIT: Final = 0.05

PathLike = str | Path


def evaluate(
    model: PathLike,
    dataset: PathLike | None = None,
    *,
    images: PathLike | None = None,
    split: str | None = None,
    against: PathLike | Sequence[PathLike] = (),
    head: PathLike | None = None,
    labels: PathLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    source: bool = True,
    cache: bool = True,
    trust: bool = False,
    input_size: tuple[int, int] | str | None = None,
    factory: str | None = None,
    progress: Progress = SILENT,
) -> EvaluationReport:
    """Measure a model on annotated images, alone or against others on the same images.

    All models are decoded as the first one is delivered: by its detection operator's limits, or its head's.

    Args:
        model: A model in any source format, float or int8; or compiled, where an Edge TPU is.
        dataset: COCO, Pascal VOC or YOLO data; see `load_dataset`.
        images: Folder of images without labels, instead of a data set: agreement alone is measured.
        split: Name of a split; by default "test", else "val", else everything; never the training split.
        against: Another model, or several, the reference first.
        head: Head file of the model; one beside it is found by itself.
        labels: Label file of the model.
        resamples: Bootstrap draws.
        seed: Seed of the draws.
        source: Run models of a training framework in that framework too, as a line of the ledger.
        cache: Reuse detections of earlier runs, and remember them.
        trust: Run code that a model file brings along.
        input_size: Height and width for a model that leaves them open.
        factory: ``package.module:function`` that makes the module for a file of PyTorch weights.
        progress: Told of every model and every image.

    Raises:
        CoralsmithError: A model, its head, the data or an option cannot be used; each error carries a hint.
    """
    others = [against] if isinstance(against, (str, Path)) else list(against)
    data = _load_data(dataset, images, split, has_reference=bool(others))
    annotated = data.images if isinstance(data, Dataset) else data
    photos = readable_sample([image.path for image in annotated], RECOGNITION_IMAGES, seed=0)
    choices = ImportChoices(trust, input_size, factory)
    head_file, labels_file = (None if path is None else Path(path).expanduser() for path in (head, labels))
    subject = load_model(Path(model).expanduser(), head_file, labels_file, photos, choices, progress)
    references = [_load_reference(Path(other).expanduser(), photos, choices, progress) for other in others]
    subject, *references = named_alike([subject, *references])
    labelled = data if isinstance(data, Dataset) else None
    if labelled is not None:
        for measured in (subject, *references):  # before the work, not after it
            match_classes(labelled, measured.head.labels, measured.head.category_ids)
    decoding = decoding_of(subject)
    notes = [*_decoding_notes(decoding), *subject.findings]
    contenders = []
    for measured in (*references, subject):
        if source:
            run = run_by_its_framework(measured, choices.options(), decoding, annotated, cache, progress)
            contenders += [run] if isinstance(run, Contender) else []
            notes += [run] if isinstance(run, Finding) else []
        contenders.append(contender_of(measured, decoding, annotated, cache, progress))
    progress.step("Score")
    entries = draw_up(contenders, labelled, resamples=resamples, seed=seed)
    named = [entry for entry in entries if entry.contender.form != "source"]
    subject_entry, reference = named[-1], named[0] if references else None
    if reference is not None:
        subject_entry = set_against(subject_entry, reference, resamples=resamples, seed=seed)
    notes += noticed_in(subject_entry, labelled)
    rows = tuple(entry.row() for entry in entries)
    return _report(
        str(dataset or images),
        labelled.split if labelled else None,
        decoding,
        subject_entry,
        reference,
        rows,
        notes,
    )


def _load_reference(
    path: Path, photos: Sequence[NDArray[np.uint8]], choices: ImportChoices, progress: Progress
) -> MeasuredModel:
    """Another model, whose head must be its own: the options are about the first."""
    try:
        return load_model(path, None, None, photos, choices, progress)
    except DetectionHeadError as error:
        where = f"Its head is looked for beside it, as '{path.stem}_head.json'"
        hint = f"{where}; --head and --labels are those of the first model."
        raise DetectionHeadError(error.message, hint, error.evidence) from error


def run_by_its_framework(
    model: MeasuredModel,
    options: ImportOptions,
    decoding: Decoding,
    images: list[AnnotatedImage],
    cache: bool,
    progress: Progress,
) -> Contender | Finding | None:
    """The source of a model as a contender of its own; see `source_contender`."""
    if model.imported is None:
        return None
    return source_contender(model.imported, model.head, options, decoding, images, cache=cache, progress=progress)


def contender_of(
    model: MeasuredModel, decoding: Decoding, images: list[AnnotatedImage], cache: bool, progress: Progress
) -> Contender:
    """A model that runs on the interpreter, and what it finds in the images."""
    return Contender(
        model.form, model.name, detections_of(model, decoding, images, cache, progress), model.classes
    )


def detections_of(
    model: MeasuredModel,
    decoding: Decoding,
    images: list[AnnotatedImage],
    cache: bool,
    progress: Progress = SILENT,
) -> Seen:
    """What a model finds in the images, from the cache where it is known."""
    progress.step(f"Detect with {Path(model.name).name}", len(images))
    detector = detector_like(model, decoding)
    folder = evaluation_cache_folder() if cache else None
    if folder is None:
        return look(detector.detect, images, progress)
    key = detections_key(detector.graph, detector.head, detector.per_class, images)
    known = load_detections(folder, key, images)
    if known is not None:
        progress.note("taken from an earlier run")
        return known
    seen = look(detector.detect, images, progress)
    store_detections(folder, key, images, seen)
    return seen


def named_alike(models: list[MeasuredModel]) -> list[MeasuredModel]:
    """Forms of one model that do not know their labels take them from the first that does."""
    named = next((m for m in models if not _is_unnamed(m)), None)
    if named is None:
        return models
    labels, category_ids = named.head.labels, named.head.category_ids
    return [
        replace(m, head=replace(m.head, labels=labels, category_ids=category_ids))
        if _is_unnamed(m) and len(m.head.labels) == len(labels)
        else m
        for m in models
    ]


def _is_unnamed(model: MeasuredModel) -> bool:
    """Whether the classes are only numbered, as they are where a head was recognised without a label file."""
    return all(label == f"class {number}" for number, label in enumerate(model.head.labels))


def _load_data(
    dataset: PathLike | None, images: PathLike | None, split: str | None, *, has_reference: bool
) -> Dataset | list[AnnotatedImage]:
    """The annotated images, or plain ones.

    Raises:
        UsageError: Not exactly one of the two is given, or nothing could be measured.
    """
    if (dataset is None) == (images is None):
        raise UsageError(
            "Either a data set or a folder of images is measured on.",
            hint="--dataset for labelled images; --images with --against for images without labels.",
        )
    if dataset is not None:
        return load_dataset(Path(dataset), split)
    if split is not None or not has_reference or images is None:
        raise UsageError(
            "Without labels only the agreement with another model can be measured.",
            hint="Name it with --against, and leave --split out.",
        )
    paths = find_images(Path(images).expanduser())
    nothing = np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, bool)
    return [AnnotatedImage(path, None, *nothing) for path in paths]


def noticed_in(entry: Entry, dataset: Dataset | None) -> list[Finding]:
    """What the data set's rules left out, and what the detections say about the labels."""
    if entry.evaluation is None or dataset is None:
        return entry.contender.seen.findings
    classes = entry.contender.classes
    mapping = match_classes(dataset, classes.labels, classes.category_ids)
    noticed = class_findings(entry.contender.seen, entry.evaluation.dataset, classes.labels, mapping)
    return [*entry.evaluation.findings, *noticed]


def _decoding_notes(decoding: Decoding) -> list[Finding]:
    if decoding.score <= HIGH_SCORE_LIMIT:
        return []
    return [
        Finding(
            "high-score-limit",
            "info",
            "The model keeps confident detections only. AP rates the whole range of scores, so it is lower than "
            "the same network has with a low limit; drops are not concerned.",
            fix="To compare with published AP, set nms.score of the head to 0.01.",
            measured=f"score at least {decoding.score:g}",
            limit=f"{HIGH_SCORE_LIMIT:g}",
            evidence="documented: https://cocodataset.org/#detection-eval",
        )
    ]


def _report(
    data: str,
    split: str | None,
    decoding: Decoding,
    subject: Entry,
    reference: Entry | None,
    ledger: tuple[LedgerRow, ...],
    findings: list[Finding],
) -> EvaluationReport:
    row = subject.row()
    return EvaluationReport(
        model=row.name,
        data=data,
        split=split,
        images=len(subject.contender.seen.images),
        ap=row.ap,
        ap50=row.ap50,
        ap75=row.ap75,
        ap_interval=row.ap_interval,
        per_class={} if subject.evaluation is None else subject.evaluation.per_class,
        decoding=decoding,
        against=None if reference is None else _against(reference),
        drop=row.drop if reference is not None else None,
        drop_interval=row.drop_interval if reference is not None else None,
        agreement=_agreement(subject) if reference is not None else None,
        ledger=ledger,
        findings=tuple(gravest_first(findings)),
    )


def _against(reference: Entry) -> AgainstRecord:
    row = reference.row()
    per_class = {} if reference.evaluation is None else reference.evaluation.per_class
    return AgainstRecord(row.name, row.ap, row.ap50, row.ap75, row.ap_interval, per_class)


def _agreement(subject: Entry) -> AgreementRecord | None:
    agreed = subject.agreement
    if agreed is None:
        return None
    numbers = agreed.ap, agreed.ap50, agreed.ap75, agreed.ap_interval
    return AgreementRecord(agreed.images, agreed.objects, agreed.score_threshold, *numbers)
