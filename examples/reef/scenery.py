"""What lives and lies around the creatures: corals, weeds, rocks, and animals that are *not* to be detected."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from shapes import Canvas, Colour, blob, darker, jitter, lighter, smooth

CORAL_COLOURS: list[Colour] = [
    (244, 106, 116),
    (250, 148, 84),
    (176, 92, 196),
    (236, 92, 160),
    (246, 196, 92),
    (92, 178, 170),
    (120, 130, 226),
]
WEED_COLOURS: list[Colour] = [(46, 134, 78), (98, 150, 52), (30, 112, 104), (134, 122, 50), (150, 62, 84)]
ROCK_COLOURS: list[Colour] = [(112, 112, 122), (128, 108, 96), (92, 102, 112), (116, 96, 116)]


def pick(rng: np.random.Generator, colours: list[Colour]) -> Colour:
    """One of the colours, slightly off."""
    return jitter(colours[rng.integers(len(colours))], rng)


def grow(
    canvas: Canvas,
    rng: np.random.Generator,
    root: np.ndarray,
    heading: float,
    length: float,
    width: float,
    colour: Colour,
    levels: int,
    spread: float,
) -> None:
    """One branch and, out of its end, its children: each shorter, thinner and lighter."""
    tip = root + length * np.array([np.cos(heading), -np.sin(heading)])
    bend = (root + tip) / 2 + rng.normal(0, length * 0.08, 2)
    canvas.stroke(smooth([root, bend, tip], closed=False, steps=3), width, width * 0.78, colour)
    if levels == 0:
        canvas.disc(tip, width * 0.5, lighter(colour, 0.35))
        return
    children = rng.integers(2, 4)
    for side in np.linspace(-spread, spread, children) + rng.normal(0, 0.12, children):
        child = np.clip(heading + side, 0.1, np.pi - 0.1)
        reach, girth = length * rng.uniform(0.62, 0.86), width * 0.76
        grow(canvas, rng, tip, child, reach, girth, lighter(colour, 0.07), levels - 1, spread)


def branch_coral(rng: np.random.Generator, pixels: int) -> Canvas:
    """A staghorn-like coral: few thick branches with pale tips."""
    canvas, colour = Canvas(pixels), darker(pick(rng, CORAL_COLOURS), 0.12)
    for heading in np.linspace(0.8, np.pi - 0.8, rng.integers(2, 4)):
        grow(canvas, rng, np.array([0, 0.95]), heading, 0.52, 0.17, colour, 3, 0.5)
    return canvas


def fan_coral(rng: np.random.Generator, pixels: int) -> Canvas:
    """A sea fan: a flat lace of thin branches."""
    canvas, colour = Canvas(pixels), darker(pick(rng, CORAL_COLOURS), 0.2)
    for heading in np.linspace(0.6, np.pi - 0.6, 5):
        grow(canvas, rng, np.array([0, 0.95]), heading, 0.52, 0.07, colour, 4, 0.36)
    return canvas


def brain_coral(rng: np.random.Generator, pixels: int) -> Canvas:
    """A dome with winding grooves."""
    canvas, colour = Canvas(pixels), pick(rng, CORAL_COLOURS)
    dome = smooth([(-0.95, 0.5), (-0.86, -0.1), (-0.4, -0.56), (0.3, -0.6), (0.84, -0.16), (0.95, 0.5), (0, 0.62)])
    canvas.polygon(dome, colour)
    grooves, inside = Canvas(pixels), Canvas(pixels)
    inside.polygon(dome * 0.96, colour)
    for start in rng.uniform((-0.95, -0.65), (0.85, 0.6), (70, 2)):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.8, 6))
        steps = 0.08 * np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), axis=0)
        grooves.stroke(smooth(start + steps, closed=False, steps=4), 0.025, 0.025, darker(colour, 0.26))
    canvas.overlay(grooves, inside=inside)
    return canvas


def tube_sponge(rng: np.random.Generator, pixels: int) -> Canvas:
    """A group of open tubes."""
    canvas, colour = Canvas(pixels), pick(rng, CORAL_COLOURS)
    for x in rng.permutation(np.linspace(-0.62, 0.62, rng.integers(4, 7))):
        top = np.array([x * 1.25, rng.uniform(-0.85, 0.1)])
        width = rng.uniform(0.2, 0.28)
        tone = jitter(colour, rng, 9)
        curve = smooth([(x * 0.4, 0.9), (x * 0.9, 0.35), top], closed=False)
        canvas.stroke(curve, width * 0.7 + 0.03, width + 0.03, darker(tone, 0.35))
        canvas.stroke(curve, width * 0.7, width, tone)
        canvas.disc(top, width * 0.42, lighter(tone, 0.3))
        canvas.disc(top + np.array([0, 0.012]), width * 0.3, darker(tone, 0.6))
    return canvas


def anemone(rng: np.random.Generator, pixels: int) -> Canvas:
    """A cushion of soft arms with bright tips."""
    canvas, colour = Canvas(pixels), pick(rng, CORAL_COLOURS)
    tip_colour = lighter(jitter(colour, rng, 40), 0.4)
    for x in rng.permutation(np.linspace(-0.75, 0.75, 26)):
        lean = x * 0.25 + rng.normal(0, 0.14)
        top = (x + lean, -0.35 + 0.55 * x * x + rng.uniform(-0.3, 0.2))
        arm = smooth([(x * 0.55, 0.8), (x * 0.8, 0.3), top], closed=False, steps=6)
        canvas.stroke(arm, 0.1, 0.075, darker(colour, rng.uniform(0, 0.3)))
        canvas.disc(top, 0.055, tip_colour)
    return canvas


def kelp(rng: np.random.Generator, pixels: int) -> Canvas:
    """A few long ribbons with leaves, all leaning with the same current."""
    canvas, colour = Canvas(pixels), pick(rng, WEED_COLOURS)
    lean = rng.uniform(-0.3, 0.3)
    for x in np.linspace(-0.4, 0.4, rng.integers(2, 5)):
        top = rng.uniform(-0.95, -0.1)
        wave, tone = rng.uniform(0.05, 0.13), jitter(colour, rng, 9)
        y = np.linspace(0.95, top, 9)
        way = (0.95 - y) / 1.9
        stem = smooth(np.stack([x + lean * way + wave * np.sin(5 * y + 4 * x), y], 1), closed=False, steps=5)
        canvas.stroke(stem, 0.05, 0.02, darker(tone, 0.25))
        for i, foot in enumerate(stem[4::4]):
            side = 1 if i % 2 else -1
            leaf = [(0, 0), (0.1 * side, -0.08), (0.24 * side, -0.2), (0.11 * side, 0.0)]
            canvas.polygon(smooth(foot + np.array(leaf), steps=5), lighter(tone, 0.06 * (i % 3)))
    return canvas


def rock(rng: np.random.Generator, pixels: int) -> Canvas:
    """A weathered boulder."""
    canvas, colour = Canvas(pixels), pick(rng, ROCK_COLOURS)
    outline = blob(rng, 0.13) * (0.78, rng.uniform(0.46, 0.7))
    canvas.polygon(outline, colour)
    marks, inside = Canvas(pixels), Canvas(pixels)
    inside.polygon(outline * 0.97, colour)
    for _ in range(46):
        centre = rng.uniform(-0.8, 0.8, 2)
        tone = darker(colour, 0.16) if rng.random() < 0.5 else lighter(colour, 0.1)
        marks.polygon(centre + blob(rng, 0.25) * rng.uniform(0.02, 0.1), tone)
    canvas.overlay(marks, inside=inside)
    return canvas


def urchin(rng: np.random.Generator, pixels: int) -> Canvas:
    """A ball of spines: round and pointed like a starfish, and not one."""
    canvas = Canvas(pixels)
    colour = jitter(((38, 28, 58), (70, 30, 60), (24, 30, 44))[rng.integers(3)], rng, 8)
    for angle in np.linspace(0, 2 * np.pi, 44) + rng.normal(0, 0.06, 44):
        tip = rng.uniform(0.7, 0.96) * np.array([np.cos(angle), np.sin(angle)])
        canvas.stroke(np.array([(0, 0), tip]), 0.06, 0.012, lighter(colour, rng.uniform(0, 0.25)))
    canvas.disc((0, 0), 0.46, colour)
    return canvas


def shell(rng: np.random.Generator, pixels: int) -> Canvas:
    """A scallop."""
    canvas = Canvas(pixels)
    colour = lighter(pick(rng, CORAL_COLOURS), 0.35)
    angles = np.linspace(0.35, np.pi - 0.35, 12)
    rim = np.stack([0.9 * np.cos(angles), 0.5 - 1.2 * np.sin(angles)], 1) * (1, 0.9)
    canvas.polygon([(-0.25, 0.62), (0.25, 0.62), (0.16, 0.4), (-0.16, 0.4)], darker(colour, 0.15))
    canvas.polygon(np.vstack([smooth(rim, closed=False), [(0.0, 0.55)]]), colour)
    for point in rim:
        canvas.stroke(np.stack([np.array([0, 0.52]), point]), 0.02, 0.04, darker(colour, 0.2))
    return canvas


def jellyfish(rng: np.random.Generator, pixels: int) -> Canvas:
    """A pale bell with trailing arms."""
    canvas = Canvas(pixels)
    colour = lighter(((240, 150, 210), (150, 170, 250), (250, 190, 150))[rng.integers(3)], 0.25)
    for x in np.linspace(-0.42, 0.42, 8):
        y = np.linspace(-0.1, rng.uniform(0.5, 0.95), 7)
        arm = np.stack([x * (1 - 0.3 * y) + 0.06 * np.sin(6 * y + 9 * x), y], 1)
        canvas.stroke(smooth(arm, closed=False, steps=5), 0.05, 0.015, darker(colour, 0.1))
    bell = smooth(
        [(-0.58, 0), (-0.5, -0.5), (0, -0.86), (0.5, -0.5), (0.58, 0), (0.3, -0.09), (0, 0), (-0.3, -0.09)]
    )
    canvas.polygon(bell, colour)
    canvas.polygon(bell * (0.62, 0.66) + (0, -0.16), (*lighter(colour, 0.5), 130))
    canvas.image.putalpha(canvas.image.getchannel("A").point(lambda alpha: round(alpha * 0.72)))
    return canvas


def bubble(rng: np.random.Generator, pixels: int) -> Canvas:
    """A bubble of air: a faint ball with a bright rim and a glint."""
    canvas = Canvas(pixels)
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.9, 0.96)
    canvas.polygon(circle, (225, 248, 255, 150))
    hollow = Canvas(pixels)
    hollow.polygon(circle * 0.84, (255, 255, 255))
    alpha = np.array(canvas.image.getchannel("A"), np.float32)
    alpha *= 1 - 0.62 * np.asarray(hollow.image.getchannel("A"), np.float32) / 255
    canvas.image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    canvas.polygon(circle * 0.22 + (-0.34, -0.38), (255, 255, 255, 220))
    return canvas


Prop = Callable[[np.random.Generator, int], Canvas]
REEF: list[Prop] = [branch_coral, fan_coral, brain_coral, tube_sponge, anemone, kelp, kelp, rock, rock]
LITTER: list[Prop] = [urchin, shell, rock]
