"""Second moments of what each layer's weights are multiplied with, seen on images.

A convolution's output is a matrix product with the patches of its input (im2col); a thinned sample of the patches
of every image tells their second moments well enough, and needs little memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np

from coralsmith.graph import Array, Graph, Op
from coralsmith.graph.executor import Executor
from coralsmith.progress import SILENT, Progress
from coralsmith.quantization.rules import WEIGHTED

ROUNDABLE: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
# Beyond so many weights an output (a 3x3 convolution of 512 channels) the moments would need too much memory.
_LARGEST_SIDE: Final = 4608
# A share of the mean variance on the diagonal: directions that the images do not show are not free to go anywhere.
_RIDGE: Final = 0.01
_DEAD: Final = 1e-12
_MOST_IMAGES: Final = 100
_PRODUCT: Final = 512
_PATCHES: Final = 64  # of one image
_DEPTHWISE_PATCHES: Final = 24  # nine weights each need far fewer


@dataclass
class _Sum:
    """Sums over patches: their number, the patches [groups, inputs], their products [groups, inputs, inputs].

    Patches wait until there are enough of them for one large matrix product.
    """

    count: int = 0
    first: Array | float = 0.0
    second: Array | float = 0.0
    waiting: list[Array] = field(default_factory=list)

    def add(self, patches: Array) -> None:
        """Count patches [groups, number, inputs]."""
        self.waiting.append(patches)
        if sum(some.shape[1] for some in self.waiting) >= _PRODUCT:
            self._multiply()

    def _multiply(self) -> None:
        patches = np.concatenate(self.waiting, axis=1)
        self.waiting = []
        self.count += patches.shape[1]
        self.first = self.first + patches.sum(axis=1, dtype=np.float64)
        self.second = self.second + np.matmul(patches.transpose(0, 2, 1), patches)

    def covariance(self) -> Array:
        """Moments around the mean, made positive definite."""
        if self.waiting:
            self._multiply()
        mean = np.asarray(self.first) / self.count
        result: Array = np.asarray(self.second, np.float64) / self.count - mean[:, :, None] * mean[:, None, :]
        side = result.shape[-1]
        average = np.einsum("gnn->g", result) / side
        result += (_RIDGE * average + _DEAD)[:, None, None] * np.eye(side)
        return result


def layer_moments(graph: Graph, inputs: Iterable[Array], progress: Progress = SILENT) -> dict[Op, Array]:
    """The covariance of the inputs of each layer's weights.

    Args:
        graph: A float graph with one input.
        inputs: Calibration images, of which the first hundred are enough.
        progress: Advanced by one after each image.

    Returns:
        For every layer that can be rounded adaptively: float64 [groups, inputs, inputs], where the inputs of a
        convolution are ordered as its weights are (row, column, channel), and a depthwise layer has one group for
        each channel.
    """
    layers = [op for op in graph.ops if op.kind in ROUNDABLE and _is_plain(op)]
    sums = {op: _Sum() for op in layers}
    executor = Executor(graph, keep_all=True)
    generator = np.random.default_rng(0)
    for image in islice(inputs, _MOST_IMAGES):
        executor.invoke(image)
        for op in layers:
            sums[op].add(_patches(op, executor.view(op.required_input("input")), generator))
        progress.advance()
    return {op: total.covariance() for op, total in sums.items()}


def _is_plain(op: Op) -> bool:
    """Whether every output reads all input channels, or, depthwise, one of them; not so many that memory ends."""
    grouped = (
        op.kind == "CONV_2D" and op.required_input("filter").shape[-1] != op.required_input("input").shape[-1]
    )
    return not grouped and _side(op) <= _LARGEST_SIDE


def _side(op: Op) -> int:
    """How many weights each output has."""
    weights = op.inputs[WEIGHTED[op.kind].weights]
    assert weights is not None, "a layer has weights"
    return weights.elements // weights.shape[WEIGHTED[op.kind].channel_axis]


def _patches(op: Op, values: Array, generator: np.random.Generator) -> Array:
    """Some patches of one input, float32 [groups, number, inputs]."""
    if op.kind == "FULLY_CONNECTED":
        return values.reshape(1, -1, _side(op)).copy()  # the interpreter's memory may not be held
    height, width = op.output.shape[1:3]
    wanted = _DEPTHWISE_PATCHES if op.kind == "DEPTHWISE_CONV_2D" else _PATCHES
    size = height * width
    places = np.arange(size) if size <= wanted else generator.integers(0, size, wanted)
    windows = _windows(op, values[0], places // width, places % width)
    if op.kind == "DEPTHWISE_CONV_2D":
        return np.ascontiguousarray(windows.transpose(2, 0, 1))
    flat: Array = windows.reshape(1, len(places), -1)
    return flat


def _windows(op: Op, image: Array, rows: Array, columns: Array) -> Array:
    """What the kernel covers at some output positions, [positions, kernel height * width, channels]."""
    weights = op.required_input("filter")
    y = _offsets(op, "h", image.shape[0], weights.shape[1], op.output.shape[1], rows)
    x = _offsets(op, "w", image.shape[1], weights.shape[2], op.output.shape[2], columns)
    inside = ((y >= 0) & (y < image.shape[0]))[:, :, None] & ((x >= 0) & (x < image.shape[1]))[:, None, :]
    found = image[y.clip(0, image.shape[0] - 1)[:, :, None], x.clip(0, image.shape[1] - 1)[:, None, :]]
    found[~inside] = 0.0
    windows: Array = found.reshape(len(rows), -1, image.shape[-1])
    return windows


def _offsets(op: Op, axis: str, size: int, kernel: int, outputs: int, places: Array) -> Array:
    """The input coordinates that each output coordinate reads, [positions, kernel]; outside, it is padding."""
    stride = int(op.attributes[f"stride_{axis}"])  # type: ignore[arg-type]
    dilation = int(op.attributes.get(f"dilation_{axis}_factor", 1))  # type: ignore[arg-type]
    reach = (kernel - 1) * dilation + 1
    padding = max((outputs - 1) * stride + reach - size, 0) // 2 if op.attributes["padding"] == "SAME" else 0
    result: Array = places[:, None] * stride - padding + np.arange(kernel) * dilation
    return result
