"""Resize, Upsample and Pad."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from coralsmith.importers.onnx.builder import Builder
from coralsmith.importers.onnx.node import Node
from coralsmith.importers.onnx.table import Translator
from coralsmith.importers.onnx.values import CHANNELS_LAST, Value

Floats = NDArray[np.float64]

# Where a resize of TensorFlow Lite reads: its options, those that more compilers know first.
_OPTIONS: Final[tuple[dict[str, bool], ...]] = (
    {"align_corners": False, "half_pixel_centers": False},
    {"align_corners": True, "half_pixel_centers": False},
    {"align_corners": False, "half_pixel_centers": True},
)
_LARGEST: Final = 1 << 14  # rows or columns
_SAME_PLACE: Final = 1e-5  # of a pixel


def _resize(node: Node, build: Builder) -> Value:
    """RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR, where one of their options reads the very same places."""
    image = node.image()
    size, scales = _target(node, image)
    mode = node.text("mode", "nearest")
    kind = {"nearest": "RESIZE_NEAREST_NEIGHBOR", "linear": "RESIZE_BILINEAR"}.get(mode)
    if kind is None or node.integer("antialias", 0):
        raise node.refusal(f"resizes by {mode}{' with antialias' if kind else ''}, which the Edge TPU cannot")
    area = (image.shape[2], image.shape[3])
    if size == area:
        return image
    asked = [_places(node, axis, area[axis], size[axis], scales[axis]) for axis in (0, 1)]
    for options in _OPTIONS:
        if all(
            _reads_the_same(kind, options, asked[axis], area[axis], size[axis], _rounding(node)) for axis in (0, 1)
        ):
            target = build.constant(np.array(size, np.int32))
            return Value(build.emit(kind, [build.channels_last(image), target], options), CHANNELS_LAST)
    raise node.refusal(
        f"resizes {list(area)} to {list(size)} by '{_coordinates(node)}' ({mode}), as TensorFlow Lite does not",
        "Export it with half_pixel, align_corners or asymmetric coordinates and a whole factor.",
    )


def _target(node: Node, image: Value) -> tuple[tuple[int, int], tuple[float, float]]:
    """Height and width of the result, and the factors that ONNX computes places with."""
    factors = _factors(node)
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.refusal("keeps the aspect ratio", "Export it with a fixed size.")
    axes = [axis % 4 for axis in node.integers("axes", range(4))]
    if factors is not None:
        full = dict(zip(axes, factors, strict=True))
        scales = [full.get(axis, 1.0) for axis in range(4)]
        sizes = [int(np.floor(image.shape[axis] * scales[axis] + 1e-9)) for axis in range(4)]
    else:
        wanted = dict(zip(axes, (int(size) for size in node.constant(3)), strict=True))
        sizes = [wanted.get(axis, image.shape[axis]) for axis in range(4)]
        scales = [size / length for size, length in zip(sizes, image.shape, strict=True)]
    if tuple(sizes[:2]) != image.shape[:2] or not 1 <= min(sizes) <= max(sizes[2:]) <= _LARGEST:
        raise node.refusal(f"makes {sizes} of {list(image.shape)}")
    return (sizes[2], sizes[3]), (scales[2], scales[3])


def _factors(node: Node) -> list[float] | None:
    if "scales" in node.attributes:  # Upsample before opset 9
        return [float(factor) for factor in node.attributes["scales"]]
    position = 1 if node.kind == "Upsample" or node.opset < 11 else 2
    if not node.has(position) or not node.constant(position).size:
        return None
    return [float(factor) for factor in node.constant(position)]


def _coordinates(node: Node) -> str:
    old = node.kind == "Upsample" or node.opset < 11
    return "asymmetric" if old else node.text("coordinate_transformation_mode", "half_pixel")


def _rounding(node: Node) -> str:
    old = node.kind == "Upsample" or node.opset < 11
    return "floor" if old else node.text("nearest_mode", "round_prefer_floor")


def _places(node: Node, axis: int, length: int, size: int, scale: float) -> Floats:
    """Where along an axis ONNX reads each element of the result (Resize, coordinate_transformation_mode)."""
    index = np.arange(size, dtype=np.float64)
    mode = _coordinates(node)
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and size > 1):
        return (index + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        shift = length / 2 * (1 - size / (scale * length))
        return shift + (index + 0.5) / scale - 0.5
    if mode == "asymmetric":
        return index / scale
    if mode == "align_corners":
        return index * (length - 1) / (size - 1) if size > 1 else np.zeros(1)
    if mode == "pytorch_half_pixel":
        return np.zeros(1)
    raise node.refusal(f"reads its image by '{mode}' along axis {axis + 2}")


def _reads_the_same(
    kind: str, options: dict[str, bool], asked: Floats, length: int, size: int, rounding: str
) -> bool:
    index = np.arange(size, dtype=np.float64)
    aligned = options["align_corners"] and size > 1
    scale = (length - 1) / (size - 1) if aligned else length / size
    half = options["half_pixel_centers"]
    if kind == "RESIZE_BILINEAR":
        own = (index + 0.5) * scale - 0.5 if half else index * scale
        return bool(np.abs(own.clip(0, length - 1) - asked.clip(0, length - 1)).max() < _SAME_PLACE)
    read = (index + 0.5) * scale if half else index * scale
    own = np.floor(read + 0.5) if aligned else np.floor(read + 1e-9)
    return np.array_equal(own.clip(0, length - 1), _rounded(asked, rounding).clip(0, length - 1))


def _rounded(places: Floats, mode: str) -> Floats:
    """ONNX's nearest_mode; what is a whole number but for rounding counts as one."""
    whole = np.round(places * 2) / 2
    exact = np.where(np.abs(whole - places) < _SAME_PLACE, whole, places)
    rounders = {
        "floor": np.floor(exact),
        "ceil": np.ceil(exact),
        "round_prefer_floor": np.ceil(exact - 0.5),
        "round_prefer_ceil": np.floor(exact + 0.5),
    }
    rounded: Floats = rounders.get(mode, np.full_like(exact, np.nan))
    return rounded


def _pad(node: Node, build: Builder) -> Value:
    """PAD of zeros, PADV2 of another number, MIRROR_PAD."""
    value = node.value()
    pads = node.setting("pads", 1)
    axes = node.setting("axes", 3) or tuple(range(value.rank))
    if pads is None or len(pads) != 2 * len(axes) or min(pads) < 0:
        raise node.refusal(f"has the pads {pads}, and only those that add to a value have a form here")
    sides = np.zeros((value.rank, 2), np.int32)
    for number, axis in enumerate(axes):
        sides[value.stored_axis(axis)] = pads[number], pads[number + len(axes)]
    if not sides.any():
        return value
    border = build.constant(sides)
    mode = node.text("mode", "constant")
    if mode == "reflect" or (mode == "edge" and sides.max() == 1):  # one row of the edge is one mirrored row
        word = "REFLECT" if mode == "reflect" else "SYMMETRIC"
        return Value(build.emit("MIRROR_PAD", [value.tensor, border], {"mode": word}), value.order)
    if mode != "constant":
        raise node.refusal(f"pads by '{mode}' with up to {sides.max()} elements")
    filling = float(node.constant(2).reshape(())) if node.has(2) else node.number("value", 0.0)
    if filling == 0.0:
        return Value(build.emit("PAD", [value.tensor, border]), value.order)
    filler = build.constant(np.array([filling], np.float32))
    return Value(build.emit("PADV2", [value.tensor, border, filler]), value.order)


RESIZING: Final[dict[str, Translator]] = {"Resize": _resize, "Upsample": _resize, "Pad": _pad}
