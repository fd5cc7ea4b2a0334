"""What an image model's input must look like: one image batch of a fixed size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from coralsmith.errors import UnsupportedModelError, UsageError

_LARGEST: Final = 4096


def parse_size(size: tuple[int, int] | str | None) -> tuple[int, int] | None:
    """Height and width from "240x320", or from one number for a square.

    Raises:
        UsageError: It is no such text, or no size of an image.
    """
    if size is None:
        return None
    numbers: tuple[int, ...] = ()
    if isinstance(size, str):
        found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", size.strip().lower())
        numbers = () if found is None else (int(found[1]), int(found[2] or found[1]))
    else:
        numbers = tuple(size)
    if len(numbers) != 2 or not all(1 <= number <= _LARGEST for number in numbers):
        raise UsageError(
            f"'{size}' is no image size.", hint="Give height and width, 240x320, or one number for a square, 300."
        )
    return numbers[0], numbers[1]


def static_image_shape(
    declared: Sequence[int | None], size: tuple[int, int] | None, name: str
) -> tuple[int, int, int, int]:
    """The input's shape with batch 1 and a known height and width.

    Args:
        declared: The model's own shape, None for an open dimension.
        size: The caller's height and width for a model that leaves them open.
        name: Name of the input, for the error.

    Raises:
        UnsupportedModelError: It is no image batch, or its size is neither declared nor given, or is another one.
    """
    channels = declared[3] if len(declared) == 4 else None
    if channels is None:
        raise UnsupportedModelError(
            f"The input '{name}' has the shape {_text(declared)}, not [batch, height, width, channels].",
            hint="coralsmith converts networks that take one image.",
        )
    height, width = declared[1:3]
    if size is None and (height is None or width is None):
        raise UnsupportedModelError(
            f"The input '{name}' has no fixed size: {_text(declared)}.",
            hint="Give the height and width that the model was trained with (--input-size 300x300), or export it "
            "with them; the Edge TPU needs static shapes.",
        )
    asked_height, asked_width = size or (height, width)
    if height not in (None, asked_height) or width not in (None, asked_width):
        raise UnsupportedModelError(
            f"The model takes images of {height}x{width}, not {asked_height}x{asked_width}.",
            hint="Leave the input size out.",
        )
    assert asked_height is not None and asked_width is not None
    return 1, asked_height, asked_width, channels


def _text(shape: Sequence[int | None]) -> str:
    return str(["?" if size is None else size for size in shape]).replace("'", "")
