"""Composites sprites into a picture from far to near and knows which pixel belongs to which creature."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter
from shapes import Colour

MOST_HIDDEN = 0.35  # share of a creature that nearer things may cover
LEAST_INSIDE = 0.7  # share of a creature that must lie inside the picture
NOBODY = -1

Box = tuple[int, int, int, int]


class Painter:
    """A picture in the making.

    Args:
        picture: The background, float RGB [height, width, 3] in 0..255.
        haze: The colour that distance fades to.
    """

    def __init__(self, picture: np.ndarray, haze: Colour) -> None:
        self.picture = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).convert("RGBA")
        self.haze = np.array(haze, np.float32)
        self.owner = np.full(picture.shape[:2], NOBODY, np.int16)
        self.areas: list[int] = []  # visible pixels of each creature when it was painted

    @property
    def unit(self) -> int:
        """The shorter side of the picture in pixels: what sizes are shares of."""
        return min(self.picture.size)

    def paint(self, sprite: Image.Image, left: int, top: int, distance: float = 0.0) -> None:
        """Composite a sprite, faded by its distance (0 near .. 1 far)."""
        pixels = np.array(sprite, np.float32)
        pixels[..., :3] += (self.haze - pixels[..., :3]) * (0.62 * distance)
        faded = Image.fromarray(pixels.astype(np.uint8))
        self.picture.alpha_composite(*self._inside(faded, left, top))

    def paint_shadow(self, sprite: Image.Image, left: int, top: int) -> None:
        """The soft dark patch under something that lies on the floor."""
        low = sprite.getchannel("A").resize((sprite.width, max(2, sprite.height // 3)))
        margin = max(3, sprite.width // 8)
        alpha = Image.new("L", (low.width + 2 * margin, low.height + 2 * margin), 0)
        alpha.paste(low.point(lambda value: value * 2 // 5), (margin, margin))
        dark = Image.new("RGBA", alpha.size, (10, 24, 46, 0))
        dark.putalpha(alpha.filter(ImageFilter.GaussianBlur(margin / 2.2)))
        base = top + sprite.height - low.height * 3 // 4
        self.picture.alpha_composite(*self._inside(dark, left - margin, base - margin))

    def claim(self, sprite: Image.Image, left: int, top: int, creature: bool) -> bool:
        """Take the sprite's pixels for a new creature, or for nobody.

        Returns:
            False, and nothing is taken, where the sprite would hide a creature or leaves the picture itself.
        """
        part, (x, y) = self._inside(sprite, left, top)
        solid = np.asarray(part.getchannel("A")) > 127
        window = self.owner[y : y + part.height, x : x + part.width]
        whole = int((np.asarray(sprite.getchannel("A")) > 127).sum())
        if creature and solid.sum() < max(1, LEAST_INSIDE * whole):
            return False
        if self._hides_another(window[solid]):
            return False
        window[solid] = len(self.areas) if creature else NOBODY
        if creature:
            self.areas.append(int(solid.sum()))
        return True

    def boxes(self) -> list[Box]:
        """The tight box (x0, y0, x1, y1) around each creature's visible pixels, in the order of painting."""
        found = []
        for creature in range(len(self.areas)):
            rows, columns = np.nonzero(self.owner == creature)
            found.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
        return found

    def _hides_another(self, covered: np.ndarray) -> bool:
        for creature in np.unique(covered[covered != NOBODY]):
            visible = int((self.owner == creature).sum()) - int((covered == creature).sum())
            if visible < (1 - MOST_HIDDEN) * self.areas[creature]:
                return True
        return False

    def _inside(self, sprite: Image.Image, left: int, top: int) -> tuple[Image.Image, tuple[int, int]]:
        """The part of the sprite inside the picture, and where it goes: `alpha_composite` takes no negatives."""
        width, height = self.picture.size
        x0, x1 = (min(max(x, 0), width) for x in (left, left + sprite.width))
        y0, y1 = (min(max(y, 0), height) for y in (top, top + sprite.height))
        return sprite.crop((x0 - left, y0 - top, x1 - left, y1 - top)), (x0, y0)
