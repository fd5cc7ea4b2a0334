"""The input of an ONNX model: one image batch, its size fixed, channels first or last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from onnx import TensorProto

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array
from coralsmith.importers.image_input import static_image_shape
from coralsmith.importers.onnx.values import CHANNELS_LAST, Order

_CHANNELS: Final = (1, 3)
_DTYPES: Final[dict[int, np.dtype[Any]]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.UINT8: np.dtype(np.uint8),
}


@dataclass(frozen=True)
class ImageInput:
    """How the image enters.

    Attributes:
        name: Of the source's input.
        stored_shape: [1, height, width, channels].
        order: For each of these axes, which axis of the source it is.
        dtype: Element type.
    """

    name: str
    stored_shape: tuple[int, int, int, int]
    order: Order
    dtype: np.dtype[Any]

    @property
    def source_shape(self) -> tuple[int, ...]:
        """The shape that the source declares, with nothing open."""
        return tuple(self.stored_shape[self.order.index(axis)] for axis in range(4))

    def as_source(self, stored: Array) -> Array:
        """An input of the graph in the axes of the source."""
        return np.ascontiguousarray(stored.transpose(np.argsort(self.order)))


def fix_image_input(model: Any, size: tuple[int, int] | None) -> ImageInput:
    """Find the image input and give it batch 1 and a fixed size, in place.

    Args:
        model: ModelProto.
        size: The caller's height and width for a model that leaves them open.

    Raises:
        UnsupportedModelError: No or several inputs, no image, no fixed size, or another element type.
    """
    constants = {constant.name for constant in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in constants]
    if len(inputs) != 1:
        named = ", ".join(f"'{entry.name}'" for entry in inputs) or "none"
        raise UnsupportedModelError(
            f"The model has {len(inputs)} inputs, not one: {named}.",
            hint="coralsmith converts networks that take one image; export the others as constants.",
        )
    entry = inputs[0]
    kind = entry.type.tensor_type.elem_type
    if kind not in _DTYPES:
        known = {number: name.lower() for name, number in TensorProto.DataType.items()}
        raise UnsupportedModelError(
            f"The input '{entry.name}' is {known.get(kind, f'of the unknown type {kind}')}.",
            hint="Export the model with a float32 input.",
        )
    declared = [dim.dim_value if dim.dim_value > 0 else None for dim in entry.type.tensor_type.shape.dim]
    order: Order = CHANNELS_LAST if len(declared) == 4 and declared[1] in _CHANNELS else (0, 1, 2, 3)
    if len(declared) != 4 or declared[order[3]] not in _CHANNELS:
        shown = str(["?" if length is None else length for length in declared]).replace("'", "")
        raise UnsupportedModelError(
            f"The input '{entry.name}' has the shape {shown}, not [batch, 3, height, width].",
            hint="coralsmith converts networks that take one image of 1 or 3 channels.",
        )
    if declared[0] not in (None, 1):
        raise UnsupportedModelError(
            f"The input '{entry.name}' takes {declared[0]} images at once.",
            hint="Export the model with batch 1; the Edge TPU takes one image at a time.",
        )
    stored = static_image_shape([declared[axis] for axis in order], size, entry.name)
    image = ImageInput(entry.name, stored, order, _DTYPES[kind])
    for dim, length in zip(entry.type.tensor_type.shape.dim, image.source_shape, strict=True):
        dim.dim_value = length
    return image
