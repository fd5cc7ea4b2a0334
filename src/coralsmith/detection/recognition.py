"""Recover the detection head of a model that carries no description of it, and prove it on real images.

Nothing is guessed: outputs and feature maps are read from the graph, the meaning of the scores from their
values, and the anchor set is the one among the published ones under which neighbouring anchors agree. Where
the evidence allows more than one answer the user is asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.agreement import NeighbourPairs, find_pairs
from coralsmith.detection.anchor_choice import choose_anchors
from coralsmith.detection.candidates import candidates
from coralsmith.detection.decode import class_probabilities
from coralsmith.detection.head import DetectionHead, InputSpec, ScoreSpec
from coralsmith.detection.input_convention import conventional_input
from coralsmith.detection.layout import ASK_FOR_HEAD, HeadLayout, find_layouts
from coralsmith.detection.postprocess_op import detach_postprocess_op, find_postprocess_op
from coralsmith.detection.raw_outputs import raw_outputs
from coralsmith.detection.score_convention import MOSTLY, recognise_scores, share_without_object
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph, Tensor

Floats = NDArray[np.float32]
Outputs = dict[Tensor, list[Floats]]

MAX_IMAGES: Final = 16


def recognise(
    graph: Graph,
    images: Iterable[NDArray[np.uint8]],
    *,
    labels: Sequence[str] | None = None,
    input_spec: InputSpec | None = None,
    background: int | None = None,
) -> DetectionHead:
    """Recover the detection head of a model made by one of the conventions in `candidates`.

    Args:
        graph: A model with raw heads, or one that ends in TFLite_Detection_PostProcess.
        images: uint8 RGB images of the input's size, [height, width, 3] each, with objects that the model
            knows; the first `MAX_IMAGES` are used.
        labels: Class names without background, where they are known.
        input_spec: The normalisation, where it is known; else what `conventional_input` says.
        background: Column of the background, where the source itself drops it.

    Raises:
        DetectionHeadError: No head or more than one fits; the message holds the evidence.
    """
    if find_postprocess_op(graph) is not None:
        return _with_labels(detach_postprocess_op(graph)[1], labels)
    convention, input_evidence = conventional_input(graph)
    spec, input_evidence = (convention, input_evidence) if input_spec is None else (input_spec, "input: given")
    layouts, sets = find_layouts(graph), candidates(graph)
    outputs = _run(graph, layouts, spec, images)
    layout, output_evidence = tell_roles(layouts, outputs)
    rows = np.concatenate(outputs[layout.scores])
    classes = None if labels is None else len(labels)
    score, score_evidence = recognise_scores(rows, layout.applied, classes, background)
    winner, anchor_evidence = choose_anchors(sets, layout, _pairs(layout, score, outputs))
    if input_spec is None and winner.input is not None:
        spec, input_evidence = winner.input, f"input {_range_text(winner.input)}: convention of these anchors"
    count = rows.shape[1] - (score.background is not None)
    return DetectionHead(
        input=spec,
        boxes=layout.boxes.name,
        scores=layout.scores.name,
        anchors=winner.anchors,
        labels=tuple(labels or (f"class {index}" for index in range(count))),
        box_coder=winner.box_coder,
        score=score,
        evidence="; ".join([output_evidence, score_evidence, anchor_evidence, input_evidence]),
    )


def _range_text(spec: InputSpec) -> str:
    low, high = spec.real_range()
    return f"[{low:.3g}, {high:.3g}]"


def _with_labels(head: DetectionHead, labels: Sequence[str] | None) -> DetectionHead:
    if labels is None:
        return head
    if len(labels) != len(head.labels):
        raise DetectionHeadError(
            f"There are {len(labels)} labels; the model's own operator says {len(head.labels)}."
        )
    return replace(head, labels=tuple(labels))


def _run(graph: Graph, layouts: list[HeadLayout], spec: InputSpec, images: Iterable[NDArray[np.uint8]]) -> Outputs:
    """The real values [N, columns] of the outputs that the layouts speak of, image by image."""
    found: Outputs = {tensor: [] for tensor in (layouts[0].boxes, layouts[0].scores)}
    for values in raw_outputs(graph, spec, itertools.islice(images, MAX_IMAGES)):
        for tensor in found:
            found[tensor].append(values[graph.outputs.index(tensor)][0])
    if not found[layouts[0].boxes]:
        raise DetectionHeadError(
            "A detection head is recognised on images, and there is none.",
            hint=f"Give a folder of photos (--images). {ASK_FOR_HEAD}",
        )
    return found


def tell_roles(layouts: list[HeadLayout], outputs: Outputs) -> tuple[HeadLayout, str]:
    """Which output is boxes and which is scores; where both have four columns, by their values.

    Most anchors see no object: their class logits are all negative, or one column, the background, exceeds
    all others. Box offsets lie on both sides of zero in every column.

    Args:
        layouts: Every reading of the outputs that their shapes allow.
        outputs: Values [N, columns] of both outputs for each image.

    Returns:
        The right reading, and the evidence for it.

    Raises:
        DetectionHeadError: The values allow both.
    """
    if len(layouts) == 1:
        boxes, scores = layouts[0].boxes, layouts[0].scores
        return layouts[0], f"outputs: boxes {list(boxes.shape)}, scores {list(scores.shape)}"
    shares = {tensor: share_without_object(np.concatenate(values)) for tensor, values in outputs.items()}
    fitting = [
        layout
        for layout in layouts
        if layout.applied is not None or shares[layout.scores] > MOSTLY > 2 * shares[layout.boxes]
    ]
    measured = ", ".join(f"'{tensor.name}' {share:.0%}" for tensor, share in shares.items())
    if len(fitting) != 1:
        raise DetectionHeadError(
            "Both outputs have four columns, and their values do not tell boxes from scores: "
            f"rows that look like an empty place: {measured}.",
            hint=ASK_FOR_HEAD,
        )
    return fitting[0], f"outputs: rows that look like an empty place: {measured}"


def _pairs(layout: HeadLayout, score: ScoreSpec, outputs: Outputs) -> list[NeighbourPairs]:
    return [
        find_pairs(layout, boxes, class_probabilities(scores, score))
        for boxes, scores in zip(outputs[layout.boxes], outputs[layout.scores], strict=True)
    ]
