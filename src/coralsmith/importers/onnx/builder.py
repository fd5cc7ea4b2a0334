"""Builds the graph while the nodes are walked: new operators, their shapes, and values in the order asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array, Attribute, Op, Tensor
from coralsmith.graph.shapes import infer_shapes
from coralsmith.importers.naming import free_name
from coralsmith.importers.onnx.regrouping import regrouped
from coralsmith.importers.onnx.values import CHANNELS_LAST, Operand, Order, Value

_FLOAT: Final = np.dtype(np.float32)
MAX_ELEMENTS: Final = 1 << 26  # of one activation, as `Graph.verify` bounds it
FIXED: Final[Mapping[str, Attribute]] = {"fused_activation_function": "NONE"}


class Builder:
    """The operators so far, and how to add one.

    Attributes:
        ops: In the order of execution.
        scope: Name that the tensors of the node being translated get.
    """

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.scope = "image"
        self._producers: dict[Tensor, Op] = {}
        self._stored: dict[tuple[Tensor, Order], Tensor] = {}
        self._names: set[str] = set()

    def emit(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        dtype: np.dtype[Any] | None = None,
    ) -> Tensor:
        """Add an operator with one output; its shape follows from the inputs.

        Raises:
            UnsupportedModelError: The inputs do not fit each other.
        """
        return self.emit_parts(kind, inputs, attributes, parts=1, dtype=dtype)[0]

    def emit_parts(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        parts: int,
        dtype: np.dtype[Any] | None = None,
    ) -> list[Tensor]:
        """Add an operator with several outputs."""
        outputs = [Tensor(self.name(kind), (), dtype or _FLOAT) for _ in range(parts)]
        op = Op(kind, list(inputs), outputs, dict(attributes or {}))
        try:
            shapes = infer_shapes(op)
        except ValueError as error:
            raise UnsupportedModelError(f"'{self.scope}' cannot be computed: {error}.") from error
        assert shapes is not None, f"{kind} has a shape rule"
        for tensor, shape in zip(outputs, shapes, strict=True):
            if not 0 < math.prod(shape) <= MAX_ELEMENTS:
                raise UnsupportedModelError(f"'{self.scope}' has the shape {list(shape)}, as no detector has.")
            tensor.shape = shape
            self._producers[tensor] = op
        self.ops.append(op)
        return outputs

    def producer(self, tensor: Tensor) -> Op | None:
        """The operator that makes a tensor; None for the image."""
        return self._producers.get(tensor)

    def constant(self, data: Array) -> Tensor:
        """A constant tensor; 64-bit integers become the 32-bit ones that TensorFlow Lite reads.

        Raises:
            UnsupportedModelError: Its element type has no form here.
        """
        if data.dtype.kind in "iu" and data.dtype.itemsize > 4:
            data = np.clip(data, np.iinfo(np.int32).min, np.iinfo(np.int32).max).astype(np.int32)
        if data.dtype not in (np.float32, np.int32):
            raise UnsupportedModelError(
                f"'{self.scope}' computes with a {data.dtype} constant.", hint="Export the model in float32."
            )
        return Tensor.constant(self.name("constant"), data)

    def name(self, role: str) -> str:
        """A new name in the scope of the present node."""
        name = free_name(f"{self.scope}/{role.lower()}", self._names)
        self._names.add(name)
        return name

    # Values in the order that an operator needs.

    def stored(self, value: Value, order: Order) -> Tensor:
        """The tensor of a value with its axes in `order`.

        Elements are moved (TRANSPOSE) only where axes longer than 1 change places; else the shape is rewritten.
        """
        if value.order == order:
            return value.tensor
        key = (value.tensor, tuple(value.order.index(axis) for axis in order))
        if key not in self._stored:
            shape = tuple(value.shape[axis] for axis in order)
            if value.moved_axes() == tuple(axis for axis in order if value.shape[axis] != 1):
                self._stored[key] = self.reshape(value.tensor, shape)
            else:
                self._stored[key] = self._transpose(value.tensor, key[1])
        return self._stored[key]

    def channels_last(self, value: Value) -> Tensor:
        """The tensor [N, H, W, C] of an image batch."""
        return self.stored(value, CHANNELS_LAST)

    def plain(self, value: Value) -> Tensor:
        """The tensor of a value with its axes in the source's own order."""
        return self.stored(value, tuple(range(value.rank)))

    def reshape(self, tensor: Tensor, shape: Sequence[int]) -> Tensor:
        """The elements of a tensor under another shape; chains of such changes become one."""
        shape = tuple(shape)
        maker = self.producer(tensor)
        while maker is not None and maker.kind == "RESHAPE":
            tensor = maker.required_input("input")
            maker = self.producer(tensor)
        if tensor.shape == shape:
            return tensor
        target = Tensor.constant(self.name("shape"), np.array(shape, np.int32))
        return self.emit("RESHAPE", [tensor, target], {"new_shape": shape}, dtype=tensor.dtype)

    def regroup(self, value: Value, shape: Sequence[int]) -> Value:
        """A value under another source shape, its elements in the source's order."""
        found = regrouped(value, tuple(shape))
        if found is None:
            return Value.plain(self.reshape(self.plain(value), shape))
        stored_shape, order = found
        return Value(self.reshape(value.tensor, stored_shape), order)

    def aligned(self, operands: Sequence[Operand]) -> tuple[list[Tensor], Order]:
        """Tensors of operands that are computed with element by element: one rank, one order.

        The order is that of the largest activation; constants are stored so when they are written.
        """
        rank = max(operand.rank if isinstance(operand, Value) else operand.ndim for operand in operands)
        raised = [self._raised(operand, rank) for operand in operands]
        values = [operand for operand in raised if isinstance(operand, Value)]
        order = max(values, key=lambda value: value.tensor.elements).order
        tensors = [
            self.stored(operand, order) if isinstance(operand, Value) else self._stored_constant(operand, order)
            for operand in raised
        ]
        return tensors, order

    def _raised(self, operand: Operand, rank: int) -> Operand:
        if not isinstance(operand, Value):
            return operand.reshape((1,) * (rank - operand.ndim) + operand.shape)
        if operand.rank == rank:
            return operand
        return self.regroup(operand, (1,) * (rank - operand.rank) + operand.shape)

    def _stored_constant(self, data: Array, order: Order) -> Tensor:
        if data.dtype != np.float32:
            raise UnsupportedModelError(
                f"'{self.scope}' computes with a {data.dtype} constant.", hint="Export the model in float32."
            )
        moved = data.transpose(order)
        while moved.ndim and moved.shape[0] == 1:
            moved = moved[0]
        return self.constant(moved)

    def _transpose(self, tensor: Tensor, permutation: Order) -> Tensor:
        order = Tensor.constant(self.name("order"), np.array(permutation, np.int32))
        return self.emit("TRANSPOSE", [tensor, order], dtype=tensor.dtype)
