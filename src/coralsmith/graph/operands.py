"""What a shape rule may ask of an operator: the shapes and constants of its inputs and its integer attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from coralsmith.graph.model import Op, Tensor

Shape = tuple[int, ...]
_LONGEST_VECTOR: Final = 1024  # axes, paddings and sizes are a few numbers; only SPLIT_V has one a part


class DecidedAtRunTimeError(Exception):
    """The answer depends on values that exist only when the model runs."""


class Operands:
    """One operator and what is known of its inputs; every answer is checked.

    Args:
        op: The operator.
        known: Shapes of the tensors that the file declares dynamic; one that is missing is unknown. None where
            the declared shapes are to be believed.
    """

    def __init__(self, op: Op, known: Mapping[Tensor, Shape] | None = None) -> None:
        self.op = op
        self._known = known

    def has(self, position: int) -> bool:
        """Whether the input at `position` is there."""
        return position < len(self.op.inputs) and self.op.inputs[position] is not None

    def shape(self, position: int, rank: int | None = None) -> Shape:
        """The shape of an input.

        Raises:
            ValueError: It is missing or has not `rank` dimensions.
            DecidedAtRunTimeError: It is not known.
        """
        shape = self._shape(self._tensor(position))
        if rank is not None and len(shape) != rank:
            raise ValueError(f"{list(shape)} has not {rank} dimensions")
        return shape

    def shapes(self) -> list[Shape]:
        """The shapes of all inputs."""
        return [self.shape(position) for position in range(len(self.op.inputs))]

    def values(self, position: int) -> list[int]:
        """The numbers of a constant input, in one row.

        Raises:
            ValueError: It is missing, too long, or does not hold integers.
            DecidedAtRunTimeError: It is not constant.
        """
        tensor = self._tensor(position)
        if tensor.data is None:
            raise DecidedAtRunTimeError
        if tensor.elements > _LONGEST_VECTOR or tensor.dtype.kind not in "iu":
            raise ValueError(f"'{tensor.name}' is no short vector of integers")
        return [int(value) for value in tensor.data.reshape(-1)]

    def value(self, position: int) -> int:
        """The one number of a constant input."""
        values = self.values(position)
        if len(values) != 1:
            raise ValueError(f"{len(values)} numbers in place of one")
        return values[0]

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer attribute.

        Raises:
            ValueError: It is missing.
        """
        value = self.op.attributes.get(name, default)
        if not isinstance(value, int):
            raise ValueError(f"the attribute {name} is missing")
        return value

    def _tensor(self, position: int) -> Tensor:
        tensor = self.op.inputs[position] if position < len(self.op.inputs) else None
        if tensor is None:
            raise ValueError(f"input {position} is missing")
        return tensor

    def _shape(self, tensor: Tensor) -> Shape:
        if self._known is None or tensor.shape_signature is None:
            return tensor.shape
        if tensor not in self._known:
            raise DecidedAtRunTimeError
        return self._known[tensor]


def checked_axis(axis: int, rank: int) -> int:
    """`axis` counted from the front.

    Raises:
        ValueError: There is no such dimension.
    """
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank} dimensions")
    return axis % rank
