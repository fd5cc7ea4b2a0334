"""Runs the float graph over images and observes the true range of every activation.

Memory does not grow with the number of images: each observer keeps a few numbers, or one histogram.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from coralsmith.errors import ImageDataError, UnsupportedModelError
from coralsmith.graph import Array, Graph, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.ranges import Range

BINS: Final = 2048
_HISTOGRAM_SAMPLE: Final = 1 << 16  # values of one tensor of one image that enter its histogram


@dataclass
class Histogram:
    """How often the values of a tensor fall into equal bins over its full range."""

    span: Range
    counts: Array = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, values: Array) -> None:
        """Count the values, thinned evenly where there are very many.

        The step has no common factor with the number of channels, so that every channel is sampled alike.
        """
        flat = values.reshape(-1)
        step = max(1, flat.size // _HISTOGRAM_SAMPLE)
        while values.ndim and math.gcd(step, values.shape[-1]) > 1:
            step += 1
        self.counts += np.histogram(flat[::step], BINS, (self.span.low, self.span.high))[0]

    @property
    def edges(self) -> Array:
        """The BINS + 1 bin borders."""
        return np.linspace(self.span.low, self.span.high, BINS + 1)


def observe_ranges(
    graph: Graph, inputs: Iterable[Array], progress: Progress = SILENT, threads: int = 2
) -> dict[Tensor, Range]:
    """The smallest and largest value of every float activation over all inputs.

    Args:
        graph: A float graph with one input.
        inputs: Normalised float32 images of the input's shape [1, H, W, C].
        progress: Advanced by one after each image.
        threads: CPU threads of the interpreter.

    Raises:
        ImageDataError: There is no input.
        UnsupportedModelError: A value is not finite.
    """
    executor = Executor(graph, threads=threads, keep_all=True)
    tensors = _float_activations(graph)
    low = np.full(len(tensors), np.inf)
    high = np.full(len(tensors), -np.inf)
    seen = 0
    for image in inputs:
        executor.invoke(image)
        for i, tensor in enumerate(tensors):
            smallest, largest = _extremes(executor.view(tensor))
            low[i] = min(low[i], smallest)
            high[i] = max(high[i], largest)
        seen += 1
        progress.advance()
    if not seen:
        raise ImageDataError("There is no image to calibrate with.", hint="Give a folder with --images.")
    for tensor, smallest, largest in zip(tensors, low, high, strict=True):
        if not (np.isfinite(smallest) and np.isfinite(largest)):
            raise UnsupportedModelError(
                f"'{tensor.name}' takes the value {smallest if not np.isfinite(smallest) else largest}.",
                hint="The float model itself computes infinities or NaN; check its training and its export.",
            )
    bounds = zip(tensors, low, high, strict=True)
    return {tensor: Range.of(float(smallest), float(largest)) for tensor, smallest, largest in bounds}


def observe_histograms(
    graph: Graph,
    inputs: Iterable[Array],
    ranges: dict[Tensor, Range],
    progress: Progress = SILENT,
    threads: int = 2,
) -> dict[Tensor, Histogram]:
    """A second pass over the same inputs: the histogram of every activation over its known range."""
    executor = Executor(graph, threads=threads, keep_all=True)
    histograms = {tensor: Histogram(span) for tensor, span in ranges.items() if span.width > 0}
    for image in inputs:
        executor.invoke(image)
        for tensor, histogram in histograms.items():
            histogram.add(executor.view(tensor))
        progress.advance()
    return histograms


def _extremes(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _float_activations(graph: Graph) -> list[Tensor]:
    return [t for t in graph.tensors() if not t.is_constant and t.dtype == np.float32 and t.elements]
