"""`head.json`: the detection head as a document, its schema, and the file.

The pydantic models are the schema (``coralsmith/head/1``): they check types and name the wrong field; what
the fields mean together is checked by the dataclasses of `head`. Imported only when a document is needed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coralsmith.detection.head import (
    Activation,
    BoxCoder,
    BoxOrder,
    Channels,
    DetectionHead,
    InputSpec,
    NmsSpec,
    Resize,
    ScoreSpec,
)
from coralsmith.errors import DetectionHeadError
from coralsmith.graph.writer import write_atomically

SCHEMA: Final = "coralsmith/head/1"
# 51,150 anchors, the most of any published SSD of this family, take 4 MB as text.
MAX_FILE_BYTES: Final = 32 * 1024 * 1024

Quadruple = tuple[float, float, float, float]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class InputDocument(_Part):
    """Field `input`: either scale and offset, or mean and std."""

    size: tuple[int, int]
    scale: float | None = None
    offset: float | None = None
    mean: Channels | None = None
    std: Channels | None = None
    resize: Resize = "stretch"


class OutputsDocument(_Part):
    """Field `outputs`: tensor names."""

    boxes: str
    scores: str


class BoxCoderDocument(_Part):
    """Field `box_coder`."""

    order: BoxOrder
    scales: Quadruple


class ScoresDocument(_Part):
    """Field `scores`."""

    activation: Activation
    background: int | None = None


class NmsDocument(_Part):
    """Field `nms`."""

    iou: float
    score: float
    max_detections: int


class HeadDocument(_Part):
    """The whole of `head.json`."""

    schema_name: Literal["coralsmith/head/1"] = Field(alias="schema")
    input: InputDocument
    outputs: OutputsDocument
    anchors: list[Quadruple]
    box_coder: BoxCoderDocument
    scores: ScoresDocument
    nms: NmsDocument
    labels: list[str]
    category_ids: list[int] | None = None
    evidence: str = ""


def to_document(head: DetectionHead) -> dict[str, Any]:
    """The JSON document of a head, fields in the order of the schema."""
    return {
        "schema": SCHEMA,
        "input": _input_document(head.input),
        "outputs": {"boxes": head.boxes, "scores": head.scores},
        "anchors": _shortest_decimals(head.anchors),
        "box_coder": {"order": head.box_coder.order, "scales": list(head.box_coder.scales)},
        "scores": {"activation": head.score.activation, "background": head.score.background},
        "nms": {"iou": head.nms.iou, "score": head.nms.score, "max_detections": head.nms.max_detections},
        "labels": list(head.labels),
        "category_ids": None if head.category_ids is None else list(head.category_ids),
        "evidence": head.evidence,
    }


def from_document(document: object) -> DetectionHead:
    """The head that a JSON document describes.

    Raises:
        DetectionHeadError: A field is missing, unknown or wrong.
    """
    try:
        content = json.dumps(document).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DetectionHeadError(f"The head is not a JSON document: {error}.") from error
    return _parse(content)


def read_head(path: Path) -> DetectionHead:
    """Read a `head.json` file of at most `MAX_FILE_BYTES`.

    Raises:
        DetectionHeadError: The file cannot be read, is too large, is not JSON, or is not a valid head.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DetectionHeadError(f"Cannot read the head file '{path}': {error.strerror}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise DetectionHeadError(
            f"The head file '{path}' is larger than {MAX_FILE_BYTES} bytes.",
            hint="A head.json holds one detection head; is this another file?",
        )
    return _parse(content)


def write_head(head: DetectionHead, path: Path) -> None:
    """Write a `head.json` file: the whole file appears under its name, or none does.

    Raises:
        OutputError: The file cannot be written.
    """
    write_atomically(path, _format(to_document(head)).encode())


def _parse(content: bytes) -> DetectionHead:
    try:
        parsed = HeadDocument.model_validate_json(content)
    except ValidationError as error:
        raise _wrong_document(error) from None
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which the head refuses
        anchors = np.array(parsed.anchors, np.float32)
    return DetectionHead(
        input=InputSpec(**parsed.input.model_dump()),
        boxes=parsed.outputs.boxes,
        scores=parsed.outputs.scores,
        anchors=anchors,
        labels=tuple(parsed.labels),
        box_coder=BoxCoder(**parsed.box_coder.model_dump()),
        score=ScoreSpec(**parsed.scores.model_dump()),
        nms=NmsSpec(**parsed.nms.model_dump()),
        category_ids=None if parsed.category_ids is None else tuple(parsed.category_ids),
        evidence=parsed.evidence,
    )


def _input_document(spec: InputSpec) -> dict[str, Any]:
    if spec.mean is not None and spec.std is not None:
        normalisation: dict[str, Any] = {"mean": list(spec.mean), "std": list(spec.std)}
    else:
        normalisation = {"scale": spec.scale, "offset": spec.offset}
    return {"size": list(spec.size), **normalisation, "resize": spec.resize}


def _shortest_decimals(values: NDArray[np.float32]) -> list[list[float]]:
    """Each float32 as the shortest decimal that reads back as the same float32."""
    decimals: list[list[float]] = values.astype(str).astype(np.float64).tolist()
    return decimals


def _format(document: dict[str, Any]) -> str:
    """Indented JSON with one anchor a line."""
    text = json.dumps({**document, "anchors": []}, indent=2, ensure_ascii=False)
    rows = ",\n    ".join(json.dumps(row) for row in document["anchors"])
    return text.replace('"anchors": []', f'"anchors": [\n    {rows}\n  ]', 1) + "\n"


def _wrong_document(error: ValidationError) -> DetectionHeadError:
    """The first wrong field of a document, told by its path; the number of all others behind it."""
    problems = error.errors(include_url=False)
    first = problems[0]
    if first["type"] == "json_invalid":
        return DetectionHeadError(
            f"The head file holds no JSON: {first['ctx']['error']}.",
            hint="`coralsmith head MODEL --images DIR -o head.json` writes one.",
        )
    name = ".".join(str(part) for part in first["loc"]) or "the document"
    found = "missing" if first["type"] == "missing" else repr(first["input"])[:80]
    more = f" ({len(problems) - 1} more fields are wrong.)" if len(problems) > 1 else ""
    return DetectionHeadError(
        f"head.json: {name} is {found}: {first['msg']}.{more}",
        hint=f"The fields of head.json are described by the schema {SCHEMA}.",
    )
