"""The numerical proof of a repair: the same inputs through the graph before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array, Graph, Tensor
from coralsmith.graph.executor import Executor, random_inputs, real_outputs

MAX_SAMPLES: Final = 4
NOISE_SAMPLES: Final = 2
EXACT_TOLERANCE: Final = 1e-5  # of an output's range: what float32 rounding in another order amounts to


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs of a model: for each sample one array per graph input."""

    inputs: tuple[tuple[Array, ...], ...]

    @staticmethod
    def of(graph: Graph, inputs: Sequence[Sequence[Array]] | None) -> Samples:
        """The first few of the caller's inputs; noise where none are given."""
        if inputs:
            return Samples(tuple(tuple(sample) for sample in inputs[:MAX_SAMPLES]))
        generator = np.random.default_rng(7)
        return Samples(tuple(tuple(random_inputs(graph, generator)) for _ in range(NOISE_SAMPLES)))

    def outputs(self, graph: Graph) -> list[Array]:
        """Each output of `graph` as real numbers, [samples, ...].

        Raises:
            UnsupportedModelError: The interpreter cannot run the graph.
        """
        executor = Executor(graph)
        results = []
        for sample in self.inputs:
            _invoke(executor, sample)
            results.append(real_outputs(executor))
        return [np.stack(values) for values in zip(*results, strict=True)]

    def values(self, graph: Graph, tensors: Sequence[Tensor]) -> dict[Tensor, list[Array]]:
        """What each of `tensors` holds, one array per sample."""
        executor = Executor(graph, keep_all=True)
        found: dict[Tensor, list[Array]] = {tensor: [] for tensor in tensors}
        for sample in self.inputs:
            _invoke(executor, sample)
            for tensor, values in found.items():
                values.append(executor.value(tensor))
        return found


def _invoke(executor: Executor, sample: tuple[Array, ...]) -> None:
    try:
        executor.invoke(*sample)
    except (RuntimeError, ValueError) as error:
        raise UnsupportedModelError(f"The interpreter cannot run the model: {error}") from error


@dataclass(frozen=True)
class Difference:
    """How far the outputs of two graphs are apart.

    Attributes:
        worst: Largest absolute difference of any output, in parts of that output's range.
        sqnr: Lowest signal-to-noise ratio of any output, in dB; infinite where nothing differs.
    """

    worst: float
    sqnr: float

    @staticmethod
    def between(reference: Sequence[Array], found: Sequence[Array]) -> Difference:
        """Compare the outputs of two graphs, each [samples, ...]; not-a-number is endlessly far."""
        pairs = list(zip(reference, found, strict=True))
        return Difference(
            max((_worst(before, after) for before, after in pairs), default=0.0),
            min((signal_to_noise([before], [after]) for before, after in pairs), default=float("inf")),
        )

    @property
    def is_rounding(self) -> bool:
        """Whether it is no more than float rounding."""
        return self.worst <= EXACT_TOLERANCE


def _worst(reference: Array, found: Array) -> float:
    if np.array_equal(reference, found, equal_nan=True):
        return 0.0
    if reference.shape != found.shape or not (np.all(np.isfinite(reference)) and np.all(np.isfinite(found))):
        return float("inf")
    spread = float(np.ptp(reference)) or float(np.abs(reference).max()) or 1.0
    return float(np.abs(reference.astype(np.float64) - found).max()) / spread


def signal_to_noise(reference: Sequence[Array], found: Sequence[Array]) -> float:
    """Power of the reference over power of the difference, in dB, over all arrays together."""
    signal = sum(float(np.square(array, dtype=np.float64).sum()) for array in reference)
    noise = sum(float(np.square(a.astype(np.float64) - b).sum()) for a, b in zip(reference, found, strict=True))
    if noise == 0.0:
        return float("inf")
    return 10.0 * float(np.log10(signal / noise)) if signal > 0.0 else float("-inf")
