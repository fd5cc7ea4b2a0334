"""Writes detectors as the TF Object Detection API exports them, made here by its published conventions.

Usage: python make_api_exports.py FOLDER SIDE [COCO.pb]; runs in a process of its own, as TensorFlow prints much.

``pyramid/`` is an FPNLite detector of random weights: a pyramid of five levels, upsampled by stacking as the API
does it, one box predictor for all levels with a batch normalisation for each. It lies there in both exports, as a
bare network, and with pipeline.config and label map. Weights are large enough for scores of every height.

``coco/`` is the trained COCO detector of the frozen graph, with suppression behind it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf

CLASSES, LEVELS, DEPTH, RATIOS, OCTAVE = 3, (3, 4, 5, 6, 7), 16, (1.0, 2.0, 0.5), 2
BOXES = len(RATIOS) * OCTAVE
SCALES = (10.0, 10.0, 5.0, 5.0)

PIPELINE = """# as exporter_main_v2.py writes it
model {
  ssd {
    num_classes: %d
    image_resizer { fixed_shape_resizer { height: %d width: %d } }
    feature_extractor { type: "ssd_mobilenet_v2_fpn_keras" fpn { min_level: 3 max_level: 7 } use_depthwise: true }
    box_coder { faster_rcnn_box_coder { y_scale: 10.0 x_scale: 10.0 height_scale: 5.0 width_scale: 5.0 } }
    anchor_generator {
      multiscale_anchor_generator {
        min_level: 3
        max_level: 7
        anchor_scale: 4.0
        aspect_ratios: [1.0, 2.0, 0.5]
        scales_per_octave: 2
      }
    }
    post_processing {
      batch_non_max_suppression {
        score_threshold: 1e-08
        iou_threshold: 0.6
        max_detections_per_class: 100
        max_total_detections: 100
      }
      score_converter: SIGMOID
    }
  }
}
train_input_reader { label_map_path: "/content/training/annotations/label_map.pbtxt" }
"""
LABEL_MAP = "".join(f"item {{ id: {n} name: '{name}' }}\n" for n, name in enumerate(("fish", "crab", "star"), 1))


def pyramid_anchors(side: int) -> np.ndarray:
    """The loop of `multiscale_grid_anchor_generator.py`, written out: [N, 4] (yc, xc, h, w), normalised."""
    rows = []
    for level in LEVELS:
        stride, cells = 2**level, -(-side // 2**level)
        offset = stride / 2 if side % stride == 0 else 0.0
        for y in range(cells):
            for x in range(cells):
                for ratio in RATIOS:
                    for step in range(OCTAVE):
                        size = 4.0 * stride * 2 ** (step / OCTAVE)
                        height, width = size / ratio**0.5, size * ratio**0.5
                        rows.append((y * stride + offset, x * stride + offset, height, width))
    return np.array(rows, np.float64) / side


class Pyramid(tf.Module):
    """Backbone, pyramid and shared box predictor."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = np.random.default_rng(seed)
        self.weights: dict[str, tf.Variable] = {}

    def _variable(self, name: str, shape: tuple[int, ...], mean: float = 0.0, spread: float | None = None) -> Any:
        if name not in self.weights:
            spread = (2.0 / np.prod(shape[:-1])) ** 0.5 if spread is None else spread
            value = self._generator.normal(mean, spread, shape).astype(np.float32)
            self.weights[name] = tf.Variable(value, name=name)
        return self.weights[name]

    def _separable(
        self, x: Any, name: str, depth: int, bias: float | None = None, spread: float | None = None
    ) -> Any:
        filters = self._variable(f"{name}/depthwise", (3, 3, x.shape[3], 1), spread=0.35)
        x = tf.nn.depthwise_conv2d(x, filters, (1, 1, 1, 1), "SAME")
        x = tf.nn.conv2d(
            x, self._variable(f"{name}/pointwise", (1, 1, x.shape[3], depth), spread=spread), 1, "SAME"
        )
        return x if bias is None else tf.nn.bias_add(x, self._variable(f"{name}/bias", (depth,), bias, 0.3))

    def _normalised(self, x: Any, name: str) -> Any:
        """Batch normalisation and ReLU6; its moments are those of what the weights make of normal input."""
        depth = x.shape[3]
        mean, variance = (
            self._variable(f"{name}/{part}", (depth,), value, 0.05)
            for part, value in (("mean", 0.0), ("variance", 1.0))
        )
        scale, offset = (
            self._variable(f"{name}/{part}", (depth,), value, 0.1)
            for part, value in (("gamma", 1.0), ("beta", 0.3))
        )
        normalised, *_ = tf.compat.v1.nn.fused_batch_norm(
            x, scale, offset, mean, tf.abs(variance), 1e-3, is_training=False
        )
        return tf.nn.relu6(normalised)

    def _convolution(self, x: Any, name: str, depth: int, stride: int, kernel: int = 3) -> Any:
        filters = self._variable(f"{name}/filters", (kernel, kernel, x.shape[3], depth))
        return self._normalised(tf.nn.conv2d(x, filters, stride, "SAME"), name)

    def _maps(self, image: Any) -> list[Any]:
        x, taps = image, []
        for level in range(1, 6):
            x = self._convolution(x, f"block{level}", 8 * level, 2)
            taps.append(x)
        laterals = [self._convolution(tap, f"lateral{i}", DEPTH, 1, 1) for i, tap in enumerate(taps[2:])]
        for finer in (1, 0):
            laterals[finer] += upsampled(laterals[finer + 1])[
                :, : laterals[finer].shape[1], : laterals[finer].shape[2]
            ]
        maps = [
            self._normalised(self._separable(x, f"smooth{i}", DEPTH), f"smooth{i}") for i, x in enumerate(laterals)
        ]
        for level in (6, 7):
            maps.append(self._convolution(maps[-1], f"coarse{level}", DEPTH, 2))
        return maps

    def raw(self, image: Any) -> tuple[Any, Any]:
        """Raw boxes [1, N, 4] and class scores [1, N, 1 + classes] of normalised pixels."""
        boxes, scores = [], []
        for level, x in zip(LEVELS, self._maps(image), strict=True):
            towers = {"box": x, "class": x}
            for tower in towers:
                for layer in range(2):
                    shared = self._separable(towers[tower], f"{tower}{layer}", DEPTH)
                    towers[tower] = self._normalised(shared, f"{tower}{layer}/level{level}")
            box = self._separable(towers["box"], "box_predictor", 4 * BOXES, 0.0, 0.05)
            score = self._separable(towers["class"], "class_predictor", (1 + CLASSES) * BOXES, -5.0)
            boxes.append(tf.reshape(box, (1, -1, 4)))
            scores.append(tf.reshape(score, (1, -1, 1 + CLASSES)))
        return tf.concat(boxes, 1), tf.concat(scores, 1)


