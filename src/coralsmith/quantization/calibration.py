"""Runs the float graph over images and observes the true range of every activation.

Memory does not grow with the number of images: each observer keeps a few numbers, or one histogram.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
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


@dataclass(frozen=True)
class Observation:
    """What a pass over the images saw of the float activations.

    Attributes:
        ranges: The smallest and largest value of every activation.
        means: The mean value of each channel (last dimension), for the activations that were asked for.
        images: How many inputs there were.
    """

    ranges: dict[Tensor, Range]
    means: dict[Tensor, Array]
    images: int


def observe(
    graph: Graph,
    inputs: Iterable[Array],
    mean_of: Collection[Tensor] = (),
    progress: Progress = SILENT,
    threads: int = 2,
) -> Observation:
    """Run the graph over all inputs and watch every float activation.

    Args:
        graph: A float graph with one input.
        inputs: Normalised float32 images of the input's shape [1, H, W, C].
        mean_of: Activations whose channel means are wanted.
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
    sums: dict[Tensor, Array] = {tensor: np.zeros(tensor.shape[-1]) for tensor in mean_of}
    seen = 0
    for image in inputs:
        executor.invoke(image)
        for i, tensor in enumerate(tensors):
            smallest, largest = _extremes(executor.view(tensor))
            low[i] = min(low[i], smallest)
            high[i] = max(high[i], largest)
        for tensor, total in sums.items():
            total += _channel_means(executor.view(tensor))
        seen += 1
        progress.advance()
    if not seen:
        raise ImageDataError("There is no image to calibrate with.", hint="Give a folder with --images.")
    bounds = list(zip(tensors, low.tolist(), high.tolist(), strict=True))
    _require_finite(bounds)
    ranges = {tensor: Range.of(smallest, largest) for tensor, smallest, largest in bounds}
    return Observation(ranges, {tensor: total / seen for tensor, total in sums.items()}, seen)


def _require_finite(bounds: list[tuple[Tensor, float, float]]) -> None:
    for tensor, smallest, largest in bounds:
        if not (math.isfinite(smallest) and math.isfinite(largest)):
            raise UnsupportedModelError(
                f"'{tensor.name}' takes the value {largest if math.isfinite(smallest) else smallest}.",
                hint="The float model itself computes infinities or NaN; check its training and its export.",
            )


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


def _channel_means(values: Array) -> Array:
    """The mean of each channel, summed over rows of the image first and over columns then.

    Long rows add up fast in one thread; a matrix product's own threads would fight those of the interpreter.
    """
    channels = values.shape[-1]
    image_rows = values.shape[1] if values.ndim == 4 else 1
    sums: Array = values.reshape(image_rows, -1).sum(axis=0).reshape(-1, channels).sum(axis=0)
    means: Array = sums / (values.size // channels)
    return means


def _float_activations(graph: Graph) -> list[Tensor]:
    return [t for t in graph.tensors() if not t.is_constant and t.dtype == np.float32 and t.elements]
