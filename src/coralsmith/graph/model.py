"""The one intermediate form: a TFLite graph as plain Python objects over numpy buffers.

Tensors and operators are compared by identity, so an edge is simply a shared `Tensor` object. Constants are
read-only numpy arrays; a pass that changes one replaces the array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coralsmith.graph.operators import OPERATORS

Array = NDArray[Any]
Attribute = bool | int | float | str | tuple[int, ...] | tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class Quant:
    """Affine quantization, ``real = scale * (integer - zero_point)`` (TFLite quantization specification).

    Attributes:
        scale: float32, shape [1] for per-tensor or [channels] for per-channel quantization; positive.
        zero_point: int64, same shape as `scale`.
        axis: The channel dimension of per-channel quantization; 0 and without meaning for per-tensor.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0

    @staticmethod
    def per_tensor(scale: float, zero_point: int) -> Quant:
        """Quantization of a whole tensor by one scale and one zero point."""
        return Quant(np.array([scale], np.float32), np.array([zero_point], np.int64))

    @property
    def is_per_channel(self) -> bool:
        """Whether the channels of `axis` have scales of their own."""
        return self.scale.size > 1

    def same_as(self, other: Quant | None) -> bool:
        """Whether integers of both mean the same real numbers."""
        return (
            other is not None
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
            and (self.axis == other.axis or not self.is_per_channel)
        )

    def dequantize(self, integers: Array) -> NDArray[np.float32]:
        """The real numbers behind an array of integers of the tensor's shape."""
        scale, zero_point = self._broadcast(integers.ndim)
        real: Array = (integers.astype(np.int64) - zero_point) * scale.astype(np.float64)
        return real.astype(np.float32)

    def quantize(self, real: Array, dtype: np.dtype[Any]) -> Array:
        """The nearest integers of `dtype`, ties to even, saturated at its limits."""
        scale, zero_point = self._broadcast(real.ndim)
        limits = np.iinfo(dtype)
        integers: Array = np.rint(real.astype(np.float64) / scale.astype(np.float64)) + zero_point
        return integers.clip(limits.min, limits.max).astype(dtype)

    def _broadcast(self, rank: int) -> tuple[Array, Array]:
        if not self.is_per_channel:
            return self.scale, self.zero_point
        shape = [1] * rank
        shape[self.axis] = -1
        return self.scale.reshape(shape), self.zero_point.reshape(shape)


@dataclass(eq=False)
class Tensor:
    """A value that flows through the graph, or a constant.

    Attributes:
        name: The tensor's name in the file.
        shape: Static shape; () is a scalar.
        dtype: numpy element type.
        data: The constant's value (read-only), or None for an activation.
        quant: Quantization, or None where the values are taken as they are.
        is_variable: Whether the interpreter keeps the value between invocations (recurrent state).
        shape_signature: The shape as the file declares it, with -1 for unknown dimensions; None where static.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: Array | None = None
    quant: Quant | None = None
    is_variable: bool = False
    shape_signature: tuple[int, ...] | None = None

    @staticmethod
    def constant(name: str, data: Array, quant: Quant | None = None) -> Tensor:
        """A constant tensor with the shape and element type of `data`."""
        contiguous = np.ascontiguousarray(data).reshape(data.shape)
        contiguous.flags.writeable = False
        return Tensor(name, tuple(data.shape), contiguous.dtype, contiguous, quant)

    @property
    def is_constant(self) -> bool:
        """Whether the value is known when the model is compiled."""
        return self.data is not None

    @property
    def is_float(self) -> bool:
        """Whether the elements are real numbers (float32, float16 or float64)."""
        return self.dtype.kind == "f"

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        form = "constant" if self.is_constant else "tensor"
        return f"<{form} {self.name!r} {self.dtype.name}{list(self.shape)}>"


@dataclass(eq=False)
class Op:
    """One operator.

    Attributes:
        kind: Builtin operator name as in the TFLite schema ("CONV_2D"); "CUSTOM" for custom operators.
        inputs: Tensors by position; None for an optional input left out. Names: `input`.
        outputs: Tensors by position.
        attributes: Options by their snake_case schema name; activations, paddings and types are schema names.
        custom_code: Name of a custom operator.
        custom_options: Its options, uninterpreted.
        version: Operator version in the file it was read from; the writer finds its own.
        intermediates: Tensors that describe inner values of recurrent operators.
        options_table: Schema table that holds the attributes where it is not the one of the operator table.
    """

    kind: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    custom_code: str = ""
    custom_options: bytes = b""
    version: int | None = None
    intermediates: list[Tensor] = field(default_factory=list)
    options_table: str | None = None

    @property
    def name(self) -> str:
        """The operator's name: that of its first output (TFLite operators have none of their own)."""
        return self.outputs[0].name if self.outputs else self.kind

    @property
    def output(self) -> Tensor:
        """The first output."""
        return self.outputs[0]

    def input(self, role: str) -> Tensor | None:
        """The input that the operator table calls `role` ("filter"), or None where it is left out.

        Raises:
            KeyError: The operator table knows no such input of this kind.
        """
        names = OPERATORS[self.kind].inputs if self.kind in OPERATORS else ()
        if role not in names:
            raise KeyError(f"{self.kind} has no input called {role!r}")
        position = names.index(role)
        return self.inputs[position] if position < len(self.inputs) else None

    def required_input(self, role: str) -> Tensor:
        """The input called `role`, which this kind of operator always has."""
        tensor = self.input(role)
        if tensor is None:
            raise KeyError(f"{self.kind} '{self.name}' lacks its input {role!r}")
        return tensor

    def activations(self) -> Iterator[Tensor]:
        """The inputs that are not constants."""
        return (tensor for tensor in self.inputs if tensor is not None and not tensor.is_constant)

    def __repr__(self) -> str:
        return f"<{self.custom_code or self.kind} {self.name!r}>"


