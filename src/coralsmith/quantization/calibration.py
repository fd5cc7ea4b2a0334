"""Runs the float graph over images and observes the true range of every activation.

Memory does not grow with the number of images: each observer keeps a few numbers, or one histogram.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from coralsmith.errors import ImageDataError, UnsupportedModelError
from coralsmith.graph import Array, Graph, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.ranges import Range

WATCHERS: Final = 2  # fixed, not the machine's number of cores: the sums must not depend on the machine
ACTIVATION_LIMITS: Final = {
    "RELU": (0.0, math.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "LOGISTIC": (0.0, 1.0),
    "SOFTMAX": (0.0, 1.0),
    "TANH": (-1.0, 1.0),
}
ENOUGH_CELLS: Final = 32  # a side; so many cells of an image tell a channel's mean well enough
BINS: Final = 2048
_HISTOGRAM_SAMPLE: Final = 1 << 15  # values of one tensor of one image that enter its histogram


@dataclass
class Histogram:
    """How often the values of a tensor fall into equal bins over its full range; how many are exactly zero."""

    span: Range
    counts: Array = field(default_factory=lambda: np.zeros(BINS, np.int64))
    zeros: int = 0

    def add(self, values: Array) -> None:
        """Count the values, thinned evenly where there are very many.

        The step has no common factor with the number of channels, so that every channel is sampled alike.
        """
        flat = values.reshape(-1)
        step = max(1, flat.size // _HISTOGRAM_SAMPLE)
        while values.ndim and math.gcd(step, values.shape[-1]) > 1:
            step += 1
        some = flat[::step]
        bins = ((some - np.float32(self.span.low)) * np.float32(BINS / self.span.width)).astype(np.int64)
        self.counts += np.bincount(bins.clip(0, BINS - 1), minlength=BINS)
        self.zeros += some.size - int(np.count_nonzero(some))

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
    first = Executor(graph, threads=max(1, threads // WATCHERS), keep_all=True)
    watchers = [_Watcher(first, mean_of), *(_Watcher(first.twin(), mean_of) for _ in range(WATCHERS - 1))]
    seen = 0
    for _ in _side_by_side(watchers, inputs):
        seen += 1
        progress.advance()
    if not seen:
        raise ImageDataError("There is no image to calibrate with.", hint="Give a folder with --images.")
    low = np.minimum.reduce([watcher.low for watcher in watchers])
    high = np.maximum.reduce([watcher.high for watcher in watchers])
    bounds = list(zip(watchers[0].tensors, low.tolist(), high.tolist(), strict=True))
    _require_finite(bounds)
    ranges = {tensor: Range.of(smallest, largest) for tensor, smallest, largest in bounds}
    totals = {tensor: np.sum([watcher.sums[tensor] for watcher in watchers], axis=0) for tensor in mean_of}
    return Observation(ranges, {tensor: total / seen for tensor, total in totals.items()}, seen)


def _side_by_side(watchers: Sequence[_Watcher], inputs: Iterable[Array]) -> Iterator[None]:
    """Let the watchers take turns, each in a thread of its own; yields once for each input that was seen."""
    with ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1, "coralsmith-watcher")) for _ in watchers]
        waiting: deque[Future[None]] = deque()
        for number, image in enumerate(inputs):
            turn = number % len(watchers)
            waiting.append(threads[turn].submit(watchers[turn].watch, image))
            if len(waiting) > 2 * len(watchers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Watcher:
    """One interpreter and what it has seen; several work side by side, each on images of its own.

    Which image goes to which watcher depends on nothing but their order, so the sums are the same in every run.
    """

    def __init__(self, executor: Executor, mean_of: Collection[Tensor]) -> None:
        self.executor = executor
        self.tensors = _float_activations(executor.graph)
        limits = reachable_limits(executor.graph)
        self.limits = [limits.get(tensor, (-np.inf, np.inf)) for tensor in self.tensors]
        self.low = np.full(len(self.tensors), np.inf)
        self.high = np.full(len(self.tensors), -np.inf)
        self.sums: dict[Tensor, Array] = {tensor: np.zeros(tensor.shape[-1]) for tensor in mean_of}

    def watch(self, image: Array) -> None:
        """Run one image. A bound that has reached its limit is not looked at again; NaN stays in a bound."""
        self.executor.invoke(image)
        for i, (tensor, (lowest, highest)) in enumerate(zip(self.tensors, self.limits, strict=True)):
            if self.low[i] > lowest:
                self.low[i] = np.minimum(self.low[i], self.executor.view(tensor).min())
            if self.high[i] < highest:
                self.high[i] = np.maximum(self.high[i], self.executor.view(tensor).max())
        for tensor, total in self.sums.items():
            total += _channel_means(self.executor.view(tensor))


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


def _channel_means(values: Array) -> Array:
    """The mean of each channel; of a large feature map, over some of its rows and columns, evenly spread.

    Summed over rows of the image first and over columns then: long rows add up fast in one thread, while a matrix
    product's own threads would fight those of the interpreter.
    """
    channels = values.shape[-1]
    if values.ndim == 4:
        step = max(1, min(values.shape[1:3]) // ENOUGH_CELLS)
        values = values[:, ::step, ::step]
    image_rows = values.shape[1] if values.ndim == 4 else 1
    sums: Array = values.reshape(image_rows, -1).sum(axis=0).reshape(-1, channels).sum(axis=0)
    means: Array = sums / (values.size // channels)
    return means


def reachable_limits(graph: Graph) -> dict[Tensor, tuple[float, float]]:
    """The lowest and highest value that an activation function lets a tensor have."""
    limits = {}
    for op in graph.ops:
        function = op.kind if op.kind in ACTIVATION_LIMITS else op.attributes.get("fused_activation_function")
        if function in ACTIVATION_LIMITS:
            limits[op.output] = ACTIVATION_LIMITS[str(function)]
    return limits


def _float_activations(graph: Graph) -> list[Tensor]:
    return [t for t in graph.tensors() if not t.is_constant and t.dtype == np.float32 and t.elements]
