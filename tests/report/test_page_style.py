"""The page's colours are readable: WCAG 2.2 contrast of at least 4.5 for text, in light, dark and print."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

CSS = files("coralsmith.report").joinpath("page.css").read_text("utf-8")
ROOTS = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)

# Text colour and what it stands on.
PAIRS = [
    *((text, ground) for text in ("ink", "muted", "link") for ground in ("page", "card", "raised")),
    *((text, "card") for text in ("tpu", "cpu", "unknown", "good", "error", "warning", "info")),
    ("coral", "page"),
    ("good", "good-tint"),
    ("ready", "ready-tint"),
    ("error", "error-tint"),
    *(("ink", f"{state}-tint") for state in ("good", "ready", "error", "warning")),
]


def colours(theme: str) -> dict[str, str]:
    """The custom properties of a theme; one that a theme does not set is that of the light one."""
    light, dark, print_ = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", root)) for root in ROOTS)
    return {**light, **{"light": light, "dark": dark, "print": print_}[theme]}


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """WCAG 2.2, contrast ratio."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_can_be_read(theme: str, text: str, ground: str) -> None:
    palette = colours(theme)
    assert contrast(palette[text], palette[ground]) >= 4.5


def test_every_theme_sets_all_colours() -> None:
    light, *others = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", root)) for root in ROOTS)
    assert all(set(other) == set(light) for other in others)


def test_the_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