@dataclass(frozen=True)
class FileFacts:
    """What a `.tflite` file says beyond its graph; the writer writes none of it.

    Attributes:
        external_constants: Constants stored behind the flatbuffer, which readers of 2021 see as empty.
        subgraphs: Number of subgraphs.
        signatures: Number of signature definitions.
        metadata: Names of the metadata entries.
        description: The file's own description.
        old_code_missing: Operator codes whose old one-byte field disagrees with the new one.
    """

    external_constants: int = 0
    subgraphs: int = 1
    signatures: int = 0
    metadata: tuple[str, ...] = ()
    description: str = ""
    old_code_missing: tuple[str, ...] = ()


@dataclass(eq=False)
class Graph:
    """Operators in execution order between named inputs and outputs."""

    ops: list[Op]
    inputs: list[Tensor]
    outputs: list[Tensor]
    facts: FileFacts = field(default_factory=FileFacts)

    def tensors(self) -> list[Tensor]:
        """Every tensor once: graph inputs, then in order of first use, then outputs."""
        seen: dict[Tensor, None] = dict.fromkeys(self.inputs)
        for op in self.ops:
            seen.update(dict.fromkeys(t for t in op.inputs if t is not None))
            seen.update(dict.fromkeys(op.outputs))
            seen.update(dict.fromkeys(op.intermediates))
        seen.update(dict.fromkeys(self.outputs))
        return list(seen)

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name.

        Raises:
            KeyError: No tensor, or more than one, bears the name.
        """
        found = [tensor for tensor in self.tensors() if tensor.name == name]
        if len(found) != 1:
            raise KeyError(f"{len(found)} tensors are called {name!r}")
        return found[0]

    def producers(self) -> dict[Tensor, Op]:
        """The operator that makes each activation."""
        return {tensor: op for op in self.ops for tensor in op.outputs}

    def consumers(self) -> dict[Tensor, list[Op]]:
        """The operators that read each tensor, in execution order, each once."""
        readers: dict[Tensor, list[Op]] = {}
        for op in self.ops:
            for tensor in dict.fromkeys(t for t in op.inputs if t is not None):
                readers.setdefault(tensor, []).append(op)
        return readers

    def replace_tensor(self, old: Tensor, new: Tensor) -> None:
        """Let every reader of `old`, graph outputs included, read `new` instead."""
        for op in self.ops:
            op.inputs = [new if tensor is old else tensor for tensor in op.inputs]
        self.outputs = [new if tensor is old else tensor for tensor in self.outputs]

    def unique_name(self, base: str) -> str:
        """`base`, or `base` with the first free number behind it."""
        taken = {tensor.name for tensor in self.tensors()}
        if base not in taken:
            return base
        number = 1
        while f"{base}_{number}" in taken:
            number += 1
        return f"{base}_{number}"

    def prune(self) -> None:
        """Remove operators whose outputs reach no graph output."""
        needed = set(self.outputs)
        kept: list[Op] = []
        for op in reversed(self.ops):
            if any(tensor in needed for tensor in op.outputs):
                kept.append(op)
                needed.update(tensor for tensor in op.inputs if tensor is not None)
        self.ops = kept[::-1]

    def copy(self) -> Graph:
        """A graph of new operators and tensors over the same (immutable) constant arrays."""
        copies = {
            tensor: Tensor(
                tensor.name,
                tensor.shape,
                tensor.dtype,
                tensor.data,
                tensor.quant,
                tensor.is_variable,
                tensor.shape_signature,
            )
            for tensor in self.tensors()
        }
        ops = [
            Op(
                op.kind,
                [None if tensor is None else copies[tensor] for tensor in op.inputs],
                [copies[tensor] for tensor in op.outputs],
                dict(op.attributes),
                op.custom_code,
                op.custom_options,
                op.version,
                [copies[tensor] for tensor in op.intermediates],
                op.options_table,
            )
            for op in self.ops
        ]
        inputs = [copies[tensor] for tensor in self.inputs]
        return Graph(ops, inputs, [copies[tensor] for tensor in self.outputs], self.facts)

    def verify(self, step: str) -> None:
        """Check every invariant of the form.

        Args:
            step: What ran last; the error names it.

        Raises:
            GraphInvariantError: An invariant does not hold.
        """
        from coralsmith.errors import GraphInvariantError
        from coralsmith.graph.verify import violations

        broken = list(violations(self))
        if broken:
            raise GraphInvariantError(f"After {step} the graph is broken: {broken[0]} ({len(broken)} in all).")
