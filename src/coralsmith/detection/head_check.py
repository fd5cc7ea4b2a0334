"""Does a given detection head make sense on images? A wrong one is told by what the model itself sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.agreement import NeighbourPairs, agreement, find_pairs
from coralsmith.detection.anchor_choice import CLEAR_MARGIN, MIN_AGREEMENT, MIN_PAIRS, variations
from coralsmith.detection.candidates import HeadCandidate, candidates
from coralsmith.detection.decode import class_probabilities
from coralsmith.detection.head import BoxCoder, DetectionHead
from coralsmith.detection.layout import HeadLayout, find_layouts
from coralsmith.detection.raw_outputs import raw_outputs
from coralsmith.detection.score_convention import MOSTLY, dominating_column, share_without_object
from coralsmith.errors import DetectionHeadError
from coralsmith.findings import Finding
from coralsmith.graph import Graph

Floats = NDArray[np.float32]

_ASTRAY: Final = 0.1  # share of anchors that may lie further from their cell than one cell
_OUTSIDE: Final = 1.5  # cells; published generators that count from the edge are half a cell off
_LIKE_OBJECTS: Final = (0.002, 0.5)  # share of rows in which a class is likely; a background is above or near 0
_MEASURED: Final = "measured on the given images"


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the model puts out for the images, by the head's own roles."""

    boxes: list[Floats]
    scores: list[Floats]


def check_head(graph: Graph, head: DetectionHead, images: Iterable[NDArray[np.uint8]]) -> list[Finding]:
    """Hold a head that was given, not recognised, against the graph and against what the model sees.

    Args:
        graph: A model with raw heads.
        head: Its head, which fits it by names and shapes (`DetectionHead.check_against`).
        images: uint8 RGB images of the input's size, [height, width, 3] each, with objects that the model knows.

    Returns:
        An error for swapped outputs; warnings for anchors that lie elsewhere than the cells, for scores that are
        no logits, for a background that the head does not name or that is a class, and for anchors or a box coder
        that others beat; a note where the images do not tell.
    """
    try:
        layouts = find_layouts(graph)
    except DetectionHeadError:
        return [_untested("the outputs cannot be followed back to feature maps")]
    layout = next((layout for layout in layouts if layout.boxes.name == head.boxes), None)
    if layout is None:
        return [_swapped(head, "boxes are what the graph makes the scores of")]
    findings = list(_astray(layout, head))
    seen = _run(graph, head, images)
    if not seen.boxes:
        return [*findings, _untested("there are no images")]
    if len(layouts) > 1 and _look_swapped(seen):
        return [_swapped(head, "by their values the boxes are scores, and the scores boxes")]
    findings += _scores(seen, head)
    pairs = [
        find_pairs(layout, boxes, class_probabilities(scores, head.score))
        for boxes, scores in zip(seen.boxes, seen.scores, strict=True)
    ]
    return [*findings, *_beaten(graph, layout, head, pairs)]


def _run(graph: Graph, head: DetectionHead, images: Iterable[NDArray[np.uint8]]) -> _Seen:
    names = [tensor.name for tensor in graph.outputs]
    seen = _Seen([], [])
    for values in raw_outputs(graph, head.input, images):
        seen.boxes.append(values[names.index(head.boxes)][0])
        seen.scores.append(values[names.index(head.scores)][0])
    return seen


def _look_swapped(seen: _Seen) -> bool:
    boxes, scores = (
        share_without_object(np.concatenate(seen.boxes)),
        share_without_object(np.concatenate(seen.scores)),
    )
    return boxes > MOSTLY > 2 * scores


def _swapped(head: DetectionHead, reason: str) -> Finding:
    return Finding(
        rule="head-outputs-swapped",
        severity="error",
        reason=f"The head names '{head.boxes}' as boxes and '{head.scores}' as scores, but {reason}.",
        fix="Swap outputs.boxes and outputs.scores in head.json.",
        evidence=_MEASURED,
    )


def _astray(layout: HeadLayout, head: DetectionHead) -> Iterator[Finding]:
    """Anchors whose centres are not those of the cells that predict their boxes."""
    share = _share_astray(layout, head.anchors)
    if share <= _ASTRAY:
        return
    corners = np.concatenate(
        [(head.anchors[:, :2] + head.anchors[:, 2:]) / 2, head.anchors[:, 2:] - head.anchors[:, :2]], axis=1
    )
    readings = {
        "read as (x, y, w, h) they do: exchange the columns": head.anchors[:, [1, 0, 3, 2]],
        "read as corners (ymin, xmin, ymax, xmax) they do: give centres and sizes": corners,
        "read as corners (xmin, ymin, xmax, ymax) they do: give centres and sizes": corners[:, [1, 0, 3, 2]],
    }
    fitting = (fix for fix, anchors in readings.items() if _share_astray(layout, anchors) <= _ASTRAY)
    maps = ", ".join(f"{grid.height}x{grid.width} with {grid.boxes} boxes" for grid in layout.maps)
    yield Finding(
        rule="anchors-off-cells",
        severity="warning",
        reason="The anchors do not lie on the cells that predict their boxes; "
        + next(fitting, f"the rows of the outputs belong to the maps {maps}, rows before columns before boxes")
        + ".",
        fix="Give (y centre, x centre, height, width), one row for each row of the outputs, in their order.",
        measured=f"{share:.0%} of the centres are more than {_OUTSIDE:g} cells away",
        limit=f"{_ASTRAY:.0%}",
        evidence="read from the graph: which cell each row comes from",
    )


