"""What flows between the nodes of an ONNX model while it is translated: stored activations and plain constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from coralsmith.graph import Array, Tensor

Order = tuple[int, ...]
CHANNELS_LAST: Final[Order] = (0, 2, 3, 1)
"""How an image batch [N, C, H, W] is stored: [N, H, W, C]."""


@dataclass(frozen=True, eq=False)
class Value:
    """An activation of the source, and how the graph stores it.

    The layout of the whole model follows from this: a source `Transpose` only renames axes, and a value stays as
    it is stored until an operator needs its elements in another order.

    Attributes:
        tensor: The tensor of the graph.
        order: For each axis of the tensor, which axis of the source it is.
    """

    tensor: Tensor
    order: Order

    @staticmethod
    def plain(tensor: Tensor) -> Value:
        """A value that is stored in the order of its own axes."""
        return Value(tensor, tuple(range(len(tensor.shape))))

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.order)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the source gives it."""
        return tuple(self.tensor.shape[self.order.index(axis)] for axis in range(self.rank))

    def stored_axis(self, axis: int) -> int:
        """Where an axis of the source (negative: from the end) is stored.

        Raises:
            ValueError: There is no such axis.
        """
        if not -self.rank <= axis < self.rank:
            raise ValueError(f"there is no axis {axis} in {list(self.shape)}")
        return self.order.index(axis % self.rank)

    def moved_axes(self) -> Order:
        """The order of the axes longer than 1: two orders that agree in it hold their elements alike."""
        return tuple(axis for axis, size in zip(self.order, self.tensor.shape, strict=True) if size != 1)


Operand = Value | Array
