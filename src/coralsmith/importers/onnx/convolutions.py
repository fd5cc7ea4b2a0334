"""Conv and ConvTranspose."""

from __future__ import annotations

from typing import Final

import numpy as np

from coralsmith.graph import Array, Tensor
from coralsmith.graph.shapes import same_padding
from coralsmith.importers.onnx.builder import FIXED, Builder
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.table import Translator
from coralsmith.importers.onnx.values import CHANNELS_LAST, Value
from coralsmith.importers.onnx.windows import Window, zeros_around


def _conv(node: Node, build: Builder) -> Value:
    """CONV_2D or DEPTHWISE_CONV_2D; pads that are neither SAME nor VALID become a PAD of zeros before it."""
    image, kernel = node.image(), _kernel(node)
    data = build.channels_last(image)
    filters, depth, height, width = kernel.shape
    groups = node.integer("group", 1)
    if groups < 1 or depth * groups != image.shape[1] or filters % groups:
        raise node.refusal(f"has {groups} groups of {list(kernel.shape)} for {image.shape[1]} channels")
    area = (image.shape[2], image.shape[3])
    window = Window.of(node, area, (height, width))
    padding = window.padding_word(area)
    if padding is None:
        data, padding = zeros_around(build, data, window.pads), "VALID"
    bias = build.constant(_bias(node, filters))
    attributes = {**window.attributes(padding), **window.dilation_attributes()}
    if groups > 1 and depth == 1:
        weights = build.constant(kernel.transpose(1, 2, 3, 0))
        attributes["depth_multiplier"] = filters // groups
        return Value(build.emit("DEPTHWISE_CONV_2D", [data, weights, bias], attributes), CHANNELS_LAST)
    weights = build.constant(kernel.transpose(0, 2, 3, 1))
    return Value(build.emit("CONV_2D", [data, weights, bias], attributes), CHANNELS_LAST)


def _conv_transpose(node: Node, build: Builder) -> Value:
    """TRANSPOSE_CONV; pads that are not SAME become a SLICE of the full result.

    The bias is an ADD of its own: with a bias inside, the operator has a version that the compiler of 2021 does
    not read.
    """
    image, kernel = node.image(), _kernel(node)
    if node.integer("group", 1) != 1 or set(node.integers("dilations", (1, 1))) != {1}:
        raise node.refusal("is grouped or dilated, which TRANSPOSE_CONV is not")
    if kernel.shape[0] != image.shape[1]:
        raise node.refusal(f"has the kernel {list(kernel.shape)} for {image.shape[1]} channels")
    filters, size = kernel.shape[1], (kernel.shape[2], kernel.shape[3])
    spans = [_span(node, axis, image.shape[2 + axis], size[axis]) for axis in (0, 1)]
    weights = build.constant(kernel.transpose(1, 2, 3, 0))
    attributes = Window.of(node, (1, 1), size).attributes("SAME" if all(s.is_same for s in spans) else "VALID")
    full = [span.length if attributes["padding"] == "SAME" else span.full for span in spans]
    shape = build.constant(np.array([image.shape[0], *full, filters], np.int32))
    result = build.emit("TRANSPOSE_CONV", [shape, weights, build.channels_last(image)], attributes)
    if full != [span.length for span in spans]:
        result = _crop(build, result, [span.first for span in spans], [span.length for span in spans])
    if node.has(2):
        result = build.emit("ADD", [result, build.constant(_bias(node, filters))], FIXED)
    return Value(result, CHANNELS_LAST)


class _Span:
    """One dimension of a ConvTranspose: what of the full result the source keeps.

    Attributes:
        full: Length without pads.
        first: First element kept.
        length: Number of elements kept.
        is_same: Whether TensorFlow's SAME keeps the same ones.
    """

    def __init__(self, size: int, window: int, stride: int, first: int, length: int) -> None:
        self.first, self.length = first, length
        self.full = max(stride * (size - 1) + window, first + length)
        before, _ = same_padding(length, window, stride)
        self.is_same = -(-length // stride) == size and before == first


def _span(node: Node, axis: int, size: int, window: int) -> _Span:
    stride = node.integers("strides", (1, 1))[axis]
    extra = node.integers("output_padding", (0, 0))[axis]
    pads = node.integers("pads", (0, 0, 0, 0))
    automatic = node.text("auto_pad", "NOTSET")
    natural = stride * (size - 1) + window + extra
    wanted = node.integers("output_shape", ())
    if wanted or automatic.startswith("SAME"):
        length = wanted[axis - 2] if wanted else size * stride
        total = max(natural - length, 0)
        first = total // 2 if automatic == "SAME_UPPER" else total - total // 2
    else:
        first, length = pads[axis], natural - pads[axis] - pads[axis + 2]
    span = _Span(size, window, stride, first, length)
    if first < 0 or length < 1 or span.full > stride * size + window - 1:
        raise node.refusal(f"asks for {length} of {natural} elements along axis {axis + 2}")
    return span


def _crop(build: Builder, image: Tensor, first: list[int], length: list[int]) -> Tensor:
    begins = build.constant(np.array([0, *first, 0], np.int32))
    sizes = build.constant(np.array([image.shape[0], *length, image.shape[3]], np.int32))
    return build.emit("SLICE", [image, begins, sizes])


def _kernel(node: Node) -> Array:
    kernel = node.weights(1)
    if kernel.ndim != 4:
        raise node.refusal(
            f"has the kernel {list(kernel.shape)}, and only convolutions of images have a form here"
        )
    return kernel


def _bias(node: Node, filters: int) -> Array:
    bias = node.weights(2).reshape(-1) if node.has(2) else np.zeros(filters, np.float32)
    if bias.shape != (filters,):
        raise node.refusal(f"has {bias.size} biases for {filters} filters")
    return bias


CONVOLUTIONS: Final[dict[str, Translator]] = {"Conv": _conv, "ConvTranspose": _conv_transpose}
