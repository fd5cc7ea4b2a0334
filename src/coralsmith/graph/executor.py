"""Runs a `Graph` on the LiteRT interpreter: outputs, or every tensor of the graph, for one input or many."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.interpreter import load_interpreter
from coralsmith.graph.kernel_limits import breached_limits
from coralsmith.graph.model import Array, Graph, Tensor
from coralsmith.graph.writer import serialize_for_interpreter


class Executor:
    """An interpreter over one graph.

    Args:
        graph: Any valid graph; it is serialized once and may be changed afterwards.
        threads: CPU threads of the kernels.
        keep_all: Keep every intermediate tensor, so that `value` and `view` can be asked for any of them.
        reference_kernels: Use LiteRT's slow reference kernels instead of the optimised ones.

    Raises:
        UnsupportedModelError: The interpreter refuses the graph (an unknown custom operator, say), or would
            not survive it.
    """

    def __init__(
        self, graph: Graph, *, threads: int = 2, keep_all: bool = False, reference_kernels: bool = False
    ) -> None:
        for problem in breached_limits(graph):
            raise UnsupportedModelError(f"The model cannot be run here: {problem}.")
        self.graph = graph
        self._content, self._number = serialize_for_interpreter(graph)
        self._load = partial(
            load_interpreter,
            self._content,
            threads=threads,
            keep_all=keep_all,
            reference_kernels=reference_kernels,
        )
        self._interpreter = self._load()

    def twin(self) -> Executor:
        """A second executor over the same graph, for another thread."""
        other = copy(self)
        other._interpreter = self._load()
        return other

    def run(self, *inputs: Array) -> list[Array]:
        """Invoke once.

        Args:
            *inputs: One array per graph input, of its shape and element type.

        Returns:
            Copies of the outputs, in the order of `graph.outputs`.
        """
        self.invoke(*inputs)
        return [self.value(tensor) for tensor in self.graph.outputs]

    def invoke(self, *inputs: Array) -> None:
        """Invoke once and leave the results in the interpreter, for `value` and `view`.

        Raises:
            UnsupportedModelError: A kernel refuses what it is given.
        """
        for tensor, array in zip(self.graph.inputs, inputs, strict=True):
            self._interpreter.set_tensor(self._number[tensor], np.asarray(array, order="C"))
        self.invoke_again()

    def invoke_again(self) -> None:
        """Invoke with the inputs that are in place already, which saves copying them.

        Raises:
            UnsupportedModelError: A kernel refuses what it is given.
        """
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise UnsupportedModelError(f"The interpreter cannot run the model: {error}") from error

    def value(self, tensor: Tensor) -> Array:
        """A copy of the value of `tensor` after the last `invoke`."""
        value: Array = self._interpreter.get_tensor(self._number[tensor])
        return value

    def view(self, tensor: Tensor) -> Array:
        """The value of `tensor` without copying; gone with the next `invoke`."""
        value: Array = self._interpreter.tensor(self._number[tensor])()
        return value


def real_outputs(executor: Executor) -> list[Array]:
    """The outputs of the last `invoke` as real numbers: quantized ones dequantized."""
    return [as_real(tensor, executor.value(tensor)) for tensor in executor.graph.outputs]


def as_real(tensor: Tensor, value: Array) -> Array:
    """A value of `tensor` as real numbers."""
    if tensor.quant is None or tensor.is_float:
        return value
    return tensor.quant.dequantize(value)


def random_inputs(graph: Graph, generator: np.random.Generator) -> Sequence[Array]:
    """One array of noise per graph input: standard normal, or uniform over the integers of the type."""
    return [_noise(tensor.shape, tensor.dtype, generator) for tensor in graph.inputs]


def _noise(shape: tuple[int, ...], dtype: np.dtype[Any], generator: np.random.Generator) -> Array:
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.kind not in "iu":
        return generator.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
