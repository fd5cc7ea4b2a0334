"""Draw detections into a picture so that people see at a glance what was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from coralsmith.detection.detections import Detections

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are the first that lie outside."""

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (240, 228, 66),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (0, 114, 178),
)
"""Colours that colour-blind people tell apart (Okabe and Ito 2008, without black), best seen on photos first."""

_DARK: Colour = (12, 14, 20)
_LIGHT: Colour = (255, 255, 255)
_OVERSAMPLING = 4  # Pillow draws curves with hard edges: corners are drawn so many times as large and averaged


def class_colour(class_id: int) -> Colour:
    """The colour of a class: the palette, then the palette lighter, then darker, and again."""
    base = PALETTE[class_id % len(PALETTE)]
    towards = (None, _LIGHT, _DARK)[class_id // len(PALETTE) % 3]
    return base if towards is None else _blend(base, towards, 0.45)


def draw_detections(
    image: Image.Image | NDArray[np.uint8],
    detections: Detections,
    labels: Sequence[str],
    min_score: float = 0.0,
) -> Image.Image:
    """A copy of the image with a box and a label for each detection.

    Lines and letters grow with the image. Labels stay inside it and, where there is room, off each other.

    Args:
        image: An RGB picture, or its uint8 pixels [height, width, 3].
        detections: Boxes normalised to the image.
        labels: The name of each class; a class without one shows its number.
        min_score: Leave out detections below this.
    """
    picture = image.convert("RGB") if isinstance(image, Image.Image) else Image.fromarray(image)
    picture = picture.copy()
    shorter = min(picture.size)
    line = max(2, round(shorter / 200))
    font = _font(max(11, round(shorter / 32)))
    shown = np.nonzero(detections.scores >= min_score)[0]
    rectangles = {int(i): _to_pixels(detections.boxes[i], picture.size) for i in shown}
    for i in reversed(shown):  # the best is drawn last, on top
        _draw_box(picture, rectangles[int(i)], class_colour(int(detections.class_ids[i])), line)
    taken: list[Rectangle] = []
    for i in shown:
        class_id = int(detections.class_ids[i])
        name = labels[class_id] if class_id < len(labels) else f"class {class_id}"
        text = _shorten(f"{name} {detections.scores[i]:.0%}", font, picture.width)
        chip = _place_chip(_chip_size(text, font), rectangles[int(i)], picture.size, taken)
        _draw_chip(picture, chip, text, font, class_colour(class_id))
        taken.append(chip)
    return picture


def side_by_side(left: Image.Image, right: Image.Image, titles: tuple[str, str]) -> Image.Image:
    """Two pictures in one, each under its title; the right one is scaled to the height of the left."""
    width = max(1, round(right.width * left.height / right.height))
    pictures = [left, right.resize((width, left.height), Image.Resampling.LANCZOS)]
    font = _font(max(12, round(left.height / 26)))
    gap = max(4, left.height // 80)
    strip = round(font.size * 1.9)
    sheet = Image.new("RGB", (left.width + gap + width, strip + left.height), _LIGHT)
    x = 0
    for picture, title in zip(pictures, titles, strict=True):
        text = _shorten(title, font, picture.width)
        ImageDraw.Draw(sheet).text((x + picture.width / 2, strip / 2), text, _DARK, font, anchor="mm")
        sheet.paste(picture, (x, strip))
        x += picture.width + gap
    return sheet


def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow, so that pictures look the same on every machine."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _to_pixels(box: NDArray[np.float32], size: tuple[int, int]) -> Rectangle:
    """A normalised box (ymin, xmin, ymax, xmax) in pixels, inside the picture and at least a few pixels large."""
    inside = np.clip(np.nan_to_num(box.astype(float)), 0.0, 1.0)
    least = min(4, *size)
    edges = []
    for low, high, side in ((inside[1], inside[3], size[0]), (inside[0], inside[2], size[1])):
        start = min(round(low * side), side - least)
        edges.append((start, max(round(high * side), start + least)))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def _draw_box(picture: Image.Image, box: Rectangle, colour: Colour, line: int) -> None:
    """A rounded frame in the colour, over a wider, fainter dark one that sets it off from any background."""
    left, top, right, bottom = box
    radius = max(0, min(4 * line, (right - left) // 4, (bottom - top) // 4))
    shade = _frame(right - left + 2, bottom - top + 2, line + 2, radius + 1).point(lambda alpha: alpha * 2 // 5)
    picture.paste(_DARK, (left - 1, top - 1), shade)
    picture.paste(colour, (left, top), _frame(right - left, bottom - top, line, radius))


def _frame(width: int, height: int, line: int, radius: int) -> Image.Image:
    """The mask of a frame with smooth corners and crisp sides, mode L."""
    mask = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(mask)
    draw.rectangle((0, 0, width - 1, height - 1), outline=255, width=line)
    if radius <= 0:
        return mask
    side = 2 * radius * _OVERSAMPLING
    large = Image.new("L", (side, side), 0)
    ImageDraw.Draw(large).ellipse((0, 0, side - 1, side - 1), outline=255, width=line * _OVERSAMPLING)
    ring = large.reduce(_OVERSAMPLING)
    for x, from_x in ((0, 0), (width - radius, radius)):
        for y, from_y in ((0, 0), (height - radius, radius)):
            mask.paste(ring.crop((from_x, from_y, from_x + radius, from_y + radius)), (x, y))
    return mask


def _chip_size(text: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    return round(font.getlength(text) + 0.8 * font.size), round(1.5 * font.size)


def _place_chip(
    size: tuple[int, int], box: Rectangle, image_size: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle:
    """The first free place for a label: on the box, under it, in its corners; on the box if none is free."""
    left, top, right, bottom = box
    width, height = size
    wanted = [
        (left, top - height),
        (left, bottom),
        (left, top),
        (right - width, top - height),
        (right - width, bottom),
        (right - width, top),
        (left, bottom - height),
    ]
    places: list[Rectangle] = []
    for x, y in wanted:
        x, y = max(0, min(x, image_size[0] - width)), max(0, min(y, image_size[1] - height))
        places.append((x, y, x + width, y + height))
    return next((place for place in places if not any(_overlap(place, other) for other in taken)), places[0])


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _draw_chip(
    picture: Image.Image, chip: Rectangle, text: str, font: ImageFont.FreeTypeFont, colour: Colour
) -> None:
    """The text on a rounded plate of the colour, dark or light, whichever is read more easily."""
    width, height = chip[2] - chip[0], chip[3] - chip[1]
    large = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING), 0)
    corners = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(corners, radius=height * _OVERSAMPLING // 4, fill=255)
    picture.paste(colour, chip[:2], large.reduce(_OVERSAMPLING))
    ink = max((_DARK, _LIGHT), key=lambda candidate: _contrast(candidate, colour))
    ImageDraw.Draw(picture).text((chip[0] + width / 2, chip[1] + height / 2), text, ink, font, anchor="mm")


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, cut so that its chip fits into the width."""
    if _chip_size(text, font)[0] <= width:
        return text
    while len(text) > 1 and _chip_size(text + "...", font)[0] > width:
        text = text[:-1]
    return text + "..."


def _contrast(a: Colour, b: Colour) -> float:
    """The contrast ratio of two colours, 1..21 (WCAG 2.1)."""
    darker, lighter = sorted((_luminance(a), _luminance(b)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    """Relative luminance 0..1 of an sRGB colour (WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _blend(a: Colour, b: Colour, amount: float) -> Colour:
    red, green, blue = (round(p + (q - p) * amount) for p, q in zip(a, b, strict=True))
    return red, green, blue
