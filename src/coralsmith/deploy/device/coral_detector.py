"""Finds objects in images with a detector that coralsmith bundled.

Needs numpy and a TensorFlow Lite interpreter: `ai-edge-litert`, `tflite-runtime` or `tensorflow`; for a model that
is compiled for the Edge TPU also its runtime, libedgetpu. Nothing else: copy this file where you need it.

    detector = CoralDetector("model.tflite", "head.json")
    for found in detector.detect(image):          # uint8 RGB, [height, width, 3], any size
        print(found.label, found.score, found.box)
"""

from __future__ import annotations

import importlib
import json
import platform
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite.python.interpreter")
EDGETPU_LIBRARIES = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}
COMPILED_MARK = b"edgetpu-custom-op"
PADDING = 128  # grey of the bars where an image keeps its aspect ratio
LARGEST_PLAIN_REDUCTION = 5  # larger images are averaged down first


class Detection(NamedTuple):
    """One object: its label, class number, score, and (ymin, xmin, ymax, xmax) from 0 to 1 of the image."""

    label: str
    class_id: int
    score: float
    box: tuple[float, float, float, float]


class CoralDetector:
    """A model and its head.

    Args:
        model: The `.tflite` file; one that is compiled for the Edge TPU runs there.
        head: The `head.json` of the bundle.
        device: Which Edge TPU: "usb", "pci", "usb:1" and so on; empty for any.
        threads: CPU threads for a model that is not compiled.
    """

    def __init__(self, model: str | Path, head: str | Path, *, device: str = "", threads: int = 2) -> None:
        self.head = json.loads(Path(head).read_text("utf-8"))
        self.labels = self.head["labels"]
        self.size: tuple[int, int] = tuple(self.head["input"]["size"])
        self.interpreter = _interpreter(Path(model), device, threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.outputs = self.interpreter.get_output_details()
        self._decode = _Decoder(self.head, self.outputs) if len(self.outputs) == 2 else None

    def detect(self, image: Array, min_score: float = 0.0) -> list[Detection]:
        """The objects in an image, best first.

        Args:
            image: uint8 RGB, [height, width, 3], any size.
            min_score: Lowest score to be told.
        """
        place = _place(image.shape[:2], self.size, self.head["input"].get("resize", "stretch"))
        boxes, classes, scores = self.detect_resized(_into(image, self.size, place))
        top, left, height, width = place
        rows, columns = self.size
        boxes = (boxes - np.array([top / rows, left / columns] * 2)) / np.array(
            [height / rows, width / columns] * 2
        )
        boxes = boxes.clip(0.0, 1.0)
        return [
            Detection(self.labels[class_id], class_id, score, tuple(box))
            for box, class_id, score in zip(boxes.tolist(), classes.tolist(), scores.tolist(), strict=True)
            if score >= min_score
        ]

    def detect_resized(self, pixels: Array) -> tuple[Array, Array, Array]:
        """Boxes [M, 4], class numbers [M] and scores [M] for an image that has the model's input size."""
        self.interpreter.set_tensor(self.input["index"], _model_input(pixels, self.input, self.head["input"]))
        self.interpreter.invoke()
        if self._decode is not None:
            return self._decode(*(self.interpreter.get_tensor(output["index"])[0] for output in self.outputs))
        boxes, classes, scores, count = (self.interpreter.get_tensor(output["index"]) for output in self.outputs)
        found = int(count.reshape(-1)[0])  # what stands behind is left over from earlier images
        return boxes[0, :found], classes[0, :found].astype(np.int64), scores[0, :found]


class _Decoder:
    """Raw boxes and scores to detections: scores are compared as integers, only survivors are decoded."""

    def __init__(self, head: dict[str, Any], outputs: list[dict[str, Any]]) -> None:
        shapes = [output["shape"].tolist() for output in outputs]
        self.anchors = np.array(head["anchors"], np.float32)
        columns = len(head["labels"]) + (head["scores"]["background"] is not None)
        wanted = [1, len(self.anchors), columns]
        names = [output["name"] for output in outputs]
        self.scores_at = names.index(head["outputs"]["scores"]) if head["outputs"]["scores"] in names else -1
        if self.scores_at < 0:
            self.scores_at = shapes.index(wanted)
        if shapes[self.scores_at] != wanted or shapes[1 - self.scores_at] != [1, len(self.anchors), 4]:
            raise ValueError(f"head.json is for outputs {wanted} and [1, {len(self.anchors)}, 4], not {shapes}")
        self.box_output, self.score_output = outputs[1 - self.scores_at], outputs[self.scores_at]
        self.coder, self.nms = head["box_coder"], head["nms"]
        self.activation, self.background = head["scores"]["activation"], head["scores"]["background"]
        self.limit = np.float32(self.nms["score"])

    def __call__(self, first: Array, second: Array) -> tuple[Array, Array, Array]:
        raw_scores, raw_boxes = (first, second) if self.scores_at == 0 else (second, first)
        rows, probabilities = self.probabilities(raw_scores)
        boxes = self.boxes(raw_boxes, rows)
        kept, classes = self.suppress(boxes, probabilities)
        return boxes[kept], classes, probabilities[kept, classes]

    def probabilities(self, raw: Array) -> tuple[Array, Array]:
        """The rows in which a class reaches the limit, and the probabilities of their classes."""
        if self.activation == "softmax":
            rows = self.likely_rows(raw)
            logits = _real(raw[rows], self.score_output)
            powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
            found = self.without_background(powers / powers.sum(axis=-1, keepdims=True))
            keep = (found >= self.limit).any(axis=1)
            return rows[keep], found[keep]
        if raw.dtype.kind == "f":
            found = self.without_background(self.activate(raw.astype(np.float32)))
            rows = np.flatnonzero((found >= self.limit).any(axis=1))
            return rows, found[rows]
        lowest, highest = np.iinfo(raw.dtype).min, np.iinfo(raw.dtype).max
        table = self.activate(_real(np.arange(lowest, highest + 1), self.score_output))
        enough = lowest + int(np.searchsorted(table, self.limit))  # the smallest integer that reaches the limit
        if enough > highest:
            return np.empty(0, np.intp), np.empty((0, raw.shape[1] - (self.background is not None)), np.float32)
        classes = self.without_background(raw)
        rows = np.flatnonzero(classes.max(axis=1) >= enough)
        return rows, table[classes[rows].astype(np.int64) - lowest]

    def likely_rows(self, raw: Array) -> Array:
        """Rows whose softmax may reach the limit: no class is likelier than its ratio to any other one allows."""
        if self.background is None or self.limit <= 0 or raw.dtype.kind == "f":
            return np.arange(len(raw))
        gap = np.log(self.limit) / self.score_output["quantization"][0] - 1
        rest = self.without_background(raw).max(axis=1).astype(np.int64)
        return np.flatnonzero(rest - raw[:, self.background].astype(np.int64) >= gap)

    def activate(self, logits: Array) -> Array:
        if self.activation == "none":
            return logits
        small = np.exp(-np.abs(logits))
        one = np.ones_like(small)
        activated: Array = np.where(logits >= 0, one, small) / (one + small)
        return activated

    def without_background(self, scores: Array) -> Array:
        return scores if self.background is None else np.delete(scores, self.background, axis=1)

    def boxes(self, raw: Array, rows: Array) -> Array:
        """(ymin, xmin, ymax, xmax) of these rows."""
        offsets = _real(raw[rows, :4], self.box_output).astype(np.float64) / self.coder["scales"]
        if self.coder["order"] == "xywh":
            offsets = offsets[:, [1, 0, 3, 2]]
        anchors = self.anchors[rows]
        sizes = anchors[:, 2:].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            centres = (offsets[:, :2] * sizes + anchors[:, :2]).astype(np.float32)
            halves = (0.5 * np.exp(offsets[:, 2:]) * sizes).astype(np.float32)
            return np.concatenate([centres - halves, centres + halves], axis=1)

    def suppress(self, boxes: Array, scores: Array) -> tuple[Array, Array]:
        """Rows and classes of the best boxes that do not overlap a better one of their class."""
        alive = scores >= self.limit
        row, column = np.nonzero(alive)
        best_first = np.argsort(-scores[row, column], kind="stable")
        corners = np.ascontiguousarray(boxes.T)
        kept: list[tuple[int, int]] = []
        for index, label in zip(row[best_first].tolist(), column[best_first].tolist(), strict=True):
            if alive[index, label]:
                kept.append((index, label))
                if len(kept) == self.nms["max_detections"]:
                    break
                with np.errstate(invalid="ignore", over="ignore"):
                    alive[:, label] &= ~(_overlap(corners[:, index], corners) > np.float32(self.nms["iou"]))
        rows, classes = np.array(kept, np.intp).reshape(-1, 2).T
        return rows, classes.astype(np.int64)


def _overlap(box: Array, corners: Array) -> Array:
    """Intersection over union of one box with many; 0 where one of the two has no area."""
    ymin, xmin, ymax, xmax = corners
    height = np.maximum(np.minimum(box[2], ymax) - np.maximum(box[0], ymin), np.float32(0.0))
    width = np.maximum(np.minimum(box[3], xmax) - np.maximum(box[1], xmin), np.float32(0.0))
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (ymax - ymin) * (xmax - xmin)
    shared = height * width
    result: Array = np.zeros_like(areas)
    np.divide(shared, area + areas - shared, out=result, where=(areas > 0) & (area > 0))
    return result


def _real(integers: Array, output: dict[str, Any]) -> Array:
    """The real numbers behind an output's integers."""
    scale, zero_point = output["quantization"]
    if integers.dtype.kind == "f" or not scale:
        return integers.astype(np.float32)
    real: Array = ((integers.astype(np.int64) - zero_point) * float(np.float32(scale))).astype(np.float32)
    return real


def _interpreter(model: Path, device: str, threads: int) -> Any:
    """An interpreter, with the Edge TPU's delegate for a compiled model."""
    for name in INTERPRETERS:
        try:
            runtime = importlib.import_module(name)
            break
        except ImportError:
            continue
    else:
        raise ImportError("No TensorFlow Lite interpreter: pip install ai-edge-litert (or tflite-runtime)")
    if COMPILED_MARK not in model.read_bytes():
        return runtime.Interpreter(model_path=str(model), num_threads=threads)
    library = EDGETPU_LIBRARIES[platform.system()]
    try:
        delegate = runtime.load_delegate(library, {"device": device} if device else {})
    except (ValueError, OSError) as error:
        raise RuntimeError(
            f"{library} found no Edge TPU: is it plugged in, libedgetpu installed, and may this user use it?"
        ) from error
    return runtime.Interpreter(model_path=str(model), experimental_delegates=[delegate])


def _model_input(pixels: Array, tensor: dict[str, Any], spec: dict[str, Any]) -> Array:
    """Pixels in the form that the model takes: as they are where one step of its scale is one pixel value."""
    dtype = np.dtype(tensor["dtype"])
    if "scale" in spec and spec["scale"] is not None:
        gain, shift = np.full(3, spec["scale"]), np.full(3, spec["offset"])
    else:
        gain = 1.0 / np.array(spec["std"], np.float64)
        shift = -np.array(spec["mean"], np.float64) * gain
    real = pixels.astype(np.float32) * gain.astype(np.float32) + shift.astype(np.float32)
    if dtype.kind == "f":
        return real[None]
    scale, zero_point = tensor["quantization"]
    if spec.get("scale") is not None and np.isclose(scale, spec["scale"], rtol=0.01):
        plain = pixels if dtype == np.uint8 else (pixels ^ 128).view(np.int8)
        return plain[None]
    limits = np.iinfo(dtype)
    integers: Array = np.rint(real.astype(np.float64) / np.float64(np.float32(scale))) + zero_point
    return integers.clip(limits.min, limits.max).astype(dtype)[None]


def _place(image: tuple[int, ...], size: tuple[int, int], resize: str) -> tuple[int, int, int, int]:
    """Top, left, height and width of the image in the model's input."""
    if resize == "stretch":
        return 0, 0, *size
    factor = min(size[0] / image[0], size[1] / image[1])
    height, width = (max(1, round(side * factor)) for side in image)
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def _into(image: Array, size: tuple[int, int], place: tuple[int, int, int, int]) -> Array:
    """The image, resized and put where it belongs in the model's input."""
    top, left, height, width = place
    pixels = np.full((*size, 3), PADDING, np.uint8)
    pixels[top : top + height, left : left + width] = resize_bilinear(image, height, width)
    return pixels


def resize_bilinear(image: Array, height: int, width: int) -> Array:
    """A uint8 image in another size: bilinear with half-pixel centres, as detectors are trained with."""
    between = height * LARGEST_PLAIN_REDUCTION, width * LARGEST_PLAIN_REDUCTION
    if image.shape[0] > between[0] and image.shape[1] > between[1]:
        image = _averaged(_averaged(image, between[1], 1), between[0], 0)
    (top, bottom, down), (left, right, across) = (
        _neighbours(image.shape[0], height),
        _neighbours(image.shape[1], width),
    )
    rows = image[np.concatenate([top, bottom])]
    wide = _mix(rows[:, left], rows[:, right], across[:, None], np.uint16)
    mean = _mix(wide[:height], wide[height:], down[:, None, None], np.uint32) + np.uint32(1 << 15)
    resized: Array = (mean >> 16).astype(np.uint8)
    return resized


def _mix(first: Array, second: Array, share: Array, dtype: Any) -> Array:
    """256 times the mean of two arrays, the second counting so many 256ths: exact, and the same everywhere."""
    mean: Array = first.astype(dtype) * (np.uint16(256) - share) + second.astype(dtype) * share
    return mean


def _averaged(image: Array, count: int, axis: int) -> Array:
    """The image with fewer rows or columns: each the mean of those that it takes the place of."""
    before = image.shape[axis]
    starts = np.floor(np.arange(count) * (before / count) + 0.5).astype(np.intp)
    sizes = np.diff(np.append(starts, before)).astype(np.uint32).reshape((-1, 1) if axis else (-1, 1, 1))
    sums = image.take(starts, axis).astype(np.uint32)
    for k in range(1, int(sizes.max())):
        sums += image.take(np.minimum(starts + k, before - 1), axis) * (k < sizes)
    averaged: Array = ((sums + sizes // 2) // sizes).astype(np.uint8)
    return averaged


def _neighbours(before: int, after: int) -> tuple[Array, Array, Array]:
    """The two pixels between which each new one lies, and how near it is to the second, in 256ths."""
    position = np.clip((np.arange(after) + 0.5) * (before / after) - 0.5, 0, before - 1)
    first = position.astype(np.intp)
    return first, np.minimum(first + 1, before - 1), np.rint((position - first) * 256).astype(np.uint16)
