"""Draw underwater scenes with annotated fish, starfish and turtles: the data of coralsmith's demo detector.

    python draw_scenes.py OUT --count 24 --seed 2026

writes OUT/images/*.jpg and OUT/annotations.json (COCO). The same seed draws the same scenes, and a scene does
not depend on how many others are drawn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from creatures import CREATURES
from painter import Box, Painter
from PIL import Image
from scenery import LITTER, REEF, Prop, bubble, jellyfish
from shapes import Pose
from water import MOODS, draw_floor, draw_hills, draw_water

LABELS = list(CREATURES)
FORMATS = [(640, 480), (480, 640), (800, 600), (640, 640), (720, 480), (600, 800)]
SMALLEST, LARGEST = 0.17, 0.75  # a creature's length as a share of the picture's shorter side


@dataclass
class Scene:
    """A picture and what is to be found in it.

    Attributes:
        image: RGB.
        labels: Index into `LABELS` of each creature.
        boxes: (x0, y0, x1, y1) around each creature's visible part, in pixels.
    """

    image: Image.Image
    labels: list[int]
    boxes: list[Box]


def draw_scene(seed: int, index: int, longer_side: int | None = None) -> Scene:
    """Draw scene `index` of a seed.

    Args:
        seed: Names the series of scenes.
        index: Which scene of the series.
        longer_side: Draw it in this size, in pixels, instead of its own.
    """
    rng = np.random.default_rng([seed, index])
    width, height = FORMATS[rng.integers(len(FORMATS))]
    if longer_side is not None:
        shrink = longer_side / max(width, height)
        width, height = round(width * shrink), round(height * shrink)
    mood = MOODS[rng.integers(len(MOODS))]
    horizon = 1.3 if rng.random() < 0.12 else rng.uniform(0.62, 0.86)  # beyond 1: open water, no floor in sight

    picture = draw_water(rng, mood, width, height)
    if horizon < 1:
        draw_hills(rng, mood, picture, horizon)
        draw_floor(rng, mood, picture, horizon)
    painter = Painter(picture, mood.deep)
    if horizon < 1:
        plant_reef(rng, painter, horizon)
    for _ in range(rng.integers(0, 3)):
        float_by(rng, painter, jellyfish, rng.uniform(0.12, 0.3), rng.uniform(0.3, 0.9))
    labels = list(release(rng, painter, horizon))
    if horizon < 1:
        frame(rng, painter)
    for _ in range(rng.integers(0, 26)):
        float_by(rng, painter, bubble, rng.uniform(0.012, 0.05), 0.0)
    return Scene(develop(rng, painter.picture), labels, painter.boxes())


def stand(
    rng: np.random.Generator, painter: Painter, prop: Prop, x: float, foot: float, size: float, distance: float
) -> None:
    """Stand a prop with its foot at (x, foot), shares of the picture, unless it would hide a creature."""
    sprite = prop(rng, round(size * painter.unit)).finish(Pose(rng.normal(0, 5), rng.random() < 0.5))
    left = round(x * painter.picture.width - sprite.width / 2)
    top = round(foot * painter.picture.height - sprite.height * 0.94)
    if painter.claim(sprite, left, top, creature=False):
        painter.paint_shadow(sprite, left, top)
        painter.paint(sprite, left, top, distance)


def plant_reef(rng: np.random.Generator, painter: Painter, horizon: float) -> None:
    """Corals, weeds and rocks from the horizon forward, in two or three clusters, and litter between them."""
    centres = rng.uniform(0, 1, rng.integers(2, 4))
    for near in np.sort(rng.uniform(0, 0.8, rng.integers(8, 18))):
        x = rng.choice(centres) + rng.normal(0, 0.13)
        prop, size = REEF[rng.integers(len(REEF))], (0.12 + 0.3 * near) * rng.uniform(0.7, 1.4)
        if rng.random() < 0.2:
            prop, size = LITTER[rng.integers(len(LITTER))], 0.06 + 0.1 * near
        stand(rng, painter, prop, x, horizon + (1 - horizon) * near + 0.03, size, 0.9 * (1 - near))


def frame(rng: np.random.Generator, painter: Painter) -> None:
    """One or two large things in the lower corners, close to the eye."""
    for x in rng.permutation([rng.uniform(-0.02, 0.12), rng.uniform(0.88, 1.02)])[: rng.integers(0, 3)]:
        prop = REEF[rng.integers(len(REEF))]
        stand(rng, painter, prop, x, rng.uniform(1.02, 1.12), rng.uniform(0.35, 0.6), 0.0)


def float_by(rng: np.random.Generator, painter: Painter, prop: Prop, size: float, distance: float) -> None:
    """Something transparent anywhere in the water; it hides nothing."""
    sprite = prop(rng, round(size * painter.unit)).finish(Pose(rng.normal(0, 14), relief=0.3))
    left, top = (round(rng.uniform(-0.05, 1.0) * side) for side in painter.picture.size)
    painter.paint(sprite, left, top, distance)


def release(rng: np.random.Generator, painter: Painter, horizon: float) -> Iterator[int]:
    """Place creatures, small and far ones first, and yield the label of each that found room."""
    count = rng.integers(2, 8)
    sizes = SMALLEST + (LARGEST - SMALLEST) * rng.beta(1.2, 2.2, count)
    labels = rng.integers(0, len(LABELS), count)
    looks = rng.integers(0, 2**32, count)
    if rng.random() < 0.3:  # a school: one kind of fish, all about as far away
        school = slice(0, int(rng.integers(3, 6)))
        labels[school], looks[school] = LABELS.index("fish"), looks[0]
        sizes[school] = rng.uniform(SMALLEST, 0.28)
    for i in np.argsort(sizes, kind="stable"):
        distance = float(np.clip(1 - sizes[i] / 0.5, 0, 1) * rng.uniform(0.2, 0.8))
        for _ in range(12):
            if place(rng, painter, int(labels[i]), int(looks[i]), float(sizes[i]), distance, horizon):
                yield int(labels[i])
                break


def place(
    rng: np.random.Generator,
    painter: Painter,
    label: int,
    look: int,
    size: float,
    distance: float,
    horizon: float,
) -> bool:
    """Try one random pose and position for a creature; False where there is no room for it."""
    name = LABELS[label]
    lying = name == "starfish" and horizon < 0.95 and rng.random() < 0.75
    canvas = CREATURES[name](np.random.default_rng(look), round(size * painter.unit))
    sprite = canvas.finish(choose_pose(rng, name, lying))
    low, high = (horizon + 0.04, 0.96) if lying else (0.06, 0.88)
    width, height = painter.picture.size
    left = round(rng.uniform(0, 1) * width - sprite.width / 2)
    top = round(rng.uniform(low, high) * height - sprite.height / 2)
    if not painter.claim(sprite, left, top, creature=True):
        return False
    if lying:
        painter.paint_shadow(sprite, left, top)
    painter.paint(sprite, left, top, distance)
    return True


def choose_pose(rng: np.random.Generator, name: str, lying: bool) -> Pose:
    """Fish swim upright, left or right; starfish and turtles turn every way."""
    mirrored = bool(rng.random() < 0.5)
    if name == "fish":
        return Pose(rng.normal(0, 16), mirrored)
    if name == "starfish":
        return Pose(rng.uniform(0, 360), mirrored, rng.uniform(0.55, 0.9) if lying else 1.0, relief=0.8)
    return Pose(rng.uniform(0, 360), mirrored, rng.uniform(0.75, 1.0))


def develop(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """The camera's part: darker corners, some exposure and colour cast, fine grain."""
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    corners = 1 - rng.uniform(0.08, 0.3) * np.clip(x**2 + y**2 - 0.5, 0, 1.5) / 1.5
    cast = rng.uniform(0.9, 1.08) * (1 + rng.normal(0, 0.025, 3))
    grain = rng.normal(0, rng.uniform(0, 2.2), (height, width, 1))
    pixels = pixels * corners[..., None] * cast + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def draw_many(seed: int, count: int, longer_side: int | None = None, workers: int = 2) -> Iterator[Scene]:
    """Scenes 0 .. count-1 of a seed, drawn in several processes."""
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(partial(draw_scene, seed, longer_side=longer_side), range(count), chunksize=8)


def write_dataset(folder: Path, seed: int, count: int) -> None:
    """Write images/*.jpg and annotations.json (COCO; category ids count from 1)."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    coco: dict[str, list[dict[str, object]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(LABELS, start=1)],
    }
    for i, scene in enumerate(draw_many(seed, count), start=1):
        name = f"reef_{i:03d}.jpg"
        scene.image.save(images / name, quality=84, optimize=True, subsampling="4:2:0")
        coco["images"].append(
            {"id": i, "file_name": name, "width": scene.image.width, "height": scene.image.height}
        )
        for label, (x0, y0, x1, y1) in zip(scene.labels, scene.boxes, strict=True):
            coco["annotations"].append(
                {
                    "id": len(coco["annotations"]) + 1,
                    "image_id": i,
                    "category_id": label + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                }
            )
    (folder / "annotations.json").write_text(json.dumps(coco, separators=(",", ":")) + "\n")


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--count", type=int, default=24, help="how many scenes (default 24)")
    parser.add_argument("--seed", type=int, default=2026, help="which series of scenes (default 2026)")
    options = parser.parse_args()
    write_dataset(options.out, options.seed, options.count)


if __name__ == "__main__":
    main()
