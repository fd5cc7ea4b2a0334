"""The anchors of the widespread PyTorch SSDs: box sizes in pixels, centres in (x, y), variances 0.1 and 0.2.

Sources: qfgaohao/pytorch-ssd (``vision/ssd/config/mobilenetv1_ssd_config.py``, ``vision/utils/box_utils.py``),
Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB (``vision/ssd/config/fd_config.py``), and for the SSD300 of the
paper weiliu89/caffe (``examples/ssd/ssd_pascal.py``), as in pierluigiferrari/ssd_keras and amdegroot/ssd.pytorch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.anchors import Size
from coralsmith.detection.head import BoxCoder, InputSpec

PixelBox = tuple[float, float]
"""Height and width of one box of a cell, in pixels of the image."""

BOX_CODER: Final = BoxCoder("xywh", (10.0, 10.0, 5.0, 5.0))
MEAN: Final = (127.0, 127.0, 127.0)
STD: Final = (128.0, 128.0, 128.0)
"""The input of both projects: (pixel - 127) / 128."""


@dataclass(frozen=True)
class PriorFamily:
    """One published set of sizes.

    Attributes:
        name: Project and network.
        cells: For each map, finest first, the boxes of a cell.
        strides: Pixels between two centres of each map; None where the cells of a map divide the image evenly.
        images: Heights and widths that it is published for; empty for any.
        is_shifted: Whether its input is (pixel - 127) / 128; else nothing is said of it.
    """

    name: str
    cells: tuple[tuple[PixelBox, ...], ...]
    strides: tuple[float, ...] | None = None
    images: tuple[Size, ...] = ()
    is_shifted: bool = True

    def input(self, image: Size) -> InputSpec | None:
        """How pixels become the input, where the family says so."""
        return InputSpec(image, mean=MEAN, std=STD) if self.is_shifted else None

    def fits(self, boxes: Sequence[int], image: Size) -> bool:
        """Whether it has as many boxes on the cells of each map, and is made for the image size."""
        return [len(cell) for cell in self.cells] == list(boxes) and (not self.images or image in self.images)

    def anchors(self, maps: Sequence[Size], image: Size) -> NDArray[np.float32]:
        """Float32 [N, 4] (y centre, x centre, height, width), normalised and clipped to 0..1 as in training."""
        grids = []
        for number, size in enumerate(maps):
            steps = (
                (1 / size[0], 1 / size[1])
                if self.strides is None
                else (self.strides[number] / image[0], self.strides[number] / image[1])
            )
            grids.append(_grid(size, steps, np.array(self.cells[number]) / image))
        return np.concatenate(grids).clip(0.0, 1.0).astype(np.float32)


def _grid(size: Size, steps: tuple[float, float], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every box (height, width) on every cell of a map, [height * width * boxes, 4]."""
    centres = (np.indices(size).reshape(2, -1).T + 0.5) * steps
    grid = np.empty((len(centres), len(boxes), 4))
    grid[..., :2] = centres[:, None]
    grid[..., 2:] = boxes
    return grid.reshape(-1, 4)


def _squares(*sides: float) -> tuple[PixelBox, ...]:
    return tuple((side, side) for side in sides)


def _ssd_cell(small: float, large: float, ratios: tuple[float, ...]) -> tuple[PixelBox, ...]:
    """A small square, one between it and the next map's, and the small one in each ratio, wide and then high."""
    between = (small * large) ** 0.5
    stretched = [
        box
        for root in (ratio**0.5 for ratio in ratios)
        for box in ((small / root, small * root), (small * root, small / root))
    ]
    return (*_squares(small, between), *stretched)


def _paper_cells(sides: tuple[float, ...]) -> tuple[tuple[PixelBox, ...], ...]:
    """The cells of SSD300: ratio 3 on the three maps between the finest and the two coarsest only."""
    ratios = ((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,))
    return tuple(_ssd_cell(*pair, each) for pair, each in zip(itertools.pairwise(sides), ratios, strict=True))


_PAPER_STRIDES: Final = (8, 16, 32, 64, 100, 300)
_QFGAOHAO_SIDES: Final = ((60, 105), (105, 150), (150, 195), (195, 240), (240, 285), (285, 330))

FAMILIES: Final = (
    PriorFamily(
        "Ultra-Light face detector, boxes of 10 to 256 pixels",
        (_squares(10, 16, 24), _squares(32, 48), _squares(64, 96), _squares(128, 192, 256)),
    ),
    PriorFamily(
        "qfgaohao/pytorch-ssd MobileNet SSD, boxes of 60 to 330 pixels",
        tuple(_ssd_cell(small, large, (2.0, 3.0)) for small, large in _QFGAOHAO_SIDES),
        strides=(16, 32, 64, 100, 150, 300),
        images=((300, 300),),
    ),
    PriorFamily(
        "SSD300 as trained on VOC (Caffe, ssd_keras, ssd.pytorch), boxes of 30 to 315 pixels",
        _paper_cells((30, 60, 111, 162, 213, 264, 315)),
        strides=_PAPER_STRIDES,
        images=((300, 300),),
        is_shifted=False,
    ),
    PriorFamily(
        "SSD300 as trained on COCO (Caffe, ssd_keras, ssd.pytorch), boxes of 21 to 315 pixels",
        _paper_cells((21, 45, 99, 153, 207, 261, 315)),
        strides=_PAPER_STRIDES,
        images=((300, 300),),
        is_shifted=False,
    ),
)
