"""Smooth shapes on a transparent canvas: the few drawing tools that creatures and scenery are made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
OVERSAMPLING = 3  # Pillow draws hard edges: everything is drawn three times as large and averaged down


def mix(a: Sequence[float], b: Sequence[float], amount: float) -> Colour:
    """The colour that lies `amount` (0..1) of the way from `a` to `b`."""
    red, green, blue = (round(p + (q - p) * amount) for p, q in zip(a[:3], b[:3], strict=True))
    return red, green, blue


def lighter(colour: Sequence[float], amount: float) -> Colour:
    """The colour mixed with white."""
    return mix(colour, (255, 255, 255), amount)


def darker(colour: Sequence[float], amount: float) -> Colour:
    """The colour mixed with a deep blue, which is what shadow looks like under water."""
    return mix(colour, (6, 18, 40), amount)


def jitter(colour: Sequence[float], rng: np.random.Generator, amount: float = 14) -> Colour:
    """The colour with each channel moved a little at random."""
    red, green, blue = np.clip(np.array(colour[:3]) + rng.normal(0, amount, 3), 0, 255).astype(int).tolist()
    return red, green, blue


def smooth(points: Sequence[Sequence[float]], closed: bool = True, steps: int = 10) -> np.ndarray:
    """A Catmull-Rom spline through the points.

    Args:
        points: Two or more (x, y) pairs that the curve passes through.
        closed: Whether the curve returns to its first point.
        steps: Samples between two neighbouring points.

    Returns:
        The sampled curve, [n, 2].
    """
    knots = np.asarray(points, float)
    if closed:
        knots = np.vstack([knots[-1:], knots, knots[:2]])
    else:
        knots = np.vstack([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    p0, p1, p2, p3 = (knots[i : len(knots) - 3 + i, None, :] for i in range(4))
    t = (np.arange(steps) / steps)[None, :, None]
    curve = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    curve = curve.reshape(-1, 2)
    return curve if closed else np.vstack([curve, knots[-2]])


def blob(rng: np.random.Generator, roughness: float = 0.2, corners: int = 9) -> np.ndarray:
    """A random closed curve around the origin, about one unit in radius."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(-0.2, 0.2, corners)
    radii = np.clip(1 + rng.normal(0, roughness, corners), 0.5, 1.3)
    return smooth(np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1))


@dataclass(frozen=True)
class Pose:
    """How a finished canvas stands in the scene.

    Attributes:
        angle: Rotation in degrees, counter-clockwise.
        mirrored: Whether it faces left; applied before the rotation.
        squash: Factor on the height after the rotation, for things that lie on the ground.
        relief: How round it looks, 0 for flat.
    """

    angle: float = 0.0
    mirrored: bool = False
    squash: float = 1.0
    relief: float = 0.6


class Canvas:
    """A transparent square picture addressed in units: x to the right, y downwards, both from -1 to 1.

    Args:
        pixels: Side of the finished picture; the canvas itself is `OVERSAMPLING` times as large.
    """

    def __init__(self, pixels: int) -> None:
        self.pixels = max(8, pixels)
        self.half = self.pixels * OVERSAMPLING / 2
        side = self.pixels * OVERSAMPLING
        self.image = Image.new("RGBA", (side, side), (0, 0, 0, 0))

    def _place(self, points: Sequence[Sequence[float]] | np.ndarray) -> list[tuple[float, float]]:
        return [(x, y) for x, y in ((np.asarray(points, float) + 1) * self.half).tolist()]

    def polygon(self, points: Sequence[Sequence[float]] | np.ndarray, colour: Sequence[int]) -> None:
        """Fill a closed outline; a colour with a fourth value is laid over what is there."""
        if len(colour) == 4:
            layer = Image.new("RGBA", self.image.size, (*colour[:3], 0))
            ImageDraw.Draw(layer).polygon(self._place(points), fill=tuple(colour))
            self.image.alpha_composite(layer)
        else:
            ImageDraw.Draw(self.image).polygon(self._place(points), fill=(*colour, 255))

    def disc(self, centre: Sequence[float], radius: float, colour: Sequence[int]) -> None:
        """Fill a circle."""
        x, y = self._place([centre])[0]
        r = radius * self.half
        ImageDraw.Draw(self.image).ellipse((x - r, y - r, x + r, y + r), fill=(*colour[:3], 255))

    def stroke(self, points: np.ndarray, start: float, end: float, colour: Sequence[int]) -> None:
        """Draw a rounded line whose width runs from `start` to `end` along the points."""
        way = np.gradient(np.asarray(points, float), axis=0)
        across = np.stack([-way[:, 1], way[:, 0]], 1) / np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-9)[:, None]
        reach = across * np.linspace(start, end, len(points))[:, None] / 2
        self.polygon(np.vstack([points + reach, (points - reach)[::-1]]), colour)
        self.disc(points[0], start / 2, colour)
        self.disc(points[-1], end / 2, colour)

    def overlay(self, other: Canvas, inside: Canvas | None = None) -> None:
        """Lay another canvas over this one, only where `inside` has paint if that is given."""
        image = other.image
        if inside is not None:
            nothing = Image.new("L", image.size, 0)
            image.putalpha(Image.composite(image.getchannel("A"), nothing, inside.image.getchannel("A")))
        self.image.alpha_composite(image)

    def finish(self, pose: Pose) -> Image.Image:
        """Turn, flatten, average down, crop and light the picture from above.

        Returns:
            An RGBA picture cropped to its paint.
        """
        facing = self.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if pose.mirrored else self.image
        turned = facing.rotate(pose.angle, Image.Resampling.BILINEAR, expand=True)
        turned = turned.crop(turned.getbbox())
        width = max(2, round(turned.width / OVERSAMPLING))
        height = max(2, round(turned.height * pose.squash / OVERSAMPLING))
        small = turned.resize((width, height), Image.Resampling.BOX)
        return light_from_above(small, pose.relief)


def light_from_above(image: Image.Image, relief: float) -> Image.Image:
    """Make a flat shape look round: its blurred outline is a hill whose slope is lit from the top left."""
    radius = max(1.0, min(image.size) / 12)
    margin = round(2 * radius)
    framed = Image.new("L", (image.width + 2 * margin, image.height + 2 * margin), 0)
    framed.paste(image.getchannel("A"), (margin, margin))
    hill = np.asarray(framed.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255 * radius
    down, right = np.gradient(hill)
    slope = (0.9 * down + 0.35 * right)[margin:-margin, margin:-margin, None] * relief * 1.6
    pixels = np.array(image, np.float32)
    colour = pixels[..., :3]
    lit = np.where(slope > 0, colour + (255 - colour) * slope * 0.75, colour * (1 + slope))
    pixels[..., :3] = np.clip(lit, 0, 255)
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")