def _share_astray(layout: HeadLayout, anchors: Floats) -> float:
    cells, sizes = layout.cells()
    return float(np.mean((np.abs(anchors[:, :2] - cells) > _OUTSIDE * sizes).any(axis=1)))


def _scores(seen: _Seen, head: DetectionHead) -> Iterator[Finding]:
    """Scores that are no logits although an activation is declared, and a background that is not."""
    rows = np.concatenate(seen.scores)
    low, high = float(rows.min()), float(rows.max())
    if head.score.activation != "none" and low >= 0.0 and high <= 1.0:
        yield Finding(
            rule="scores-activated-twice",
            severity="warning",
            reason=f"The head asks for a {head.score.activation}, but the scores are probabilities already.",
            fix='Declare "activation": "none".',
            measured=f"scores from {low:.3g} to {high:.3g}",
            evidence=_MEASURED,
        )
    probabilities = class_probabilities(rows, replace(head.score, background=None))
    if head.score.background is not None:
        yield from _class_as_background(probabilities, head.score.background)
    column, share = dominating_column(probabilities, 0.5)
    if head.score.background is None and rows.shape[1] > 1 and share > MOSTLY:
        yield Finding(
            rule="background-not-declared",
            severity="warning",
            reason=f"Score column {column} is likely nearly everywhere, as a background is, but the head calls it "
            f"'{head.labels[column]}'.",
            fix=f'Declare "background": {column}, and leave its label out.',
            measured=f"column {column} is the likeliest in {share:.0%} of all rows",
            limit=f"{MOSTLY:.0%}",
            evidence=_MEASURED,
        )


def _class_as_background(probabilities: Floats, column: int) -> Iterator[Finding]:
    """A declared background that is likely here and there, as objects are, not nearly everywhere or nowhere."""
    share = float(np.mean((probabilities.argmax(axis=1) == column) & (probabilities[:, column] > 0.5)))
    if not _LIKE_OBJECTS[0] < share < _LIKE_OBJECTS[1]:
        return
    yield Finding(
        rule="background-is-a-class",
        severity="warning",
        reason=f"Score column {column}, which the head calls the background, is likely in a few places only, as a "
        "class is: what it finds is not reported, and the labels may be off by one.",
        fix='Declare "background": null, and give this column its label.',
        measured=f"column {column} is the likeliest in {share:.1%} of all rows",
        limit=f"below {_LIKE_OBJECTS[0]:.1%} (not trained) or above {_LIKE_OBJECTS[1]:.0%}",
        evidence=_MEASURED,
    )


def _beaten(
    graph: Graph, layout: HeadLayout, head: DetectionHead, pairs: list[NeighbourPairs]
) -> Iterator[Finding]:
    """Another reading of the boxes under which neighbouring anchors clearly agree better."""
    count = sum(len(image.first) for image in pairs)
    if count < MIN_PAIRS:
        yield _untested(f"only {count} pairs of neighbouring anchors are confident; {MIN_PAIRS} are needed")
        return
    own = agreement(pairs, head.anchors, head.box_coder)
    best, words = max(
        ((agreement(pairs, anchors, coder), words) for words, anchors, coder in _others(graph, layout, head)),
        key=lambda pair: pair[0],
    )
    if best >= MIN_AGREEMENT and best > own + 2 * CLEAR_MARGIN:
        yield Finding(
            rule="head-implausible",
            severity="warning",
            reason=f"Boxes predicted from neighbouring places coincide better with {words} than as the head "
            "declares them.",
            fix="Compare anchors, box_coder.order and box_coder.scales with the training; `coralsmith head MODEL "
            "--images DIR` without a head file shows what fits.",
            measured=f"agreement {own:.3f} of {count} pairs as declared, {best:.3f} otherwise",
            limit=f"at most {2 * CLEAR_MARGIN:g} more",
            evidence=_MEASURED,
        )


def _others(graph: Graph, layout: HeadLayout, head: DetectionHead) -> Iterator[tuple[str, Floats, BoxCoder]]:
    declared = HeadCandidate("the declared anchors", head.anchors, head.box_coder)
    yield from variations(declared, layout)
    try:
        published = candidates(graph)
    except DetectionHeadError:
        return
    for candidate in published:
        yield candidate.convention, candidate.anchors, candidate.box_coder


def _untested(reason: str) -> Finding:
    return Finding(
        rule="head-not-tested",
        severity="info",
        reason=f"Whether the given head is the one of training could not be told: {reason}.",
        fix="Give images that show what the model detects.",
        evidence=_MEASURED,
    )
