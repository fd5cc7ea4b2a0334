"""Bring an image of any size to the model's input size, and boxes back to the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coralsmith.detection.resampling import Pixels, Size, sample_bilinear

if TYPE_CHECKING:
    from coralsmith.detection.head import Resize

PADDING = 128
"""Grey of the bars of a letterbox: nearly zero once pixels are mapped to [-1, 1]."""
LARGEST_PLAIN_REDUCTION = 5
"""Images more than so many times larger than the input, both ways, are first averaged down to this multiple of
it: photos of many megapixels, 4K video. Full HD is sampled plainly for inputs from 216 pixels, as by OpenCV."""

Sampler = Callable[[Pixels, Size, Pixels], None]
"""Resizes pixels to a size, into an array that it is given; see `resampling`."""


@dataclass(frozen=True)
class Geometry:
    """Where an image lies in the model's input.

    Attributes:
        input_size: Height and width of the model's input, in pixels.
        top: First row of the image in the input.
        left: First column of the image in the input.
        height: Rows that the image fills.
        width: Columns that the image fills.
    """

    input_size: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    def to_image(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes normalised to the model's input as boxes normalised to the image.

        Args:
            boxes: float32 [M, 4] (ymin, xmin, ymax, xmax); a box may reach into the padding.

        Returns:
            float32 [M, 4], not clipped.
        """
        return ((boxes - self._offset()) / self._share()).astype(np.float32)

    def to_input(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `to_image`."""
        return (boxes * self._share() + self._offset()).astype(np.float32)

    def _offset(self) -> NDArray[np.float64]:
        rows, columns = self.input_size
        return np.array([self.top / rows, self.left / columns] * 2)

    def _share(self) -> NDArray[np.float64]:
        rows, columns = self.input_size
        return np.array([self.height / rows, self.width / columns] * 2)


def fit(image_size: tuple[int, int], input_size: tuple[int, int], resize: Resize) -> Geometry:
    """Where an image of a size comes to lie in the model's input.

    Args:
        image_size: Height and width of the image.
        input_size: Height and width of the model's input.
        resize: ``stretch`` fills the input; ``letterbox`` keeps the aspect ratio and centres the image.
    """
    if resize == "stretch":
        return Geometry(input_size, 0, 0, *input_size)
    factor = min(input_size[0] / image_size[0], input_size[1] / image_size[1])
    height, width = (max(1, round(side * factor)) for side in image_size)
    return Geometry(input_size, (input_size[0] - height) // 2, (input_size[1] - width) // 2, height, width)


def resize_image(
    image: Image.Image | Pixels,
    input_size: Size,
    resize: Resize = "stretch",
    *,
    out: Pixels | None = None,
    sample: Sampler = sample_bilinear,
) -> Pixels:
    """Resize an RGB image to the model's input.

    Sampling is plain bilinear with half-pixel centres, as in the resize of TensorFlow and OpenCV, because that is
    what detectors are trained with and what hosts feed them; a filter that averages over more pixels gives
    smoother images than the model knows. Only what is larger than `LARGEST_PLAIN_REDUCTION` times the input is
    averaged down to that size first, since plain sampling would leave most of a large photo unseen.

    Args:
        image: An RGB image, or its uint8 pixels [height, width, 3].
        input_size: Height and width of the model's input.
        resize: ``stretch`` or ``letterbox``; see `fit`, which also tells the way back for boxes.
        out: uint8 [*input_size, 3], receives the result instead of a new array.
        sample: Does the sampling.

    Returns:
        uint8 RGB, [height, width, 3] of the input size; the bars of a letterbox have the value `PADDING`.
    """
    pixels = np.asarray(image)
    place = fit((pixels.shape[0], pixels.shape[1]), input_size, resize)
    size = place.height, place.width
    result = np.empty((*input_size, 3), np.uint8) if out is None else out
    if size != input_size:
        result[...] = PADDING
    content = result[place.top : place.top + place.height, place.left : place.left + place.width]
    if pixels.shape[:2] == size:
        content[...] = pixels
    else:
        sample(_averaged(pixels, size), size, content)
    return result


def _averaged(pixels: Pixels, size: Size) -> Pixels:
    """The pixels themselves, or their averages where the image is too large to be sampled plainly."""
    rows, columns = (side * LARGEST_PLAIN_REDUCTION for side in size)
    if pixels.shape[0] <= rows or pixels.shape[1] <= columns:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX))
