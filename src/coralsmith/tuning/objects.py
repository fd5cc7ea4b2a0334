"""What a person marked in the images that a model is trained with, and what a crop leaves of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.graph import Array

LEAST_SEEN: Final = 0.3
"""Share of an object's area that a crop must leave, as in the TensorFlow Object Detection API; what is cut further
need not be found, nor be taken for background."""


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image.

    Attributes:
        boxes: float64 [N, 4] (ymin, xmin, ymax, xmax), normalised to the model's input.
        columns: int64 [N], column of the score output.
        ignored: bool [N]; neither to be found nor background: crowds, difficult ones, what a crop cut off.
    """

    boxes: NDArray[np.float64]
    columns: NDArray[np.int64]
    ignored: NDArray[np.bool_]

    @staticmethod
    def none() -> Objects:
        """No object at all."""
        return Objects(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.bool_))

    def seen_through(self, window: NDArray[np.float64], mirrored: bool) -> Objects:
        """The objects in a view of the image: cut at its edges, and without those outside.

        Args:
            window: float64 [4] (ymin, xmin, ymax, xmax), the part of the image that is seen.
            mirrored: Whether left and right change places after that.
        """
        origin, size = np.tile(window[:2], 2), np.tile(window[2:] - window[:2], 2)
        whole = (self.boxes - origin) / size
        cut = whole.clip(0.0, 1.0)
        if mirrored:
            cut = np.stack([cut[:, 0], 1 - cut[:, 3], cut[:, 2], 1 - cut[:, 1]], axis=1)
        seen = areas(cut) / areas(whole)
        kept = seen > 0
        ignored = self.ignored | (seen < LEAST_SEEN)
        return Objects(cut[kept], self.columns[kept], ignored[kept])


@dataclass(frozen=True, eq=False)
class LabelledInputs:
    """Labelled images as a float model takes them.

    Attributes:
        images: float32 [N, H, W, C], normalised.
        objects: Of each image.
        columns: Score columns of the classes that the labels speak of; of others nothing is known, and an anchor
            without an object may show one of them.
    """

    images: Array
    objects: list[Objects]
    columns: tuple[int, ...]


def areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [N] of boxes [N, 4]."""
    sides = boxes[..., 2:] - boxes[..., :2]
    product: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return product
