"""Writes small source models of every kind into a folder; runs in a process of its own, as TensorFlow prints much.

Usage: python make_sources.py FOLDER [DETECTOR.keras]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import tensorflow as tf
import tf_keras

SIZE = 64


def tiny_detector(layers: Any, model: Any, size: int | None = SIZE) -> Any:
    """Two maps, a box and a class head on each; `layers` and `model` come from Keras 3 or from tf-keras."""
    image = layers.Input((size, size, 3), name="photo")
    x = layers.Conv2D(16, 3, 2, padding="same", use_bias=False)(image)
    x = layers.BatchNormalization()(x)
    maps = [layers.ReLU(6.0)(x)]
    x = layers.DepthwiseConv2D(3, 2, padding="same")(maps[0])
    maps.append(layers.ReLU(6.0)(layers.Conv2D(32, 3, padding="same")(x)))
    heads = {"boxes": [], "classes": []}
    for feature in maps:
        heads["boxes"].append(layers.Reshape((-1, 4))(layers.Conv2D(8, 1)(feature)))
        heads["classes"].append(layers.Reshape((-1, 3))(layers.Conv2D(6, 1)(feature)))
    return model(image, [layers.Concatenate(axis=1, name=name)(parts) for name, parts in heads.items()])


def own_box_loss(truth: Any, prediction: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(truth - prediction))


def keras_files(folder: Path) -> Any:
    keras.utils.set_random_seed(1)
    detector = tiny_detector(keras.layers, keras.Model)
    detector.save(folder / "keras3.h5")
    detector.export(folder / "saved model", verbose=False)
    detector.compile("sgd", loss={"boxes": own_box_loss, "classes": own_box_loss})
    detector.save(folder / "own_losses.keras")
    detector.save_weights(folder / "only.weights.h5")
    open_size = tiny_detector(keras.layers, keras.Model, None)
    open_size.save(folder / "open_size.keras")
    (folder / "open_size.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(open_size).convert())
    image = keras.Input((SIZE, SIZE, 3))
    doubled = keras.layers.Lambda(lambda x: x * 2)(image)
    keras.Model(image, keras.layers.Conv2D(2, 3)(doubled)).save(folder / "lambda.keras")
    rescaled = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 3, name="scores")(rescaled))
    keras.Model(image, pooled).save(folder / "classifier.keras")
    return detector


def legacy_file(folder: Path) -> None:
    tf_keras.utils.set_random_seed(2)
    tiny_detector(tf_keras.layers, tf_keras.Model).save(folder / "keras2.h5")


def tflite_files(folder: Path, detector: Any) -> None:
    def convert(name: str, **settings: Any) -> None:
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved model"))
        for key, value in settings.items():
            setattr(converter, key, value)
        (folder / name).write_bytes(converter.convert())

    convert("dynamic_batch.tflite")
    convert("dynamic_range.tflite", optimizations=[tf.lite.Optimize.DEFAULT])
    half = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved model"))
    half.optimizations = [tf.lite.Optimize.DEFAULT]
    half.target_spec.supported_types = [tf.float16]
    (folder / "half.tflite").write_bytes(half.convert())

    def pictures() -> Any:
        generator = np.random.default_rng(0)
        for _ in range(4):
            yield [generator.uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)]

    convert(
        "int8.tflite",
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=pictures,
        inference_input_type=tf.uint8,
        inference_output_type=tf.uint8,
    )
    function = tf.function(lambda x: detector(x)).get_concrete_function(tf.TensorSpec((1, SIZE, SIZE, 3)))
    broken = tf.lite.TFLiteConverter.from_concrete_functions([function], detector)
    (folder / "without_weights.tflite").write_bytes(broken.convert())


def two_signatures(folder: Path) -> None:
    module = tf.Module()
    module.kernel = tf.Variable(tf.ones((3, 3, 3, 2)))
    specification = tf.TensorSpec((None, SIZE, SIZE, 3), name="photo")
    convolve = tf.function(lambda photo: {"map": tf.nn.conv2d(photo, module.kernel, 2, "SAME")})
    halve = tf.function(lambda photo: {"half": tf.nn.avg_pool2d(photo, 2, 2, "SAME")})
    signatures = {"convolve": convolve, "halve": halve}
    concrete = {name: f.get_concrete_function(specification) for name, f in signatures.items()}
    tf.saved_model.save(module, str(folder / "two_signatures"), signatures=concrete)


def frozen_detector(folder: Path) -> None:
    """A detection graph unlike the TF Object Detection API's: x before y, softmax, mean and std, other names."""
    generator = np.random.default_rng(3)

    def weights(*shape: int) -> Any:
        return tf.constant(generator.normal(0, 0.3, shape).astype(np.float32))

    tf.compat.v1.disable_control_flow_v2()
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.uint8, (None, None, None, 3), "a")
        resized = tf.map_fn(
            lambda one: tf.compat.v1.image.resize_bilinear(one[None], (48, 64))[0], tf.cast(image, tf.float32)
        )
        x = (resized - [120.0, 110.0, 100.0]) / [60.0, 62.0, 64.0]
        x = tf.nn.relu6(tf.nn.conv2d(x, weights(3, 3, 3, 8), 2, "SAME"))
        maps = [x, tf.nn.relu6(tf.nn.conv2d(x, weights(3, 3, 8, 8), 2, "SAME"))]

        def head(columns: int) -> Any:
            parts = [tf.nn.conv2d(m, weights(1, 1, 8, 2 * columns), 1, "SAME") for m in maps]
            return tf.concat([tf.reshape(part, (1, -1, columns)) for part in parts], 1)

        raw_boxes, raw_scores = head(4), head(3)
        count = 2 * (24 * 32 + 12 * 16)
        anchors = np.concatenate(
            [generator.uniform(0, 1, (count, 2)), generator.uniform(0.05, 0.4, (count, 2))], axis=1
        ).astype(np.float32)
        np.save(folder / "frozen_anchors.npy", anchors)
        yc, xc, h, w = anchors.T
        dx, dy, dw, dh = tf.unstack(raw_boxes / [8.0, 8.0, 4.0, 4.0], axis=2)
        centre_y, centre_x = dy * h + yc, dx * w + xc
        half_h, half_w = tf.exp(dh) * h / 2, tf.exp(dw) * w / 2
        boxes = tf.stack([centre_y - half_h, centre_x - half_w, centre_y + half_h, centre_x + half_w], 2)
        scores = tf.nn.softmax(raw_scores)[:, :, :2]
        kept = tf.image.non_max_suppression(boxes[0], scores[0, :, 0], 7, 0.45, 0.2)
        tf.identity(tf.gather(boxes[0], kept), "z")
    graph_def = graph.as_graph_def()
    (folder / "frozen.pb").write_bytes(graph_def.SerializeToString())
    frozen_with_operator(folder, graph_def, anchors)


