"""MaxPool, AveragePool and their global forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from coralsmith.graph import Array, Tensor
from coralsmith.importers.onnx.builder import Builder
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.table import Translator
from coralsmith.importers.onnx.values import CHANNELS_LAST, Value
from coralsmith.importers.onnx.windows import Sides, Window, paddings, zeros_around

_NEVER_NEGATIVE: Final = frozenset({"RELU", "RELU6", "LOGISTIC", "EXP", "SQRT", "ABS", "SOFTMAX"})
_KEEP_SIGN: Final = frozenset({"MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "CONCATENATION", "RESHAPE", "TRANSPOSE"})


def _max_pool(node: Node, build: Builder) -> Value:
    """MAX_POOL_2D; a border that SAME does not make is zeros where no value is negative, else the edges again.

    Every window that reaches into the border sees the edge too, so that its repetition changes no maximum.
    """
    if any(node.outputs[1:]) or set(node.integers("dilations", (1, 1))) != {1}:
        raise node.refusal("is dilated or gives the places of its maxima away")
    image, window = _image_and_window(node)
    data, area = build.channels_last(image), (image.shape[2], image.shape[3])
    padding = window.padding_word(area)
    if padding is None and _is_never_negative(build, data):
        data, padding = zeros_around(build, data, window.pads), "VALID"
    elif padding is None:
        data, padding = _edges_repeated(build, data, window.pads), "VALID"
    return Value(_pool(build, "MAX_POOL_2D", data, window, padding), CHANNELS_LAST)


def _edges_repeated(build: Builder, image: Tensor, sides: Sides) -> Tensor:
    """An image batch [N, H, W, C] with its edges repeated: mirroring one row or column is repeating it."""
    while any(any(side) for side in sides):
        (top, bottom), (left, right) = sides
        step = ((min(top, 1), min(bottom, 1)), (min(left, 1), min(right, 1)))
        image = build.emit("MIRROR_PAD", [image, build.constant(paddings(step))], {"mode": "SYMMETRIC"})
        sides = ((top - step[0][0], bottom - step[0][1]), (left - step[1][0], right - step[1][1]))
    return image


def _average_pool(node: Node, build: Builder) -> Value:
    """AVERAGE_POOL_2D, which does not count what SAME pads; where ONNX counts otherwise, a MUL corrects it."""
    if set(node.integers("dilations", (1, 1))) != {1}:
        raise node.refusal("is dilated")
    image, window = _image_and_window(node)
    data, area = build.channels_last(image), (image.shape[2], image.shape[3])
    declared = Window.of(node, area, window.size).pads
    counts_pads = bool(node.integer("count_include_pad", 0))
    padding = window.padding_word(area)
    if padding == "SAME" and counts_pads:
        padding = None
    if padding is not None:
        return Value(_pool(build, "AVERAGE_POOL_2D", data, window, padding), CHANNELS_LAST)
    data = zeros_around(build, data, window.pads)
    mean = _pool(build, "AVERAGE_POOL_2D", data, window, "VALID")
    correction = _correction(window, area, declared if counts_pads else ((0, 0), (0, 0)))
    if (correction != 1.0).any():
        mean = build.emit("MUL", [mean, build.constant(correction)], {"fused_activation_function": "NONE"})
    return Value(mean, CHANNELS_LAST)


def _global_average_pool(node: Node, build: Builder) -> Value:
    axes = build.constant(np.array([1, 2], np.int32))
    return Value(build.emit("MEAN", [build.channels_last(node.image()), axes], {"keep_dims": True}), CHANNELS_LAST)


def _global_max_pool(node: Node, build: Builder) -> Value:
    image = node.image()
    window = Window((image.shape[2], image.shape[3]), (1, 1), (1, 1), ((0, 0), (0, 0)))
    return Value(_pool(build, "MAX_POOL_2D", build.channels_last(image), window, "VALID"), CHANNELS_LAST)


def _pool(build: Builder, kind: str, data: Tensor, window: Window, padding: str) -> Tensor:
    attributes = window.attributes(padding) | {"filter_height": window.size[0], "filter_width": window.size[1]}
    return build.emit(kind, [data], attributes)


def _image_and_window(node: Node) -> tuple[Value, Window]:
    """The image and its window; `ceil_mode` widens the border behind so that the last window fits."""
    image = node.image()
    size = node.integers("kernel_shape", ())
    if len(size) != 2:
        raise node.refusal(f"has the window {list(size)}, and only poolings of images have a form here")
    area = (image.shape[2], image.shape[3])
    window = Window.of(node, area, (size[0], size[1]))
    if not node.integer("ceil_mode", 0):
        return image, window
    rows, columns = (_widened(window, axis, area[axis]) for axis in (0, 1))
    return image, replace(window, pads=(rows, columns))


def _widened(window: Window, axis: int, length: int) -> tuple[int, int]:
    before, after = window.pads[axis]
    size, stride = window.size[axis], window.strides[axis]
    positions = -(-(length + before + after - size) // stride) + 1
    if (positions - 1) * stride >= length + before:  # ONNX: no window begins behind the image
        positions -= 1
    return before, max((positions - 1) * stride + size - length - before, 0)


def _correction(window: Window, area: tuple[int, int], counted: Sides) -> Array:
    """Elements of the window over elements that ONNX counts, for each position: [1, height, width, 1]."""
    rows, columns = (_counted(window, axis, area[axis], counted[axis]) for axis in (0, 1))
    factors = window.size[0] * window.size[1] / np.outer(rows, columns)
    return factors.astype(np.float32)[None, :, :, None]


def _counted(window: Window, axis: int, length: int, counted: tuple[int, int]) -> Array:
    before, after = window.pads[axis]
    size, stride = window.size[axis], window.strides[axis]
    starts = np.arange(0, before + length + after - size + 1, stride) - before
    return np.minimum(starts + size, length + counted[1]) - np.maximum(starts, -counted[0])


def _is_never_negative(build: Builder, tensor: Tensor) -> bool:
    waiting, seen = [tensor], 0
    while waiting and seen < 100:
        op, seen = build.producer(waiting.pop()), seen + 1
        if op is None or op.kind not in _NEVER_NEGATIVE | _KEEP_SIGN:
            return False
        if op.kind in _KEEP_SIGN:
            waiting.extend(op.activations())
    return not waiting


POOLINGS: Final[dict[str, Translator]] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
}
