"""Many scenes in memory at the detector's input size, drawn once and kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from draw_scenes import draw_many
from PIL import Image


@dataclass
class SceneSet:
    """Scenes as arrays.

    Attributes:
        images: uint8 RGB [scenes, size, size, 3], stretched to the square.
        boxes: Per scene, float32 [creatures, 4] as (ymin, xmin, ymax, xmax) in 0..1.
        labels: Per scene, int [creatures].
    """

    images: np.ndarray
    boxes: list[np.ndarray]
    labels: list[np.ndarray]


def load_scenes(file: Path, seed: int, count: int, size: int) -> SceneSet:
    """Read the scenes from the file, or draw them into it where it is missing.

    Args:
        file: An .npz file.
        seed: The series of scenes, see `draw_scenes.draw_scene`.
        count: How many of the series.
        size: Side of the square that every scene is stretched to, in pixels.
    """
    if not file.exists():
        draw_scenes(file, seed, count, size)
    with np.load(file) as stored:
        splits = np.cumsum(stored["counts"])[:-1]
        return SceneSet(stored["images"], np.split(stored["boxes"], splits), np.split(stored["labels"], splits))


def draw_scenes(file: Path, seed: int, count: int, size: int) -> None:
    """Draw the scenes a little larger than the detector sees them, stretch them and store them."""
    images = np.empty((count, size, size, 3), np.uint8)
    boxes, labels, counts = [], [], []
    for i, scene in enumerate(draw_many(seed, count, longer_side=round(size * 1.3))):
        images[i] = np.asarray(scene.image.resize((size, size), Image.Resampling.BILINEAR))
        width, height = scene.image.size
        boxes += [(y0 / height, x0 / width, y1 / height, x1 / width) for x0, y0, x1, y1 in scene.boxes]
        labels += scene.labels
        counts.append(len(scene.labels))
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        file,
        images=images,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        counts=np.array(counts),
    )
