"""The three animals that the detector learns: fish, starfish and sea turtles, no two alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from shapes import Canvas, Colour, darker, jitter, lighter, mix, smooth

Creature = Callable[[np.random.Generator, int], Canvas]

# (body, pattern, fins); after clownfish, tangs, angelfish, gramma, parrotfish, snapper and others
FISH_COATS: list[tuple[Colour, Colour, Colour]] = [
    ((244, 118, 34), (255, 246, 235), (236, 96, 26)),
    ((38, 86, 214), (16, 22, 60), (252, 208, 52)),
    ((252, 214, 56), (250, 166, 40), (252, 196, 38)),
    ((246, 240, 222), (40, 40, 52), (252, 206, 70)),
    ((146, 66, 190), (252, 196, 52), (252, 186, 60)),
    ((42, 190, 182), (248, 124, 160), (60, 150, 214)),
    ((226, 66, 62), (255, 214, 196), (196, 40, 54)),
    ((250, 128, 150), (255, 226, 120), (246, 96, 140)),
    ((172, 196, 214), (58, 84, 120), (128, 158, 188)),
    ((126, 196, 72), (34, 110, 90), (228, 220, 84)),
]
STARFISH_COATS: list[tuple[Colour, Colour]] = [
    ((236, 104, 44), (255, 196, 120)),
    ((214, 52, 60), (255, 168, 140)),
    ((150, 78, 176), (232, 180, 240)),
    ((240, 134, 156), (255, 222, 214)),
    ((58, 104, 196), (160, 206, 250)),
    ((242, 190, 70), (255, 240, 178)),
]
# (shell, seams between its plates, skin)
TURTLE_COATS: list[tuple[Colour, Colour, Colour]] = [
    ((96, 112, 52), (206, 196, 118), (126, 150, 92)),
    ((128, 84, 46), (226, 176, 104), (148, 136, 92)),
    ((62, 108, 92), (176, 214, 164), (104, 152, 132)),
    ((150, 108, 58), (244, 214, 142), (176, 160, 108)),
]
BLACK: Colour = (14, 16, 24)
WHITE: Colour = (250, 252, 252)


def pick(rng: np.random.Generator, coats: list) -> list[Colour]:
    """One of the coats, every colour of it slightly off so that no two animals match."""
    return [jitter(colour, rng) for colour in coats[rng.integers(len(coats))]]


def fish(rng: np.random.Generator, pixels: int) -> Canvas:
    """A fish seen from the side, facing right."""
    body, pattern, fins = pick(rng, FISH_COATS)
    height = rng.uniform(0.24, 0.56)
    t = np.linspace(0, 1, 24)
    x = 0.86 - 1.34 * t
    profile = height * np.sin(np.pi * t**0.64) ** 0.8 + 0.085 * t**2
    outline = np.vstack([np.stack([x, -profile], 1), np.stack([x, profile * 0.92], 1)[::-1]])

    canvas = Canvas(pixels)
    tail = rng.uniform(0.22, 0.44)
    notch = rng.uniform(-0.98, -0.72)
    canvas.polygon(smooth([(-0.42, -0.07), (-0.95, -tail), (notch, 0), (-0.95, tail), (-0.42, 0.07)]), fins)
    for spread in np.linspace(-0.7, 0.7, 6):
        canvas.stroke(np.array([(-0.5, spread * 0.08), (-0.86, spread * tail)]), 0.012, 0.012, darker(fins, 0.2))
    crest = rng.uniform(0.1, 0.3)
    draw_fin(canvas, x[4:21], -profile[4:21], -crest, fins)
    draw_fin(canvas, x[12:21], profile[12:21] * 0.9, crest * rng.uniform(0.6, 1.1), fins)

    skin = Canvas(pixels)
    skin.polygon(outline, body)
    coat = Canvas(pixels)
    draw_pattern(coat, rng, pattern, height)
    belly = np.vstack([np.stack([x, profile * 0.35], 1), np.stack([x, profile + 0.02], 1)[::-1]])
    coat.polygon(belly, (*lighter(body, 0.7), 90))
    skin.overlay(coat, inside=skin)
    canvas.overlay(skin)
    draw_face(canvas, body, fins, height)
    return canvas


def draw_fin(canvas: Canvas, x: np.ndarray, base: np.ndarray, rise: float, colour: Colour) -> None:
    """A fin with rays that rises from part of the body's outline."""
    t = np.linspace(0, 1, len(x))
    edge_x = x - 0.12 * t
    edge_y = base + rise * np.sin(np.pi * (0.08 + 0.88 * t)) ** 0.6
    canvas.polygon(np.vstack([np.stack([x, base * 0.7], 1), np.stack([edge_x, edge_y], 1)[::-1]]), colour)
    for i in range(1, len(x) - 1, 2):
        ray = np.array([(x[i], base[i]), (edge_x[i], base[i] + (edge_y[i] - base[i]) * 0.92)])
        canvas.stroke(ray, 0.012, 0.008, darker(colour, 0.22))


