"""The loss of SSD on labelled images: how far boxes and scores are from what a person marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional

from coralsmith.detection.decode import encode_boxes
from coralsmith.detection.head import BoxCoder, DetectionHead
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph
from coralsmith.tuning.imitation import HeadNames, find_head
from coralsmith.tuning.matching import BACKGROUND, IGNORED, corners, match_anchors
from coralsmith.tuning.objects import Objects

FOCUS: Final = 2.0
POSITIVE_SHARE: Final = 0.25
"""Gamma and alpha of the focal loss (Lin et al. 2017)."""

NEGATIVES: Final = 3
"""Background anchors for each anchor with an object (Liu et al. 2016), and the fewest of an image."""

_UNIT: Final = BoxCoder().scales


@dataclass(frozen=True, eq=False)
class Targets:
    """What the anchors of a batch have to find, on the device of the model.

    Attributes:
        columns: int64 [N, A], score column, `BACKGROUND` or `IGNORED`.
        boxes: float32 [N, A, 4], raw boxes; zero where there is no object.
    """

    columns: Any
    boxes: Any


@dataclass(frozen=True, eq=False)
class Multibox:
    """The loss for one detection head.

    Attributes:
        head: Its raw outputs.
        anchors: float32 [A, 4] (y centre, x centre, height, width).
        coder: How raw boxes refer to them.
        columns: Score columns of the classes that the labels speak of.
    """

    head: HeadNames
    anchors: Any
    coder: BoxCoder
    columns: tuple[int, ...]

    @staticmethod
    def of(graph: Graph, head: DetectionHead | None, columns: tuple[int, ...]) -> Multibox:
        """The loss for a float graph.

        Raises:
            DetectionHeadError: There is no head, or its scores do not say how likely an object is.
        """
        names = find_head(graph, head)
        if head is None or names is None:
            raise DetectionHeadError(
                "Training with labels needs a detection head whose scores come from a sigmoid or a softmax.",
                hint="Give the head with --head, or tune without --dataset.",
            )
        if names.activation == "softmax" and names.background is None:
            raise DetectionHeadError(
                "Training with labels needs to know the background: a softmax gives every anchor some class.",
                hint='Name its column in the head file ("background"), or tune without --dataset.',
            )
        return Multibox(names, head.anchors, head.box_coder, columns)

    def targets(self, objects: Sequence[Objects], device: Any) -> Targets:
        """What the anchors have to find in a batch of images."""
        edges = corners(self.anchors)
        columns = np.empty((len(objects), len(edges)), np.int64)
        boxes = np.zeros((*columns.shape, 4), np.float32)
        for number, one in enumerate(objects):
            matches = match_anchors(edges, one)
            found = np.flatnonzero(matches >= 0)
            columns[number] = matches
            columns[number, found] = one.columns[matches[found]]
            boxes[number, found] = encode_boxes(one.boxes[matches[found]], self.anchors[found], self.coder)
        return Targets(torch.from_numpy(columns).to(device), torch.from_numpy(boxes).to(device))

    def loss(self, values: Mapping[str, Any], objects: Sequence[Objects]) -> Any:
        """Box loss and class loss of a batch, each a share of the anchors that have an object.

        Args:
            values: The raw outputs by name: boxes [N, A, 4 or more], scores before their activation [N, A, C].
            objects: Of each image of the batch.
        """
        boxes, logits = values[self.head.boxes], values[self.head.logits]
        targets = self.targets(objects, boxes.device)
        has_object = targets.columns >= 0
        unit = torch.tensor([u / s for u, s in zip(_UNIT, self.coder.scales, strict=True)]).to(boxes)
        apart = functional.smooth_l1_loss(boxes[..., :4] * unit, targets.boxes * unit, reduction="none")
        of_boxes = (apart.sum(dim=-1) * has_object).sum()
        classify = focal_loss if self.head.activation == "sigmoid" else mined_cross_entropy
        of_classes = classify(logits, targets.columns, self.columns)
        return (of_boxes + of_classes) / has_object.sum().clamp(min=1)


def focal_loss(logits: Any, targets: Any, columns: Sequence[int]) -> Any:
    """Sum of the focal loss (Lin et al. 2017, equation 5) over anchors and the classes that labels speak of.

    Args:
        logits: float32 [N, A, C].
        targets: int64 [N, A], column, `BACKGROUND` or `IGNORED`.
        columns: Those that labels speak of; nothing is asked of the others.
    """
    chosen = logits[..., list(columns)]
    wanted = (targets[..., None] == torch.tensor(columns, device=targets.device)).to(chosen)
    crossed = functional.binary_cross_entropy_with_logits(chosen, wanted, reduction="none")
    likely = torch.exp(-crossed)  # the probability that is given to the truth
    share = POSITIVE_SHARE * wanted + (1 - POSITIVE_SHARE) * (1 - wanted)
    loss = share * (1 - likely) ** FOCUS * crossed
    return (loss.sum(dim=-1) * (targets != IGNORED)).sum()


def mined_cross_entropy(logits: Any, targets: Any, columns: Sequence[int]) -> Any:
    """Sum of the cross-entropy over anchors with an object and the hardest background anchors of each image.

    The background is whatever labels do not speak of: the background column and the classes that the data set does
    not know, for an anchor without a label may show one of those.

    Args:
        logits: float32 [N, A, C].
        targets: int64 [N, A], column, `BACKGROUND` or `IGNORED`.
        columns: Those that labels speak of.
    """
    others = [column for column in range(logits.shape[-1]) if column not in columns]
    logarithms = torch.log_softmax(logits, dim=-1)
    has_object = targets >= 0
    of_objects = -logarithms.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    of_background = -torch.logsumexp(logarithms[..., others], dim=-1)
    total = (of_objects * has_object).sum()
    for loss, target, positives in zip(of_background, targets, has_object.sum(dim=1).tolist(), strict=True):
        negatives = loss[target == BACKGROUND]
        total = total + negatives.topk(min(len(negatives), NEGATIVES * max(positives, 1))).values.sum()
    return total