def frozen_with_operator(folder: Path, graph_def: Any, anchors: np.ndarray) -> None:
    """The graph as ``export_tflite_ssd_graph.py`` leaves it, and one whose operator lacks its anchors."""
    anchor_node = graph_def.node.add(name="anchors", op="Const")
    anchor_node.attr["dtype"].type = tf.float32.as_datatype_enum
    anchor_node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(anchors))
    operator = graph_def.node.add(name="detections", op="TFLite_Detection_PostProcess")
    operator.input.extend(["concat", "Softmax", "anchors"])
    for name, whole in {"max_detections": 9, "num_classes": 2}.items():
        operator.attr[name].i = whole
    for name, value in {"y_scale": 8, "x_scale": 8, "h_scale": 4, "w_scale": 4}.items():
        operator.attr[name].f = value
    operator.attr["nms_iou_threshold"].f, operator.attr["nms_score_threshold"].f = 0.55, 0.0
    (folder / "postprocess.pb").write_bytes(graph_def.SerializeToString())
    del operator.input[2]
    (folder / "without_anchors.pb").write_bytes(graph_def.SerializeToString())


def frozen_classifier(folder: Path) -> None:
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, (None, SIZE, SIZE, 3), "picture")
        kernel = tf.constant(np.random.default_rng(4).normal(size=(3, 3, 3, 5)).astype(np.float32))
        pooled = tf.reduce_mean(tf.nn.conv2d(image, kernel, 2, "VALID"), (1, 2))
        tf.nn.softmax(pooled, name="probabilities")
    (folder / "classifier.pb").write_bytes(graph.as_graph_def().SerializeToString())


def main(folder: Path, detector: Path | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if detector is not None:
        keras.models.load_model(detector, compile=False).export(folder / "detector", verbose=False)
    tflite_files(folder, keras_files(folder))
    legacy_file(folder)
    two_signatures(folder)
    frozen_classifier(folder)
    frozen_detector(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