def draw_pattern(coat: Canvas, rng: np.random.Generator, colour: Colour, height: float) -> None:
    """Bands, stripes, spots, a second colour behind, or nothing."""
    kind = rng.choice(["bands", "stripes", "spots", "half", "plain"], p=[0.32, 0.2, 0.18, 0.18, 0.12])
    if kind == "bands":
        for middle in np.linspace(0.38, -0.4, rng.integers(2, 5)):
            band = smooth([(middle, -0.8), (middle + 0.09, 0), (middle - 0.02, 0.8)], closed=False)
            width = rng.uniform(0.1, 0.17)
            coat.stroke(band, width + 0.05, width + 0.05, darker(colour, 0.75))
            coat.stroke(band, width, width, colour)
    elif kind == "stripes":
        for y in np.linspace(-0.7, 0.6, rng.integers(4, 7)) * height:
            stripe = smooth([(0.6, y * 0.7), (0.1, y), (-0.6, y * 0.3)], closed=False)
            coat.stroke(stripe, 0.055, 0.03, colour)
    elif kind == "spots":
        for _ in range(rng.integers(14, 34)):
            spot = rng.uniform(-0.5, 0.5), rng.uniform(-1, 1) * height
            coat.disc(spot, rng.uniform(0.02, 0.055), colour)
    elif kind == "half":
        edge = rng.uniform(-0.25, 0.2)
        coat.polygon(smooth([(edge, -1), (edge - 0.12, 0), (edge, 1), (-1.4, 1), (-1.4, -1)]), colour)


def draw_face(canvas: Canvas, body: Colour, fins: Colour, height: float) -> None:
    """Gill, pectoral fin, mouth and eye."""
    gill = smooth([(0.36, -height * 0.5), (0.29, 0), (0.37, height * 0.5)], closed=False)
    canvas.stroke(gill, 0.02, 0.02, darker(body, 0.3))
    fin = smooth([(0.26, 0.03), (0.08, 0.03), (-0.1, 0.16 + height * 0.2), (0.06, 0.2), (0.24, 0.12)])
    canvas.polygon(fin * 1.05, darker(fins, 0.3))
    canvas.polygon(fin, lighter(fins, 0.12))
    mouth = smooth([(0.87, 0.05), (0.78, 0.075), (0.74, 0.06)], closed=False)
    canvas.stroke(mouth, 0.022, 0.018, darker(body, 0.55))
    eye = np.array([0.57, -height * 0.22])
    canvas.disc(eye, 0.088, darker(body, 0.35))
    canvas.disc(eye, 0.077, WHITE)
    canvas.disc(eye + np.array([0.012, 0]), 0.05, BLACK)
    canvas.disc(eye + np.array([0.03, -0.022]), 0.017, WHITE)


def starfish(rng: np.random.Generator, pixels: int) -> Canvas:
    """A starfish seen from above: five arms, each bent a little its own way."""
    body, dots = pick(rng, STARFISH_COATS)
    arms = 5
    waist = rng.uniform(0.3, 0.44)
    plump = rng.uniform(0.1, 0.17)
    axes = np.arange(arms) * 2 * np.pi / arms + rng.normal(0, 0.07, arms)
    bends = rng.normal(0, 0.1, arms)
    reach = rng.uniform(0.86, 0.97, arms)

    outline: list[tuple[float, float]] = []
    for i, axis in enumerate(axes):
        tip = axis + bends[i]
        for radius, side in ((0.6, -1.5), (0.9, -0.8), (1.0, 0.0), (0.9, 0.8), (0.6, 1.5)):
            angle = (axis if radius < 0.7 else tip) + side * plump / radius
            outline.append((reach[i] * radius * np.cos(angle), reach[i] * radius * np.sin(angle)))
        following = axes[i + 1] if i + 1 < arms else axes[0] + 2 * np.pi
        valley = (axis + following) / 2
        outline.append((waist * np.cos(valley), waist * np.sin(valley)))
    canvas = Canvas(pixels)
    canvas.polygon(smooth(outline), body)

    inner = np.array(outline) * 0.8
    glow = Canvas(pixels)
    glow.polygon(smooth(inner), (*lighter(body, 0.45), 110))
    canvas.overlay(glow)
    draw_knobs(canvas, rng, axes, bends, reach, dots)
    return canvas


def draw_knobs(
    canvas: Canvas,
    rng: np.random.Generator,
    axes: np.ndarray,
    bends: np.ndarray,
    reach: np.ndarray,
    colour: Colour,
) -> None:
    """The rows of knobs along the arms, dense or sparse, and the ring in the middle."""
    knobs = rng.integers(5, 9)
    double = rng.random() < 0.5
    for axis, bend, length in zip(axes, bends, reach, strict=True):
        for radius in np.linspace(0.12, 0.9, knobs) * length:
            size = 0.045 * (1.15 - radius)
            for offset in (-0.07, 0.07) if double else (0.0,):
                angle = axis + bend * radius + offset * (1.1 - radius) / max(radius, 0.2)
                spot = np.array([np.cos(angle), np.sin(angle)]) * radius
                canvas.disc(spot + 0.012, size * 1.1, darker(colour, 0.45))
                canvas.disc(spot, size, colour)


