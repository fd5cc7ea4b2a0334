"""What the metadata of a `.tflite` file says of a detector, as MediaPipe and Model Maker write it.

The file's entry ``TFLITE_METADATA`` is a flatbuffer; label files are members of a zip archive behind the model.
Sources of the field numbers: google-ai-edge/mediapipe, ``mediapipe/tasks/metadata/metadata_schema.fbs`` and
``object_detector_metadata_schema.fbs``; of the file itself: ``tensorflow/lite/schema/schema.fbs``.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.labels import MAX_BYTES, parse_labels
from coralsmith.errors import InputError, MalformedModelError
from coralsmith.graph.flatbuffer import FlatbufferError, Table, TableBudget

MAX_TABLES: Final = 1 << 18  # each anchor is a table; 51,150 are the most of any published SSD of this family
_ENTRY: Final = b"TFLITE_METADATA"
_DETECTOR_ENTRY: Final = "DETECTOR_METADATA"
_NORMALISATION, _CALIBRATION, _THRESHOLD = 1, 2, 3  # the union ProcessUnitOptions
_LABEL_FILES: Final = (2, 3)  # TENSOR_AXIS_LABELS, TENSOR_VALUE_LABELS
_MAX_MEMBERS: Final = 1000


@dataclass(frozen=True, eq=False)
class RawDecoding:
    """How raw outputs become boxes: the table ObjectDetectorOptions.

    Attributes:
        anchors: float32 [N, 4] (y centre, x centre, height, width), normalised.
        classes: Score columns, background included.
        scales: Divisors of the box columns y, x, h, w.
        exponential: Whether sizes are coded by their logarithm.
        sigmoid: Whether a sigmoid is still to be applied to the scores.
    """

    anchors: NDArray[np.float32]
    classes: int
    scales: tuple[float, float, float, float]
    exponential: bool
    sigmoid: bool


@dataclass(frozen=True, eq=False)
class DetectorMetadata:
    """The metadata of a model with one image input.

    Attributes:
        mean: Subtracted from the pixels of each channel, or of all; empty where it is not told.
        std: Divides the difference.
        output_names: What each output is called: "location", "score" and so on.
        labels: Class names, the background included where the model has one.
        score_threshold: Lowest score to be reported, where it is told.
        calibrated: Whether scores are to be calibrated behind the model.
        decoding: How raw outputs are decoded; None for a model that decodes itself.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    output_names: tuple[str, ...]
    labels: tuple[str, ...] | None
    score_threshold: float | None
    calibrated: bool
    decoding: RawDecoding | None


def read_metadata(content: bytes) -> DetectorMetadata | None:
    """The metadata in the bytes of a `.tflite` file; None where there is none.

    Raises:
        MalformedModelError: It is damaged, or names a label file that is not there.
    """
    try:
        described = _entry(content)
        return None if described is None else _metadata(described, content)
    except FlatbufferError as error:
        raise MalformedModelError(f"The metadata of the model is damaged: {error}.") from error


def _entry(content: bytes) -> Table | None:
    """The table SubGraphMetadata of the first subgraph."""
    tables = TableBudget(MAX_TABLES)
    model = Table.root(memoryview(content), b"TFL3", tables)
    numbers = [entry.integer(1, "<I") for entry in model.tables(6) if bytes(entry.content(0)) == _ENTRY]
    if not numbers:
        return None
    buffers = model.tables(4)
    if numbers[0] >= len(buffers):
        raise FlatbufferError(f"it lies in buffer {numbers[0]} of {len(buffers)}")
    metadata = Table.root(buffers[numbers[0]].content(0), tables=tables)
    return next(iter(metadata.tables(3)), None)


def _metadata(described: Table, content: bytes) -> DetectorMetadata:
    inputs, outputs = described.tables(2), described.tables(3)
    units = [unit for tensor in inputs[:1] for unit in tensor.tables(4)]
    normalisation = next((unit.table(1) for unit in units if unit.integer(0, "<B") == _NORMALISATION), None)
    output_units = {unit.integer(0, "<B"): unit.table(1) for tensor in outputs for unit in tensor.tables(4)}
    threshold = output_units.get(_THRESHOLD)
    return DetectorMetadata(
        mean=() if normalisation is None else normalisation.floats(0),
        std=() if normalisation is None else normalisation.floats(1),
        output_names=tuple(tensor.text(0) for tensor in outputs),
        labels=_labels([file for tensor in outputs for file in tensor.tables(6)], content),
        score_threshold=None if threshold is None else threshold.floating(0),
        calibrated=_CALIBRATION in output_units,
        decoding=_decoding(described),
    )


def _labels(files: list[Table], content: bytes) -> tuple[str, ...] | None:
    """The labels in the first label file, which lies in the archive behind the model."""
    names = [file.text(0) for file in files if file.integer(2, "<b") in _LABEL_FILES]
    if not names:
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if len(archive.namelist()) > _MAX_MEMBERS:
                raise MalformedModelError(f"The archive behind the model has more than {_MAX_MEMBERS} files.")
            with archive.open(names[0]) as member:
                text = member.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise MalformedModelError(f"The label file '{names[0]}' that the metadata names is not there.") from error
    if len(text) > MAX_BYTES:
        raise MalformedModelError(f"The label file '{names[0]}' is larger than {MAX_BYTES} bytes.")
    try:
        return tuple(parse_labels(text.decode("utf-8-sig", "replace")))
    except InputError as error:
        raise MalformedModelError(f"The label file '{names[0]}': {error.message}") from error


def _decoding(described: Table) -> RawDecoding | None:
    custom = next((table for table in described.tables(9) if table.text(0) == _DETECTOR_ENTRY), None)
    if custom is None:
        return None
    options = Table.root(custom.content(1), b"V001", TableBudget(MAX_TABLES))
    ssd, decoding = options.table(1), options.table(2)
    fixed = None if ssd is None else ssd.table(0)
    if fixed is None or decoding is None:
        raise FlatbufferError("the detector's options lack anchors or decoding")
    rows = [[anchor.floating(field) for field in (1, 0, 3, 2)] for anchor in fixed.tables(0)]
    return RawDecoding(
        anchors=np.array(rows, np.float32).reshape(-1, 4),
        classes=decoding.integer(0, "<i"),
        scales=(decoding.floating(7), decoding.floating(6), decoding.floating(9), decoding.floating(8)),
        exponential=bool(decoding.integer(10, "<B")),
        sigmoid=bool(decoding.integer(11, "<B")),
    )
