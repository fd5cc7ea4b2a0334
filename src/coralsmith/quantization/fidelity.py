"""How well an int8 graph computes what its float graph computes: per output and per operator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.graph.executor import Executor, as_real


@dataclass
class ErrorSum:
    """Signal and error power of one value over any number of images."""

    signal: float = 0.0
    error: float = 0.0
    worst: float = 0.0

    def add(self, reference: Array, value: Array) -> None:
        """Count one pair of arrays of real numbers."""
        difference = value.astype(np.float64) - reference
        self.signal += float(np.square(reference, dtype=np.float64).sum())
        self.error += float(np.square(difference).sum())
        self.worst = max(self.worst, float(np.abs(difference).max(initial=0.0)))

    @property
    def sqnr_db(self) -> float:
        """Signal to quantization noise ratio in dB; infinite where the values are equal."""
        if self.error == 0.0:
            return float("inf")
        return 10 * float(np.log10(max(self.signal, np.finfo(np.float64).tiny) / self.error))


@dataclass(frozen=True)
class Fidelity:
    """The comparison.

    Attributes:
        outputs: Error of each float graph output, by name.
        layers: Error of the first output of each float operator, with the operator, in execution order.
    """

    outputs: dict[str, ErrorSum]
    layers: list[tuple[Op, ErrorSum]]


def measure_fidelity(
    reference: Graph, quantized: Graph, samples: Iterable[tuple[Array, Array]], threads: int = 2
) -> Fidelity:
    """Run both graphs over the same images and compare every value that bears the same name.

    Args:
        reference: The float graph.
        quantized: The int8 graph made from it; between uint8 or float boundaries, inner values are named
            with the suffix ``_int8``.
        samples: Pairs of the reference's input and the quantized graph's input.
        threads: CPU threads of the interpreter.
    """
    float_executor = Executor(reference, threads=threads, keep_all=True)
    int8_executor = Executor(quantized, threads=threads, keep_all=True)
    twins = find_twins(reference, quantized)
    sums = {tensor: ErrorSum() for tensor in twins}
    for float_input, int8_input in samples:
        float_executor.invoke(float_input)
        int8_executor.invoke(int8_input)
        for tensor, twin in twins.items():
            sums[tensor].add(float_executor.value(tensor), as_real(twin, int8_executor.value(twin)))
    outputs = {tensor.name: sums[tensor] for tensor in reference.outputs if tensor in sums}
    return Fidelity(outputs, [(op, sums[op.output]) for op in reference.ops if op.output in sums])


def find_twins(reference: Graph, quantized: Graph) -> dict[Tensor, Tensor]:
    """The int8 tensor of each float activation, by name."""
    by_name = {tensor.name: tensor for tensor in quantized.tensors() if not tensor.is_constant}
    activations = [t for t in reference.tensors() if not t.is_constant and t not in reference.inputs]
    found = {tensor: by_name.get(f"{tensor.name}_int8") or by_name.get(tensor.name) for tensor in activations}
    return {tensor: twin for tensor, twin in found.items() if twin is not None}