def upsampled(x: Any) -> Any:
    """Each pixel four times, by stacking, as `ops.nearest_neighbor_upsampling` of the API does it."""
    _, height, width, depth = x.shape
    return tf.reshape(tf.stack([tf.stack([x] * 2, axis=3)] * 2, axis=2), (1, 2 * height, 2 * width, depth))


def detections(raw_boxes: Any, raw_scores: Any, anchors: np.ndarray) -> dict[str, Any]:
    """Decoding and suppression in the graph: the outputs of the inference export."""
    yc, xc, h, w = (tf.constant(column, tf.float32) for column in anchors.T)
    dy, dx, dh, dw = tf.unstack(tf.transpose(raw_boxes[0]))
    height, width = tf.exp(dh / SCALES[2]) * h, tf.exp(dw / SCALES[3]) * w
    y, x = dy / SCALES[0] * h + yc, dx / SCALES[1] * w + xc
    boxes = tf.transpose(tf.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2]))[None]
    scores = tf.sigmoid(tf.multiply(raw_scores, 1.0, name="scale_logits"))
    return suppressed(boxes, scores[:, :, 1:]) | {"raw_detection_boxes": boxes, "raw_detection_scores": scores}


def suppressed(boxes: Any, scores: Any) -> dict[str, Any]:
    """Suppression for each class, of boxes cut at the edges, and classes that count from 1."""
    found = tf.image.combined_non_max_suppression(
        tf.clip_by_value(boxes, 0.0, 1.0)[:, :, None], scores, 100, 100, 0.6, 1e-8
    )
    return {
        "detection_boxes": found.nmsed_boxes,
        "detection_scores": found.nmsed_scores,
        "detection_classes": found.nmsed_classes + 1,
        "num_detections": tf.cast(found.valid_detections, tf.float32),
    }


def preprocessed(images: Any, side: int) -> Any:
    """Photos of any size as the network takes them: resized one by one, then mapped to [-1, 1]."""
    resize = lambda image: tf.image.resize(image, (side, side))  # noqa: E731
    resized = tf.map_fn(resize, tf.cast(images, tf.float32))
    return tf.ensure_shape(2.0 / 255.0 * resized - 1.0, (1, side, side, 3))


