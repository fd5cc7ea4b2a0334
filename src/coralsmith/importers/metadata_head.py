"""The detection head that a `.tflite` file's metadata tells, as MediaPipe and Model Maker pack it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec, NmsSpec, ScoreSpec
from coralsmith.detection.hints import HeadHints, without_background
from coralsmith.detection.input_convention import conventional_input
from coralsmith.errors import DetectionHeadError, MalformedModelError
from coralsmith.findings import Finding
from coralsmith.graph import Graph
from coralsmith.importers.tflite_metadata import DetectorMetadata, RawDecoding, read_metadata

_LOCATION, _SCORE = "location", "score"
_EVIDENCE: Final = "read from the model's metadata"


@dataclass(frozen=True)
class ToldHead:
    """What the metadata tells.

    Attributes:
        head: The whole head, where the metadata decodes raw outputs; else None.
        hints: Labels and input for a head that is found in another way.
        findings: What of the metadata could not be used.
    """

    head: DetectionHead | None = None
    hints: HeadHints = field(default_factory=HeadHints)
    findings: tuple[Finding, ...] = ()


def told_by_metadata(graph: Graph, content: bytes, outputs: Sequence[str]) -> ToldHead:
    """Read the head from a file's metadata; what cannot be used of it is a finding, never an error.

    Args:
        graph: The model's graph, its outputs in any order.
        content: The bytes of the file.
        outputs: Names of the outputs in the order of the file, to which the metadata refers by position.
    """
    try:
        metadata = read_metadata(content)
    except MalformedModelError as error:
        return ToldHead(findings=(_unusable(error.message),))
    if metadata is None or len(graph.inputs) != 1:
        return ToldHead()
    findings = (_calibrated(),) if metadata.calibrated else ()
    hints = HeadHints(metadata.labels, _input(graph, metadata))
    if metadata.decoding is None:
        return ToldHead(None, hints, findings)
    try:
        return ToldHead(_head(graph, metadata, metadata.decoding, outputs), hints, findings)
    except DetectionHeadError as error:
        return ToldHead(None, hints, (*findings, _unusable(error.message)))


def _head(
    graph: Graph, metadata: DetectorMetadata, decoding: RawDecoding, outputs: Sequence[str]
) -> DetectionHead:
    if not decoding.exponential:
        raise DetectionHeadError(
            "Its box sizes are not coded by their logarithm, which no SSD box coder here reads."
        )
    names = list(metadata.output_names)
    positions = [names.index(role) if role in names else order for order, role in enumerate((_LOCATION, _SCORE))]
    if len(outputs) != 2 or max(positions) > 1:
        raise DetectionHeadError(f"It describes two raw outputs, the model has {len(outputs)}.")
    labels, background = _classes(metadata, decoding)
    spec, input_evidence = conventional_input(graph)
    told = _input(graph, metadata)
    count = len(decoding.anchors)
    head = DetectionHead(
        input=told or spec,
        boxes=outputs[positions[0]],
        scores=outputs[positions[1]],
        anchors=decoding.anchors,
        labels=labels,
        box_coder=BoxCoder("yxhw", decoding.scales),
        score=ScoreSpec("sigmoid" if decoding.sigmoid else "none", background),
        nms=NmsSpec() if metadata.score_threshold is None else NmsSpec(score=metadata.score_threshold),
        evidence=f"{count} anchors, box coder, activation, labels: the model's metadata (DETECTOR_METADATA); "
        + ("input: the model's metadata" if told else input_evidence),
    )
    head.check_against(graph)
    return head


def _classes(metadata: DetectorMetadata, decoding: RawDecoding) -> tuple[tuple[str, ...], int | None]:
    """Labels, and the background's column: that of a first label called so, or the one without a label."""
    columns, listed = decoding.classes, metadata.labels
    if columns < 1:
        raise DetectionHeadError(f"It claims {columns} classes.")
    if listed is None:
        raise DetectionHeadError(
            "It has no labels, so that nothing tells whether a score column is the background."
        )
    named = without_background(listed)
    if len(listed) == columns:
        return named, None if named == listed else 0
    if len(named) == columns - 1:
        return named, 0
    raise DetectionHeadError(f"It lists {len(listed)} labels for {columns} score columns.")


def _input(graph: Graph, metadata: DetectorMetadata) -> InputSpec | None:
    """The normalisation that is told for a float input; a quantized one tells its own."""
    image = graph.inputs[0]
    if not (metadata.mean and metadata.std and image.is_float and len(image.shape) == 4):
        return None
    size = (image.shape[1], image.shape[2])
    if not {len(metadata.mean), len(metadata.std)} <= {1, 3} or 0.0 in metadata.std:
        return None
    mean, std = ((*values, *values[:1] * 2)[:3] for values in (metadata.mean, metadata.std))
    if len(set(mean)) == 1 and len(set(std)) == 1:
        return InputSpec(size, scale=1 / std[0], offset=-mean[0] / std[0])
    return InputSpec(size, mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))


def _unusable(reason: str) -> Finding:
    return Finding(
        rule="metadata-not-used",
        severity="warning",
        reason=f"The metadata of the model does not give its detection head: {reason}",
        fix="Pack the metadata again, or give the head in a head.json (--head).",
        evidence=_EVIDENCE,
    )


def _calibrated() -> Finding:
    return Finding(
        rule="score-calibration-dropped",
        severity="warning",
        reason="The metadata asks for a score calibration, which no host of the Edge TPU applies; "
        "scores stay as the model gives them.",
        fix="Choose the score limit of the host anew.",
        evidence=_EVIDENCE,
    )
