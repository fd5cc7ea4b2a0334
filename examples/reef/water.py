"""What lies behind the creatures, computed pixel by pixel: water, light rays, hills and the sandy floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from shapes import Colour, mix


@dataclass(frozen=True)
class Mood:
    """The colours of one place and hour.

    Attributes:
        surface: Water at the upper edge of the picture.
        deep: Water far away, which is also the colour that distance fades to.
        sand: Floor in full light.
        light: Colour of the rays.
        brightness: How strong the rays and the dancing light on the floor are.
    """

    surface: Colour
    deep: Colour
    sand: Colour
    light: Colour
    brightness: float


MOODS = [
    Mood((112, 224, 232), (16, 112, 168), (240, 222, 178), (240, 255, 250), 1.0),  # lagoon at noon
    Mood((74, 172, 226), (10, 52, 118), (206, 198, 176), (214, 240, 255), 0.9),  # open reef
    Mood((120, 216, 190), (18, 92, 104), (214, 206, 154), (240, 255, 224), 0.8),  # green bay
    Mood((250, 176, 150), (70, 56, 126), (222, 184, 160), (255, 224, 190), 0.9),  # sunset
    Mood((60, 96, 190), (14, 18, 62), (122, 128, 160), (180, 200, 255), 0.7),  # moonlight
    Mood((158, 228, 222), (46, 142, 160), (232, 226, 200), (255, 255, 244), 0.7),  # milky shallows
]


def noise(rng: np.random.Generator, height: int, width: int, cells: float) -> np.ndarray:
    """Soft random hills, [height, width] in about -1..1, `cells` of them along the shorter side."""
    step = min(height, width) / cells
    grid = rng.normal(0, 0.5, (max(2, round(height / step) + 1), max(2, round(width / step) + 1)))
    picture = Image.fromarray(grid.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def ridge(rng: np.random.Generator, width: int, knots: int) -> np.ndarray:
    """A random smooth line, [width] in about -1..1."""
    heights = rng.normal(0, 0.5, knots + 3)
    position = np.linspace(1, knots + 1, width)
    index = position.astype(int)
    blend = (1 - np.cos((position - index) * np.pi)) / 2
    return heights[index] * (1 - blend) + heights[index + 1] * blend


def draw_water(rng: np.random.Generator, mood: Mood, width: int, height: int) -> np.ndarray:
    """Open water with light from above, as float RGB [height, width, 3] in 0..255."""
    depth = np.linspace(0, 1, height)[:, None] ** rng.uniform(0.6, 1.0)
    depth = np.clip(depth + 0.06 * noise(rng, height, width, 3), 0, 1)[..., None]
    water = np.array(mood.surface) * (1 - depth) + np.array(mood.deep) * depth
    rays = light_rays(rng, width, height) * mood.brightness
    return water + (np.array(mood.light) - water) * (0.55 * rays[..., None])


def light_rays(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Beams that fan out from a point above the picture and fade downwards, [height, width] in 0..1."""
    source_x = rng.uniform(0.1, 0.9) * width
    source_y = -rng.uniform(0.3, 0.9) * height
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = np.arctan2(x - source_x, y - source_y)
    beams = ridge(rng, 512, 26) + 0.6 * ridge(rng, 512, 60)
    strength = np.interp(angle, np.linspace(-1.4, 1.4, 512), np.clip(beams, 0, 1))
    return strength * np.clip(1 - y / height, 0, 1) ** 1.3


def draw_hills(rng: np.random.Generator, mood: Mood, picture: np.ndarray, horizon: float) -> None:
    """Paint two or three rows of far hills into the picture, each nearer, lower and less faded than the last."""
    height, width = picture.shape[:2]
    rows = np.arange(height)[:, None]
    count = int(rng.integers(2, 4))
    for i in range(count):
        top = horizon - 0.24 + 0.2 * i / count + 0.09 * ridge(rng, width, 5 + 2 * i) + 0.02 * ridge(rng, width, 26)
        edge = np.clip((rows - top * height) / 1.5, 0, 1)[..., None]
        colour = np.array(mix(mood.deep, (8, 26, 52), 0.12 + 0.16 * i))
        fade = edge * np.clip(1 - (rows / height - horizon)[..., None] * 2.5, 0, 1) * 0.75
        picture += (colour - picture) * fade


def draw_floor(rng: np.random.Generator, mood: Mood, picture: np.ndarray, horizon: float) -> None:
    """Paint a rippled sandy floor with dancing light into the picture, from the horizon (0..1) down."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    top = (horizon + 0.025 * ridge(rng, width, 4)) * height
    near = np.clip((y - top) / (height - top), 0, 1)  # 0 at the horizon, 1 at the lower edge
    warp = noise(rng, height, width, 4)
    unit = min(width, height)
    rows = (near**0.5) * rng.uniform(14, 24)
    ripples = np.sin(2 * np.pi * (rows + 0.5 * warp + x / unit * rng.uniform(-1, 1)))
    caustic = caustics(rng, x / unit * 5, near**0.6 * 6)
    grain = rng.normal(0, 1, (height, width)).astype(np.float32)
    shade = 0.94 + 0.05 * ripples * near + 0.025 * grain * near + 0.04 * warp
    sand = np.array(mood.sand) * shade[..., None]
    sand += np.array(mood.light) * (0.24 * mood.brightness * caustic * (0.35 + 0.65 * near))[..., None]
    visible = (0.3 + 0.62 * near**0.6)[..., None]
    sand = np.array(mood.deep) * (1 - visible) + sand * visible
    picture += (sand - picture) * np.clip((y - top) / 2, 0, 1)[..., None]


def caustics(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The net of bright lines that waves cast on the floor, from folded sine waves, in 0..1."""
    shift = rng.uniform(0, 10, 6)
    u, v = x, y
    for i in range(3):
        u, v = (
            u + 0.7 * np.sin(1.3 * v + shift[i]) + 0.2 * np.sin(2.7 * v + shift[5 - i]),
            v + 0.7 * np.sin(1.5 * u + shift[i + 3]) + 0.2 * np.sin(2.3 * u + shift[i]),
        )
    net = 1 - np.minimum(np.abs(np.sin(u)), np.abs(np.sin(v)))
    return np.clip(net, 0, 1) ** 6
