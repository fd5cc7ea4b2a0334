"""Cuts a source that decodes its boxes itself at its raw heads, and proves the head that its decoder gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from coralsmith.detection.candidates import HeadCandidate, candidates
from coralsmith.detection.decode import class_probabilities
from coralsmith.detection.graph_decoder import GraphDecoder, find_graph_decoder
from coralsmith.detection.head import BoxCoder, DetectionHead, InputSpec, ScoreSpec
from coralsmith.detection.hints import HeadHints
from coralsmith.detection.input_convention import conventional_input
from coralsmith.detection.layout import HeadLayout, feature_maps, find_layouts
from coralsmith.detection.postprocess_op import detach_postprocess_op, find_postprocess_op
from coralsmith.detection.score_convention import recognise_scores
from coralsmith.errors import DetectionHeadError
from coralsmith.findings import Finding
from coralsmith.graph import Array, Graph
from coralsmith.importers.canonical import canonicalise
from coralsmith.importers.imported import Verification
from coralsmith.importers.joined_outputs import BOXES, SCORES, Apart, read_priors, take_apart
from coralsmith.importers.naming import free_name
from coralsmith.importers.samples import Samples
from coralsmith.importers.sliced_scores import BACKGROUND, unslice_scores
from coralsmith.importers.verification import verify_decoding

RAW_BOXES: Final = "raw_boxes"
_SPLIT: Final = Finding(
    rule="output-split",
    severity="info",
    reason="The model puts out boxes and scores side by side in one tensor; they become two outputs, since one "
    "int8 scale for both would leave the scores nothing.",
    fix="Nothing: the numbers stay the same.",
    evidence="read from the model",
)
_SAME_ANCHORS: Final = 2e-4


@dataclass(frozen=True)
class RawHeads:
    """A graph up to its raw heads.

    Attributes:
        graph: The graph without its decoder; as it was where it has none.
        head: What the decoder told, or None.
        verification: That of the whole graph, with the detections of the head beside it.
        findings: What was noticed.
        hints: What the cuts tell of a head that they do not give whole.
    """

    graph: Graph
    head: DetectionHead | None
    verification: Verification
    findings: list[Finding]
    hints: HeadHints = field(default_factory=HeadHints)


def cut_at_raw_heads(graph: Graph, samples: Samples, verification: Verification) -> RawHeads:
    """Bring a graph to raw boxes and raw scores as two outputs, and make a head of what is taken off.

    Taken off are the detection operator, the joining of boxes and scores, the slice that drops the background, and
    a decoder inside the graph; a graph that has none of these stays as it is.

    Args:
        graph: A verified float graph.
        samples: What the source computes, by the graph's output names.
        verification: How the whole graph compares with it.

    Raises:
        UnsupportedModelError: The head does not give the detections of the source.
    """
    if find_postprocess_op(graph) is not None:
        return _without_operator(graph, verification)
    apart = take_apart(graph, samples)
    findings: list[Finding] = []
    if apart is not None:
        findings.append(_SPLIT)
        graph, samples = apart.graph, apart.samples
    unsliced = unslice_scores(graph, samples)
    hints = HeadHints()
    if unsliced is not None and feature_maps(unsliced.graph, unsliced.graph.tensor(unsliced.scores)):
        graph, samples, hints = unsliced.graph, unsliced.samples, HeadHints(background=BACKGROUND)
    if apart is not None and unsliced is None and (head := _head_of_priors(apart)) is not None:
        return RawHeads(graph, head, verification, findings)
    decoder = find_graph_decoder(graph)
    if decoder is None:
        return RawHeads(graph, None, verification, findings, hints)
    return _without_decoder(graph, samples, verification, decoder, findings, hints)


def _without_decoder(
    graph: Graph,
    samples: Samples,
    verification: Verification,
    decoder: GraphDecoder,
    findings: list[Finding],
    hints: HeadHints,
) -> RawHeads:
    """The graph in front of its decoder, and the head that the decoder tells, proved on the source's own boxes."""
    decoded = decoder.decoded.name
    raw = decoder.cut(graph)
    name = free_name(RAW_BOXES, {tensor.name for tensor in raw.outputs})
    others = {tensor.name: tensor.name for tensor in raw.outputs if tensor.name != decoder.raw.name}
    canonicalise(raw, {decoder.raw.name: name} | others)
    raw.verify("cutting the decoder off")
    layout = next(layout for layout in find_layouts(raw) if layout.boxes.name == name)
    rows = samples.outputs[layout.scores.name].reshape(-1, layout.scores.shape[2])
    try:
        score, evidence = recognise_scores(rows, layout.applied, None, hints.background)
    except DetectionHeadError as error:
        return RawHeads(raw, None, verification, [*findings, _cut(decoded, decoder, error.message)], hints)
    head = _head(raw, layout, decoder, score, evidence)
    own = replace(samples, detections=_detections(samples, decoder, head))
    proof = verify_decoding(raw, head, own, clipped=decoder.clips)
    proved = replace(verification, detections=proof).checked()
    return RawHeads(raw, head, proved, [*findings, _cut(decoded, decoder)])


