"""Edits a graph one operator at a time and keeps track of who reads what."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from coralsmith.graph import Array, Graph, Op, Tensor


class Rewriter:
    """Replaces operators; an operator that nothing needs any more leaves the graph by itself.

    A rewriting never changes an operator that others may read. It puts new operators in the place of one old
    operator, lets them write the old one's outputs, and lets them read whatever was computed before.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._producer = graph.producers()
        self._readers = graph.consumers()
        self._names = {tensor.name for tensor in graph.tensors()}
        self._present = set(graph.ops)
        self._positions: dict[Op, int] = {}

    def ops(self, *kinds: str) -> Iterator[Op]:
        """The operators of these kinds (all, where none is given) that are still in the graph."""
        for op in tuple(self.graph.ops):
            if op in self._present and (not kinds or op.kind in kinds):
                yield op

    def producer(self, tensor: Tensor | None) -> Op | None:
        """The operator that writes `tensor`; None for constants and graph inputs."""
        return None if tensor is None else self._producer.get(tensor)

    def readers(self, tensor: Tensor) -> tuple[Op, ...]:
        """The operators that read `tensor`, each once."""
        return tuple(self._readers.get(tensor, ()))

    def is_output(self, tensor: Tensor) -> bool:
        """Whether `tensor` is an output of the graph."""
        return tensor in self.graph.outputs

    def has_one_reader(self, tensor: Tensor) -> bool:
        """Whether one operator, and not the graph's outputs, needs `tensor`."""
        return len(self.readers(tensor)) == 1 and not self.is_output(tensor)

    def position(self, op: Op) -> int:
        """The place of `op` in the order of execution."""
        if not self._positions:
            self._positions = {op: place for place, op in enumerate(self.graph.ops)}
        return self._positions[op]

    def name(self, base: str) -> str:
        """`base`, with a number behind it where the name is taken; taken from now on."""
        name, number = base, 1
        while name in self._names:
            name, number = f"{base}_{number}", number + 1
        self._names.add(name)
        return name

    def tensor(self, like: Tensor, suffix: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """A new activation of the type and quantization of `like`, and of its shape unless one is given."""
        shape = like.shape if shape is None else shape
        return Tensor(self.name(f"{like.name}/{suffix}"), shape, like.dtype, quant=like.quant)

    def constant(self, base: str, suffix: str, values: Array) -> Tensor:
        """A new constant."""
        return Tensor.constant(self.name(f"{base}/{suffix}"), values)

    def number(self, base: str, suffix: str, value: float) -> Tensor:
        """A new float32 scalar constant."""
        return self.constant(base, suffix, np.array(value, np.float32))

    def replace(self, old: Op, *new: Op) -> None:
        """Put `new` in the place of `old`; together they write each output of `old` that is still needed."""
        position = self.graph.ops.index(old)
        self.graph.ops[position : position + 1] = new
        self._positions = {}
        self._present.discard(old)
        for op in new:
            self._present.add(op)
            self._producer.update(dict.fromkeys(op.outputs, op))
            for tensor in dict.fromkeys(t for t in op.inputs if t is not None):
                self._readers.setdefault(tensor, []).append(op)
        self._release(old)

    def bypass(self, op: Op, source: Tensor) -> bool:
        """Let `source` stand for the output of `op`; the names of graph outputs stay.

        Returns:
            Whether it was possible: a graph input or constant cannot take the name of a graph output.
        """
        output = op.output
        if self.is_output(output):
            writer = self._producer.get(source)
            if writer is None or self.is_output(source):
                return False
            self._rename(source, output, writer)
        else:
            self._redirect(output, source)
        self.replace(op)
        return True

    def _rename(self, source: Tensor, output: Tensor, writer: Op) -> None:
        """`writer` writes `output` instead of `source`."""
        self._redirect(source, output)
        writer.outputs = [output if tensor is source else tensor for tensor in writer.outputs]
        self._producer[output] = writer

    def _redirect(self, old: Tensor, new: Tensor) -> None:
        for reader in self._readers.pop(old, []):
            reader.inputs = [new if tensor is old else tensor for tensor in reader.inputs]
            readers = self._readers.setdefault(new, [])
            if reader not in readers:
                readers.append(reader)

    def _release(self, gone: Op) -> None:
        """Forget what `gone` read; remove the operators whose last reader it was."""
        for tensor in dict.fromkeys(t for t in gone.inputs if t is not None):
            readers = self._readers[tensor]
            readers.remove(gone)
            writer = self._producer.get(tensor)
            if readers or writer is None or writer not in self._present:
                continue
            if not any(self.readers(output) or self.is_output(output) for output in writer.outputs):
                self.graph.ops.remove(writer)
                self._present.discard(writer)
                self._release(writer)
