"""Sliding windows: what ONNX pads around an image, in TensorFlow Lite's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Array, Attribute, Tensor
from coralsmith.graph.shapes import same_padding
from coralsmith.importers.onnx.builder import Builder
from coralsmith.importers.onnx.node import Node

_LARGEST_PAD: Final = 1024

Sides = tuple[tuple[int, int], tuple[int, int]]
"""Before and after the rows, before and after the columns."""


@dataclass(frozen=True)
class Window:
    """A window of a convolution or pooling: (rows, columns) each.

    Attributes:
        size: Of the kernel.
        strides: Between two positions.
        dilations: Between two elements of the kernel.
        pads: What is put around the image.
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: Sides

    @staticmethod
    def of(node: Node, image: tuple[int, int], size: tuple[int, int]) -> Window:
        """The window of a node over an image of (height, width).

        Raises:
            UnsupportedModelError: Negative pads, or an `auto_pad` that ONNX does not define.
        """
        strides = _pair(node, "strides")
        dilations = _pair(node, "dilations")
        return Window(size, strides, dilations, _pads(node, image, size, strides, dilations))

    @property
    def is_padded(self) -> bool:
        """Whether anything is put around the image."""
        return any(any(side) for side in self.pads)

    def padding_word(self, image: tuple[int, int]) -> str | None:
        """VALID or SAME where that means these pads, else None."""
        if not self.is_padded:
            return "VALID"
        same = tuple(same_padding(image[i], self.size[i], self.strides[i], self.dilations[i]) for i in range(2))
        return "SAME" if same == self.pads else None

    def attributes(self, padding: str) -> dict[str, Attribute]:
        """Stride and padding as TensorFlow Lite calls them."""
        return {
            "padding": padding,
            "stride_h": self.strides[0],
            "stride_w": self.strides[1],
            "fused_activation_function": "NONE",
        }

    def dilation_attributes(self) -> dict[str, Attribute]:
        """Dilations as TensorFlow Lite calls them."""
        return {"dilation_h_factor": self.dilations[0], "dilation_w_factor": self.dilations[1]}


def zeros_around(build: Builder, image: Tensor, sides: Sides) -> Tensor:
    """An image batch [N, H, W, C] with zeros around it."""
    if not any(any(side) for side in sides):
        return image
    return build.emit("PAD", [image, build.constant(paddings(sides))])


def paddings(sides: Sides) -> Array:
    """The sides as the operand of a PAD of [N, H, W, C]."""
    return np.array([(0, 0), *sides, (0, 0)], np.int32)


def _pair(node: Node, name: str) -> tuple[int, int]:
    found = node.integers(name, (1, 1))
    if len(found) != 2 or min(found) < 1:
        raise node.refusal(f"has the {name} {list(found)}, not one for rows and one for columns")
    return found[0], found[1]


def _pads(
    node: Node, image: tuple[int, int], size: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int]
) -> Sides:
    automatic = node.text("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        rows, columns = (same_padding(image[i], size[i], strides[i], dilations[i]) for i in range(2))
        return (rows, columns) if automatic == "SAME_UPPER" else (rows[::-1], columns[::-1])
    pads = (0, 0, 0, 0) if automatic == "VALID" else node.integers("pads", (0, 0, 0, 0))
    if len(pads) != 4 or min(pads) < 0 or max(pads) > _LARGEST_PAD:
        raise node.refusal(f"has the pads {list(pads)}, and only four that add to the image have a form here")
    return (pads[0], pads[2]), (pads[1], pads[3])
