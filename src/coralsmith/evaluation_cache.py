"""Remembers what a model found in the images of a data set, across runs, in the user's cache folder.

What is kept are detections, not scores: labels may be corrected and classes renamed without a model running again.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from coralsmith import __version__
from coralsmith.compiler.cache import default_cache_folder
from coralsmith.detection.detections import Detections
from coralsmith.detection.head import DetectionHead
from coralsmith.errors import OutputError
from coralsmith.evaluation.dataset import AnnotatedImage
from coralsmith.evaluation.looking import Seen
from coralsmith.findings import Finding
from coralsmith.graph import Graph
from coralsmith.graph.writer import serialize_for_interpreter, write_atomically
from coralsmith.report.plain import to_document
from coralsmith.stages import digest, file_digest

_FORMAT: Final = 1  # to be raised when the same files would give other detections
_MOST_FILES: Final = 256
_MOST_BYTES: Final = 1 << 30
_UNUSABLE: Final = -1


def evaluation_cache_folder() -> Path | None:
    """Where detections are kept; None where the user has no home."""
    folder = default_cache_folder()
    return None if folder is None else folder.parent / "evaluations"


def detections_key(graph: Graph, head: DetectionHead, per_class: bool, images: list[AnnotatedImage]) -> str:
    """What the detections of a model depend on: its bytes, its head, how it is decoded, the images' contents."""
    shapes = [image.size for image in images]
    contents = [file_digest(image.path) for image in images]
    model = serialize_for_interpreter(graph)[0]
    return digest(_FORMAT, __version__, model, to_document(head.to_json()), per_class, contents, shapes)


def load_detections(folder: Path, key: str, images: list[AnnotatedImage]) -> Seen | None:
    """What was found earlier; None where nothing is known, or the file is not as it was written."""
    path = folder / f"{key}.npz"
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            counts, findings = archive["counts"], json.loads(str(archive["findings"]))
            parts = archive["boxes"], archive["class_ids"], archive["scores"]
        if len(counts) != len(images) or any(len(part) != counts[counts > 0].sum() for part in parts):
            return None
        edges = np.cumsum(np.maximum(counts, 0))[:-1]
        found = [Detections(*split) for split in zip(*(np.split(part, edges) for part in parts), strict=True)]
        seen = Seen([], [], [Finding(**finding) for finding in findings])
        path.touch()  # entries that are used stay longest
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ):  # damaged, in whatever way
        return None
    for image, count, detections in zip(images, counts, found, strict=True):
        if count != _UNUSABLE:
            seen.images.append(image)
            seen.detections.append(detections)
    return seen


def store_detections(folder: Path, key: str, images: list[AnnotatedImage], seen: Seen) -> None:
    """Keep what was found; a folder that cannot be written keeps nothing."""
    by_path = {image.path: found for image, found in zip(seen.images, seen.detections, strict=True)}
    counts = [len(by_path[image.path]) if image.path in by_path else _UNUSABLE for image in images]
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    found = [empty, *seen.detections]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        allow_pickle=False,
        counts=np.array(counts, np.int64),
        boxes=np.concatenate([d.boxes for d in found]),
        class_ids=np.concatenate([d.class_ids for d in found]),
        scores=np.concatenate([d.scores for d in found]),
        findings=np.array(json.dumps([asdict(finding) for finding in seen.findings])),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(folder / f"{key}.npz", content.getvalue())
        _prune(folder)
    except (OSError, OutputError):
        return


def _prune(folder: Path) -> None:
    """Drop the files that were not used for longest where there are too many."""
    files = []
    for path in folder.glob("*.npz"):
        with contextlib.suppress(OSError):  # another process drops it too
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    total = 0
    for position, (_, size, path) in enumerate(sorted(files, reverse=True)):
        total += size
        if position >= _MOST_FILES or total > _MOST_BYTES:
            path.unlink(missing_ok=True)
