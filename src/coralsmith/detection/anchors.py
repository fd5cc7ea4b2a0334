"""Anchor generators of the published detectors, as formulas over feature map sizes.

Every anchor set is float32 [N, 4] (y centre, x centre, height, width), normalised to the image; maps come from
fine to coarse, inside a map rows, then columns, then the boxes of a cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
Offset = tuple[float, float]
"""Distance in y and in x."""
CellBox = tuple[float, float]
"""Scale and aspect ratio (width / height) of one box of a cell."""

EXACT_RATIOS: Final = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)
CONFIG_RATIOS: Final = (1.0, 2.0, 0.5, 3.0, 0.3333)
"""The ratios as nearly every pipeline.config writes them."""


def ssd_anchors(
    maps: Sequence[Size],
    image: Size,
    *,
    min_scale: float = 0.2,
    max_scale: float = 0.95,
    scales: Sequence[float] = (),
    ratios: Sequence[float] = EXACT_RATIOS,
    interpolated_ratio: float = 1.0,
    reduce_lowest: bool = True,
    base_size: tuple[float, float] = (1.0, 1.0),
    strides: Sequence[Offset] = (),
    offsets: Sequence[Offset] = (),
) -> NDArray[np.float32]:
    """Anchors of `ssd_anchor_generator` (Liu et al. 2016, section 2.2, as the API writes it).

    Args:
        maps: Height and width of each feature map, finest first.
        image: Height and width of the input.
        min_scale: Scale of the finest map, as a part of the shorter image side.
        max_scale: Scale of the coarsest map.
        scales: A scale for each map, in place of those between the two.
        ratios: Aspect ratios of a cell; a box of the interpolated scale follows them.
        interpolated_ratio: Aspect ratio of that box; 0 leaves it out.
        reduce_lowest: Whether the finest map has the fixed three boxes a cell.
        base_size: Height and width of a box of scale 1, in parts of the shorter image side.
        strides: Pixels between the cells of each map, (y, x); by default they divide the image evenly.
        offsets: Pixel of the first centre of each map, (y, x); by default half a stride.

    Returns:
        float32 [N, 4].
    """
    scales = scales or _even_scales(len(maps), min_scale, max_scale)
    boxes = ssd_cell_boxes(scales, ratios, interpolated_ratio=interpolated_ratio, reduce_lowest=reduce_lowest)
    shorter = min(image)
    base = (base_size[0] * shorter / image[0], base_size[1] * shorter / image[1])
    grids = []
    for index, (size, cell) in enumerate(zip(maps, boxes, strict=True)):
        stride = _in_image(strides[index], image) if strides else (1 / size[0], 1 / size[1])
        offset = _in_image(offsets[index], image) if offsets else (0.5 * stride[0], 0.5 * stride[1])
        grids.append(_tile(size, cell, base, stride, offset))
    return np.concatenate(grids).astype(np.float32)


def ssd_cell_boxes(
    scales: Sequence[float], ratios: Sequence[float], *, interpolated_ratio: float, reduce_lowest: bool
) -> list[list[CellBox]]:
    """The boxes of a cell of the map of each scale, in the order of `ssd_anchor_generator`."""
    cells = []
    for scale, following in itertools.pairwise([*scales, 1.0]):
        between = [((scale * following) ** 0.5, interpolated_ratio)] if interpolated_ratio > 0 else []
        cells.append([(scale, ratio) for ratio in ratios] + between)
    if reduce_lowest:
        cells[0] = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
    return cells


def _even_scales(count: int, low: float, high: float) -> list[float]:
    return [low + (high - low) / max(count - 1, 1) * index for index in range(count)]


def _in_image(pixels: Offset, image: Size) -> Offset:
    return pixels[0] / image[0], pixels[1] / image[1]


def multiscale_anchors(
    maps: Sequence[Size],
    image: Size,
    *,
    min_level: int = 3,
    anchor_scale: float = 4.0,
    ratios: Sequence[float] = (1.0, 2.0, 0.5),
    scales_per_octave: int = 2,
) -> NDArray[np.float32]:
    """Anchors of `multiscale_anchor_generator`, the one of feature pyramids (Lin et al. 2017).

    The map of level l has stride 2**l; its cells are centred by half a stride only along a side of the image
    that the stride divides, else the first centre lies on the image's edge.

    Args:
        maps: Height and width of each feature map, finest first.
        image: Height and width of the input in pixels.
        min_level: Level of the finest map.
        anchor_scale: Side of the base box in strides.
        ratios: Aspect ratios of a cell, each with every scale of the octave.
        scales_per_octave: Scales 2**(s / scales_per_octave) of a cell.

    Returns:
        float32 [N, 4].
    """
    octave = [2 ** (index / scales_per_octave) for index in range(scales_per_octave)]
    cell = [(scale, ratio) for ratio in ratios for scale in octave]
    grids = []
    for level, size in enumerate(maps, start=min_level):
        stride = 2**level
        base = (anchor_scale * stride / image[0], anchor_scale * stride / image[1])
        offset = tuple(stride / 2 / side if side % stride == 0 else 0.0 for side in image)
        grids.append(_tile(size, cell, base, (stride / image[0], stride / image[1]), (offset[0], offset[1])))
    return np.concatenate(grids).astype(np.float32)


def retinanet_anchors(
    maps: Sequence[Size],
    image: Size,
    *,
    min_level: int = 3,
    anchor_size: float = 3.0,
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    scales: int = 3,
) -> NDArray[np.float32]:
    """Anchors of the RetinaNet of TensorFlow's Model Garden, which MediaPipe's Model Maker trains.

    Source: tensorflow/models, ``official/vision/ops/anchor.py``; the values of Model Maker are the defaults here
    (google-ai-edge/mediapipe, ``model_maker/python/vision/object_detector/model.py``). Inside a cell the scales
    come first and then the ratios, and every centre is half a stride from the edge of its cell.

    Args:
        maps: Height and width of each feature map, finest first.
        image: Height and width of the input in pixels.
        min_level: Level of the finest map; the map of level l has stride 2**l.
        anchor_size: Side of the base box in strides.
        ratios: Aspect ratios (width / height) of each scale.
        scales: Scales 2**(s / scales) of a cell.

    Returns:
        float32 [N, 4].
    """
    cell = [(2 ** (scale / scales), ratio) for scale in range(scales) for ratio in ratios]
    grids = []
    for level, size in enumerate(maps, start=min_level):
        stride = (2**level / image[0], 2**level / image[1])
        base = (anchor_size * stride[0], anchor_size * stride[1])
        grids.append(_tile(size, cell, base, stride, (stride[0] / 2, stride[1] / 2)))
    return np.concatenate(grids).astype(np.float32)


def default_boxes(
    maps: Sequence[Size],
    *,
    min_ratio: float = 0.2,
    max_ratio: float = 0.95,
    ratios: Sequence[float] = (2.0, 3.0),
) -> NDArray[np.float32]:
    """Anchors of torchvision's `DefaultBoxGenerator`, with the values of `ssdlite320_mobilenet_v3_large`.

    Source: pytorch/vision, ``torchvision/models/detection/anchor_utils.py`` and ``ssdlite.py``. A cell has a
    square, a square of the interpolated scale, and for each ratio a wide and a high box; sizes are relative to the
    image and clipped to it.

    Args:
        maps: Height and width of each feature map, finest first.
        min_ratio: Scale of the finest map.
        max_ratio: Scale of the coarsest map; 1 follows it.
        ratios: Aspect ratios above 1; each is used both ways.

    Returns:
        float32 [N, 4].
    """
    step = (max_ratio - min_ratio) / max(len(maps) - 1, 1)
    sides = [min_ratio + step * index for index in range(len(maps))] + [1.0]
    grids = []
    for size, (side, following) in zip(maps, itertools.pairwise(sides), strict=True):
        both_ways = [each for ratio in ratios for each in (ratio, 1 / ratio)]
        cell = [(side, 1.0), ((side * following) ** 0.5, 1.0), *((side, ratio) for ratio in both_ways)]
        grids.append(_tile(size, cell, (1.0, 1.0), (1 / size[0], 1 / size[1]), (0.5 / size[0], 0.5 / size[1])))
    anchors = np.concatenate(grids)
    anchors[:, 2:] = anchors[:, 2:].clip(0.0, 1.0)
    return anchors.astype(np.float32)


def _tile(
    size: Size,
    cell: Sequence[CellBox],
    base: tuple[float, float],
    stride: tuple[float, float],
    offset: tuple[float, float],
) -> NDArray[np.float64]:
    """Every box of a cell on every cell of a grid, [height * width * boxes, 4]."""
    scales, ratios = np.array(cell).T
    heights = scales / np.sqrt(ratios) * base[0]
    widths = scales * np.sqrt(ratios) * base[1]
    rows = np.arange(size[0]) * stride[0] + offset[0]
    columns = np.arange(size[1]) * stride[1] + offset[1]
    grid = np.empty((*size, len(cell), 4))
    grid[..., 0] = rows[:, None, None]
    grid[..., 1] = columns[None, :, None]
    grid[..., 2] = heights
    grid[..., 3] = widths
    return grid.reshape(-1, 4)