def turtle(rng: np.random.Generator, pixels: int) -> Canvas:
    """A sea turtle seen from above, swimming to the right."""
    shell, seam, skin = pick(rng, TURTLE_COATS)
    canvas = Canvas(pixels)
    sweep = rng.uniform(-0.2, 0.2, 4)
    for side, front, back in ((-1, sweep[0], sweep[1]), (1, sweep[2], sweep[3])):
        flip = np.array([1, side])
        fore = [(0.34, 0.24), (0.5, 0.4), (0.42 + front / 2, 0.7), (0.1 + front, 0.96)]
        fore += [(0.02 + front, 0.9), (0.18 + front / 2, 0.62), (0.12, 0.4)]
        hind = [(-0.4, 0.22), (-0.56, 0.34), (-0.84 + back / 2, 0.5 + back / 2), (-0.86, 0.38), (-0.62, 0.14)]
        draw_flipper(canvas, rng, smooth(np.array(fore) * flip), skin)
        draw_flipper(canvas, rng, smooth(np.array(hind) * flip), skin)
    canvas.polygon(smooth([(-0.6, -0.07), (-0.86, 0), (-0.6, 0.07)]), darker(skin, 0.1))

    head = smooth([(0.5, -0.14), (0.72, -0.15), (0.9, -0.09), (0.95, 0), (0.9, 0.09), (0.72, 0.15), (0.5, 0.14)])
    draw_flipper(canvas, rng, head, skin)
    for side in (-1, 1):
        canvas.disc((0.82, side * 0.095), 0.036, WHITE)
        canvas.disc((0.828, side * 0.1), 0.026, BLACK)
    draw_shell(canvas, rng, shell, seam)
    return canvas


def draw_flipper(canvas: Canvas, rng: np.random.Generator, outline: np.ndarray, skin: Colour) -> None:
    """A limb in the pale-edged, dark-scaled skin of sea turtles."""
    canvas.polygon(outline, lighter(skin, 0.3))
    middle = outline.mean(axis=0)
    scales = Canvas(canvas.pixels)
    scales.polygon(middle + (outline - middle) * 0.86, skin)
    low, high = outline.min(axis=0), outline.max(axis=0)
    for _ in range(16):
        scales.disc(rng.uniform(low, high), rng.uniform(0.022, 0.05), darker(skin, 0.38))
    limb = Canvas(canvas.pixels)
    limb.polygon(middle + (outline - middle) * 0.86, skin)
    canvas.overlay(scales, inside=limb)


def draw_shell(canvas: Canvas, rng: np.random.Generator, shell: Colour, seam: Colour) -> None:
    """An egg-shaped carapace: a rim of small plates, five plates along the spine, four on each side."""
    rim = smooth(
        [
            (0.62, 0),
            (0.5, 0.32),
            (0.1, 0.49),
            (-0.34, 0.42),
            (-0.72, 0),
            (-0.34, -0.42),
            (0.1, -0.49),
            (0.5, -0.32),
        ]
    )
    canvas.polygon(rim * 1.03, darker(shell, 0.45))
    canvas.polygon(rim, mix(shell, seam, 0.35))
    plates = Canvas(canvas.pixels)
    field = rim * 0.86
    plates.polygon(field, seam)
    inside = Canvas(canvas.pixels)
    inside.polygon(field, seam)
    centres = np.linspace(0.45, -0.55, 5)
    for x in centres:
        draw_plate(plates, rng, np.array([x, 0.0]), (0.115, 0.135), shell)
    for x in np.linspace(0.34, -0.45, 4):
        for side in (-1, 1):
            draw_plate(plates, rng, np.array([x, 0.3 * side]), (0.12, 0.145), shell)
    canvas.overlay(plates, inside=inside)
    for angle in np.linspace(0, 2 * np.pi, 22, endpoint=False):
        direction = np.array([np.cos(angle), np.sin(angle)])
        index = int(angle / (2 * np.pi) * len(rim))
        canvas.stroke(np.stack([rim[index] * 0.88, rim[index] * 0.99 + direction * 0.003]), 0.014, 0.014, shell)


def draw_plate(
    plates: Canvas, rng: np.random.Generator, centre: np.ndarray, radii: tuple[float, float], colour: Colour
) -> None:
    """One six-sided plate, darker towards its middle."""
    angles = np.arange(6) * np.pi / 3
    hexagon = np.stack([np.cos(angles) * radii[0] * 1.22, np.sin(angles) * radii[1] * 1.16], 1)
    tone = jitter(colour, rng, 8)
    plates.polygon(centre + hexagon, lighter(tone, 0.1))
    plates.polygon(centre + hexagon * 0.72, tone)
    plates.polygon(centre + hexagon * 0.38, darker(tone, 0.22))


CREATURES: dict[str, Creature] = {"fish": fish, "starfish": starfish, "turtle": turtle}
