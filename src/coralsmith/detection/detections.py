"""What a detector found in one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections of one image, best first.

    Attributes:
        boxes: float32 [M, 4] (ymin, xmin, ymax, xmax), normalised to the image, not clipped to it.
        class_ids: int64 [M], index into the labels; a background class is not counted.
        scores: float32 [M], probabilities.
    """

    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def at_least(self, score: float) -> Detections:
        """Those with this score or a higher one."""
        keep = self.scores >= score
        return Detections(self.boxes[keep], self.class_ids[keep], self.scores[keep])

    def clipped(self) -> Detections:
        """The same detections with boxes cut at the edges of the image."""
        return Detections(np.clip(self.boxes, 0.0, 1.0), self.class_ids, self.scores)