def _head_of_priors(apart: Apart) -> DetectionHead | None:
    """The head of a graph that puts out its anchors and variances beside boxes and scores."""
    try:
        layouts = [layout for layout in find_layouts(apart.graph) if layout.boxes.name == BOXES]
    except DetectionHeadError:
        return None
    if not layouts:
        return None
    layout = layouts[0]
    rows = apart.samples.outputs[SCORES].reshape(-1, layout.scores.shape[2])
    try:
        score, score_evidence = recognise_scores(rows, layout.applied, None)
    except DetectionHeadError:
        if layout.applied != "SOFTMAX":
            return None
        # Such a softmax has a class for nothing, and ssd_keras, whose form of output this is, numbers it 0.
        score, score_evidence = (
            ScoreSpec("none", BACKGROUND),
            "scores: SOFTMAX in the model; background: column 0, ",
        )
        score_evidence += "convention of models that put out their anchors"
    priors = read_priors(apart, layout)
    if priors is None:
        return None
    spec, input_evidence = conventional_input(apart.graph)
    return DetectionHead(
        input=spec,
        boxes=BOXES,
        scores=SCORES,
        anchors=priors.anchors,
        labels=_unnamed(layout, score),
        box_coder=priors.box_coder,
        score=score,
        evidence="anchors and box coder: columns of the model's own output, "
        f"{_coder_text(priors.box_coder)}; {score_evidence}; {input_evidence}",
    )


def _unnamed(layout: HeadLayout, score: ScoreSpec) -> tuple[str, ...]:
    classes = layout.scores.shape[2] - (score.background is not None)
    return tuple(f"class {index}" for index in range(classes))


def _coder_text(coder: BoxCoder) -> str:
    return f"{coder.order} with scales {', '.join(f'{scale:g}' for scale in coder.scales)}"


def _without_operator(graph: Graph, verification: Verification) -> RawHeads:
    """The graph in front of its own TFLite_Detection_PostProcess, which no quantizer reaches behind."""
    raw, head = detach_postprocess_op(graph)
    canonicalise(raw)
    raw.verify("taking the detection operator off")
    finding = Finding(
        rule="operator-taken-off",
        severity="info",
        reason="The model ends in TFLite_Detection_PostProcess; it is quantized in front of that, and the "
        "operator is attached again behind it.",
        fix="Nothing: detections stay the same.",
        evidence="read from the model",
    )
    return RawHeads(raw, head, verification, [finding])


def _head(
    graph: Graph, layout: HeadLayout, decoder: GraphDecoder, score: ScoreSpec, score_evidence: str
) -> DetectionHead:
    spec, input_evidence = _input(graph, decoder)
    return DetectionHead(
        input=spec,
        boxes=layout.boxes.name,
        scores=layout.scores.name,
        anchors=decoder.anchors,
        labels=_unnamed(layout, score),
        box_coder=decoder.box_coder,
        score=score,
        evidence=f"anchors and box coder: the model's own decoder, {_coder_text(decoder.box_coder)}; "
        f"{score_evidence}; {input_evidence}",
    )


def _input(graph: Graph, decoder: GraphDecoder) -> tuple[InputSpec, str]:
    """The input of the convention that the anchors belong to, else MobileNet's."""
    try:
        known: list[HeadCandidate] = candidates(graph)
    except DetectionHeadError:
        known = []
    for candidate in known:
        if candidate.input is not None and np.abs(candidate.anchors - decoder.anchors).max() < _SAME_ANCHORS:
            return candidate.input, f"input: convention of these anchors, {candidate.convention}"
    return conventional_input(graph)


def _detections(samples: Samples, decoder: GraphDecoder, head: DetectionHead) -> dict[str, Array]:
    """The source's own boxes (ymin, xmin, ymax, xmax) and class probabilities."""
    boxes = samples.outputs[decoder.decoded.name].reshape(len(samples.inputs), -1, 4)
    scores = samples.outputs[head.scores].reshape(len(samples.inputs), len(head.anchors), -1)
    return {
        "boxes": np.stack([decoder.form.corners(rows) for rows in boxes]),
        "scores": np.stack([class_probabilities(rows, head.score) for rows in scores]),
    }


def _cut(decoded: str, decoder: GraphDecoder, problem: str = "") -> Finding:
    clipped = (
        " It clips boxes to the image before they are compared; here that is done at the end." * decoder.clips
    )
    unknown = f" Its scores are not understood: {problem}" if problem else ""
    return Finding(
        rule="decoder-cut",
        severity="warning" if problem else "info",
        reason=f"The model decodes its boxes itself ('{decoded}'), which the Edge TPU cannot; it is cut before "
        f"that, and the boxes are decoded behind it.{clipped}{unknown}",
        fix="Give the head in a head.json (--head)." if problem else "Nothing: detections stay the same.",
        tensor=decoded,
        evidence="measured: known raw boxes fed to the model's own decoder",
    )
