"""The demo detector: MobileNetV2 (alpha 0.35) with SSDLite heads in plain Keras.

Conventions of the TF Object Detection API:

Input   [batch, 224, 224, 3] float32 RGB, x / 127.5 - 1 done outside the model, image stretched to the square.
Outputs boxes [batch, 1008, 4], encoded (ty, tx, th, tw) against the anchors, coder scales 10, 10, 5, 5;
        classes [batch, 1008, 3], logits: sigmoid outside, no background column.

Two things are in no pipeline config, as in many a model that people train themselves: the extra layers use
hard-swish, and the class head of the finest map uses a leaky ReLU. coralsmith repairs both for the Edge TPU.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

SIZE = 224
NUM_CLASSES = 3
GRIDS = (14, 7, 4, 2, 1)
ANCHORS_PER_CELL = (3, 6, 6, 6, 6)
MIN_SCALE, MAX_SCALE = 0.2, 0.95
CODER_SCALES = np.array([10.0, 10.0, 5.0, 5.0], np.float32)


def build_model() -> keras.Model:
    """The detector with fresh weights, about 0.3 million parameters.

    The trunk ends at its last bottleneck: the 1280-channel convolution that classification wants would be a
    third of all weights here.
    """
    trunk = keras.applications.MobileNetV2(
        input_shape=(SIZE, SIZE, 3), alpha=0.35, include_top=False, weights=None
    )
    neck = conv_block(trunk.get_layer("block_16_project_BN").output, 192, "neck")
    maps = [trunk.get_layer("block_13_expand_relu").output, neck]
    for i, (middle, filters) in enumerate([(64, 128), (64, 128), (48, 96)]):
        maps.append(extra_block(maps[-1], middle, filters, f"extra_{i}"))

    boxes, classes = [], []
    for i, (features, anchors) in enumerate(zip(maps, ANCHORS_PER_CELL, strict=True)):
        boxes.append(head(features, anchors, 4, f"box_{i}"))
        classes.append(head(features, anchors, NUM_CLASSES, f"class_{i}", leaky=i == 0))
    outputs = {
        "boxes": layers.Concatenate(axis=1, name="boxes")(boxes),
        "classes": layers.Concatenate(axis=1, name="classes")(classes),
    }
    model = keras.Model(trunk.input, outputs, name="reef_ssdlite")
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.98  # the trunk's 0.999 needs more steps than this training has
    return model


def conv_block(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """1x1 convolution, batch norm, hard-swish."""
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.Activation("hard_silu", name=f"{name}_hard_swish")(x)


def extra_block(x: keras.KerasTensor, middle: int, filters: int, name: str) -> keras.KerasTensor:
    """Halve the map: 1x1 down, depthwise 3x3 with stride 2, 1x1 up."""
    x = conv_block(x, middle, f"{name}_reduce")
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.BatchNormalization(name=f"{name}_depthwise_bn")(x)
    x = layers.Activation("hard_silu", name=f"{name}_depthwise_hard_swish")(x)
    return conv_block(x, filters, f"{name}_expand")


def head(x: keras.KerasTensor, anchors: int, values: int, name: str, leaky: bool = False) -> keras.KerasTensor:
    """SSDLite predictor: depthwise 3x3, batch norm, activation, 1x1; [batch, cells * anchors, values]."""
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    if leaky:
        x = layers.LeakyReLU(negative_slope=0.1, name=f"{name}_leaky")(x)
    else:
        x = layers.ReLU(6.0, name=f"{name}_relu")(x)
    rare = keras.initializers.Constant(-4.6 if values == NUM_CLASSES else 0.0)  # sigmoid(-4.6) = 0.01
    x = layers.Conv2D(anchors * values, 1, bias_initializer=rare, name=f"{name}_predict")(x)
    return layers.Reshape((-1, values), name=f"{name}_flat")(x)


def make_anchors() -> np.ndarray:
    """The anchors of `ssd_anchor_generator` with `reduce_boxes_in_lowest_layer`.

    Returns:
        float32 [1008, 4], (y centre, x centre, height, width) in 0..1; in the order row, column, box.
    """
    scales = [*np.linspace(MIN_SCALE, MAX_SCALE, len(GRIDS)), 1.0]
    anchors = []
    for level, grid in enumerate(GRIDS):
        scale, following = scales[level], scales[level + 1]
        shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 0.3333)] + [((scale * following) ** 0.5, 1.0)]
        if level == 0:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        for cell in range(grid * grid):
            y, x = (cell // grid + 0.5) / grid, (cell % grid + 0.5) / grid
            anchors += [(y, x, size / ratio**0.5, size * ratio**0.5) for size, ratio in shapes]
    return np.array(anchors, np.float32)


def encode(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Boxes (ymin, xmin, ymax, xmax) [n, 4] as offsets from their anchors [n, 4] (Faster R-CNN box coder)."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sizes = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    offsets = [(centres - anchors[:, :2]) / anchors[:, 2:], np.log(sizes / anchors[:, 2:])]
    return np.concatenate(offsets, axis=1) * CODER_SCALES


def decode(encoded: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """The inverse of `encode`."""
    offsets = encoded / CODER_SCALES
    centres = offsets[:, :2] * anchors[:, 2:] + anchors[:, :2]
    half = np.exp(offsets[:, 2:]) * anchors[:, 2:] / 2
    return np.concatenate([centres - half, centres + half], axis=1)


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of `a` [n, 4] with every box of `b` [m, 4]: [n, m]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    return common / np.maximum(area_a[:, None] + area_b[None] - common, 1e-9)


def match(boxes: np.ndarray, labels: np.ndarray, anchors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each anchor should answer for one image.

    An anchor answers for the box it overlaps most, from an overlap of 0.4; each box has at least its best
    anchor. Anchors between 0.3 and 0.4 are left out of the class loss.

    Returns:
        Encoded boxes float32 [anchors, 4] and classes int8 [anchors]: a label, -1 for nothing, -2 for left out.
    """
    encoded = np.zeros((len(anchors), 4), np.float32)
    classes = np.full(len(anchors), -1, np.int8)
    if len(boxes) == 0:
        return encoded, classes
    corners = np.concatenate([anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], axis=1)
    overlap = overlaps(corners, boxes)
    best_box = overlap.argmax(axis=1)
    best = overlap.max(axis=1)
    classes[best >= 0.3] = -2
    classes[best >= 0.4] = labels[best_box[best >= 0.4]]
    for box in np.argsort(overlap.max(axis=0)):  # the best fit last, so that it wins a shared anchor
        anchor = overlap[:, box].argmax()
        best_box[anchor], classes[anchor] = box, labels[box]
    positive = classes >= 0
    encoded[positive] = encode(boxes[best_box[positive]], anchors[positive])
    return encoded, classes


def detect(
    encoded: np.ndarray, logits: np.ndarray, anchors: np.ndarray, min_score: float = 0.01, max_overlap: float = 0.5
) -> list[tuple[np.ndarray, int, float]]:
    """Decode the outputs for one image and suppress duplicates in each class.

    Returns:
        (box (ymin, xmin, ymax, xmax) clipped to 0..1, label, score), best first, at most 100.
    """
    boxes = np.clip(decode(encoded, anchors), 0, 1)
    scores = 1 / (1 + np.exp(-logits))
    found = []
    for label in range(scores.shape[1]):
        order = np.argsort(-scores[:, label], kind="stable")[:200]
        order = order[scores[order, label] >= min_score]
        while len(order):
            found.append((boxes[order[0]], label, float(scores[order[0], label])))
            order = order[1:][overlaps(boxes[order[:1]], boxes[order[1:]])[0] <= max_overlap]
    return sorted(found, key=lambda one: -one[2])[:100]