def postprocess_operator(anchors: np.ndarray) -> Any:
    """The empty function by which the API tells TensorFlow Lite's converter of its operator."""
    options = {"max_detections": 10, "max_classes_per_detection": 1, "num_classes": CLASSES}
    floats = dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), SCALES, strict=True))
    floats |= {"nms_iou_threshold": 0.6, "nms_score_threshold": 0.0}
    attributes = [f'attr {{ key: "{key}" value {{ i: {value} }} }}' for key, value in options.items()]
    attributes += [f'attr {{ key: "{key}" value {{ f: {value} }} }}' for key, value in floats.items()]
    attributes.append('attr { key: "use_regular_nms" value { b: false } }')
    implements = 'name: "TFLite_Detection_PostProcess" ' + " ".join(attributes)

    @tf.function(experimental_implements=implements)
    def operator(box_encodings: Any, class_predictions: Any, anchors: Any) -> Any:
        return [tf.constant(0.0, name=name) for name in ("boxes", "scores", "classes", "number")]

    return lambda boxes, scores: operator(boxes, scores, tf.constant(anchors, tf.float32))


def save(folder: Path, module: tf.Module, function: Any, specification: Any) -> None:
    module.exported = tf.function(function, input_signature=[specification])
    tf.saved_model.save(module, str(folder), signatures=module.exported)


def pyramid(folder: Path, side: int) -> None:
    """All forms of the FPNLite detector."""
    network, anchors = Pyramid(7), pyramid_anchors(side)
    network.raw(tf.zeros((1, side, side, 3)))
    floats, photos = tf.TensorSpec((1, side, side, 3), name="input"), tf.TensorSpec((1, None, None, 3), tf.uint8)

    def inference(input_tensor: Any) -> dict[str, Any]:
        return detections(*network.raw(preprocessed(input_tensor, side)), anchors)

    operator = postprocess_operator(anchors)

    def mobile(image: Any) -> dict[str, Any]:
        boxes, scores = network.raw(image)
        names = ("output_0", "output_1", "output_2", "output_3")
        return dict(zip(names, operator(boxes, tf.sigmoid(scores)), strict=True))

    def bare(image: Any) -> dict[str, Any]:
        return dict(zip(("raw_boxes", "raw_scores"), network.raw(image), strict=True))

    save(folder / "saved_model", network, inference, photos)
    save(folder / "tflite" / "saved_model", network, mobile, floats)
    save(folder / "bare" / "saved_model", network, bare, floats)
    for place in (folder, folder / "tflite", folder / "bare"):
        (place / "pipeline.config").write_text(PIPELINE % (CLASSES, side, side))
        (place / "label_map.pbtxt").write_text(LABEL_MAP)
    np.save(folder / "anchors.npy", anchors)
    remember(folder, side)


def remember(folder: Path, side: int) -> None:
    """Some pictures of the network's own size, and what the inference export detects on them."""
    generator = np.random.default_rng(11)
    pictures = np.repeat(np.repeat(generator.integers(0, 256, (6, side // 8, side // 8, 3), np.uint8), 8, 1), 8, 2)
    detect = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    runs = [detect(input_tensor=tf.constant(picture[None])) for picture in pictures]
    found = {name: np.stack([np.asarray(run[name])[0] for run in runs]) for name in runs[0]}
    np.savez(folder / "detections.npz", pictures=pictures, **found)


def coco(folder: Path, frozen: Path) -> None:
    """The trained detector, from photo to detections, as a SavedModel of TensorFlow 1."""
    graph_def = tf.compat.v1.GraphDef.FromString(frozen.read_bytes())
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        names = ["image_tensor:0", "Postprocessor/ExpandDims_1:0", "Postprocessor/Slice:0"]
        image, boxes, scores = tf.import_graph_def(graph_def, return_elements=names, name="")
        boxes = tf.reshape(boxes, (1, -1, 4))
        outputs = suppressed(boxes, scores) | {"raw_detection_boxes": boxes, "raw_detection_scores": scores}
        place = str(folder / "saved_model")
        tf.compat.v1.saved_model.simple_save(session, place, {"inputs": image}, outputs)


if __name__ == "__main__":
    pyramid(Path(sys.argv[1]) / "pyramid", int(sys.argv[2]))
    if len(sys.argv) > 3:
        coco(Path(sys.argv[1]) / "coco", Path(sys.argv[3]))
