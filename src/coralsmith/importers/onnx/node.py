"""One node of an ONNX model, with its inputs found and its attributes as plain Python values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array
from coralsmith.importers.onnx.values import Operand, Value


@dataclass(frozen=True, eq=False)
class Node:
    """A node about to be translated.

    Attributes:
        kind: The operator ("Conv").
        name: The node's name, or that of its first output where it has none.
        opset: Version of the operator set that gives the operator its meaning.
        inputs: Values and constants by position; None for an optional input left out.
        input_names: What the source calls them.
        outputs: What the source calls the outputs; '' for one that nobody wants.
        attributes: Numbers, texts, lists and arrays by name.
    """

    kind: str
    name: str
    opset: int
    inputs: tuple[Operand | None, ...]
    input_names: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def has(self, position: int) -> bool:
        """Whether the input at `position` is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def operand(self, position: int) -> Operand:
        """An input, value or constant.

        Raises:
            UnsupportedModelError: It is missing.
        """
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise self.refusal(f"lacks its input {position}")
        return found

    def value(self, position: int = 0) -> Value:
        """An input that must depend on the image.

        Raises:
            UnsupportedModelError: It is missing or constant.
        """
        found = self.operand(position)
        if not isinstance(found, Value):
            raise self.refusal(
                f"has the constant input '{self.input_names[position]}' where an activation belongs"
            )
        return found

    def image(self, position: int = 0) -> Value:
        """An input that must be an image batch, [N, C, H, W].

        Raises:
            UnsupportedModelError: It has another number of axes.
        """
        found = self.value(position)
        if found.rank != 4:
            raise self.refusal(f"works on {list(found.shape)}, and only images [N, C, H, W] have a form here")
        return found

    def constant(self, position: int) -> Array:
        """An input that must be constant.

        Raises:
            UnsupportedModelError: It is missing or depends on the image.
        """
        found = self.operand(position)
        if isinstance(found, Value):
            raise self.refusal(f"takes '{self.input_names[position]}' from the image, and it must be constant")
        return found

    def weights(self, position: int) -> Array:
        """A constant input of float32 numbers.

        Raises:
            UnsupportedModelError: It is no such constant.
        """
        found = self.constant(position)
        if found.dtype != np.float32:
            raise self.refusal(
                f"has the {found.dtype} constant '{self.input_names[position]}'", "Export the model in float32."
            )
        return found

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """A text attribute."""
        return str(self.attributes.get(name, default))

    def integers(self, name: str, default: Sequence[int]) -> tuple[int, ...]:
        """An attribute that is a list of integers."""
        return tuple(int(number) for number in self.attributes.get(name, default))

    def setting(self, name: str, position: int) -> tuple[int, ...] | None:
        """Integers that are an attribute in older operator sets and a constant input in newer ones."""
        if name in self.attributes:
            return self.integers(name, ())
        if not self.has(position):
            return None
        return tuple(int(number) for number in self.constant(position).reshape(-1))

    def refusal(self, reason: str, hint: str = "") -> UnsupportedModelError:
        """The error that this node has no form here: what it is, and what to export instead."""
        before = next(
            (name for name, found in zip(self.input_names, self.inputs, strict=True) if isinstance(found, Value)),
            None,
        )
        export = f"Export the network only up to the tensor '{before}'." if before else ""
        return UnsupportedModelError(f"The node '{self.name}' ({self.kind}) {reason}.", f"{hint} {export}".strip())
