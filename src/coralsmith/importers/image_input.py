"""What an image model's input must look like: one image batch of a fixed size."""

from __future__ import annotations

from collections.abc import Sequence

from coralsmith.errors import UnsupportedModelError


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
            hint="Give the height and width that the model was trained with (input_size), or export it with them; "
            "the Edge TPU needs static shapes.",
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
