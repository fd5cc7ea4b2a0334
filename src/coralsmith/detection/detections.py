"""What a detector found in one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detection:
    """One object that was found.

    Attributes:
        label: Name of its class.
        class_id: Index into the labels.
        score: Probability.
        box: (ymin, xmin, ymax, xmax), normalised to the image.
    """

    label: str
    class_id: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections of one image, best first; iterating gives each as a `Detection`.

    Attributes:
        boxes: float32 [M, 4] (ymin, xmin, ymax, xmax), normalised to the image, not clipped to it.
        class_ids: int64 [M], index into the labels; a background class is not counted.
        scores: float32 [M], probabilities.
        labels: Names of the classes, where they are known.
    """

    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for box, class_id, score in zip(
            self.boxes.tolist(), self.class_ids.tolist(), self.scores.tolist(), strict=True
        ):
            yield Detection(self.label_of(class_id), class_id, score, tuple(box))

    def label_of(self, class_id: int) -> str:
        """The name of a class, or its number where the labels do not reach."""
        return self.labels[class_id] if class_id < len(self.labels) else f"class {class_id}"

    def keep(self, chosen: NDArray[np.bool_]) -> Detections:
        """Those of a mask, bool [M]."""
        return replace(
            self, boxes=self.boxes[chosen], class_ids=self.class_ids[chosen], scores=self.scores[chosen]
        )

    def at_least(self, score: float) -> Detections:
        """Those with this score or a higher one."""
        return self.keep(self.scores >= score)

    def clipped(self) -> Detections:
        """The same detections with boxes cut at the edges of the image."""
        return replace(self, boxes=np.clip(self.boxes, 0.0, 1.0))

    def in_pixels(self, height: int, width: int) -> NDArray[np.int64]:
        """The boxes in pixels of an image of this size, cut at its edges.

        Returns:
            int64 [M, 4] (ymin, xmin, ymax, xmax), rounded; the pixels of a box are
            ``image[ymin:ymax, xmin:xmax]``.
        """
        sides = np.array([height, width, height, width])
        pixels: NDArray[np.float64] = np.rint(np.clip(self.boxes, 0.0, 1.0) * sides)
        return pixels.astype(np.int64)
