"""The trained detector as a float .tflite with batch 1, and the head.json that says what its outputs mean."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from detector import CODER_SCALES, SIZE, make_anchors
from draw_scenes import LABELS


def write_tflite(model: keras.Model, file: Path) -> None:
    """Freeze the model's variables into constants with batch 1 and convert it.

    The frozen function goes to the converter *without* the Keras model beside it: with it, Keras 3 models
    convert to a graph without weights, and nothing says so.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")])
    def call(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return model(image, training=False)

    frozen = convert_variables_to_constants_v2(call.get_concrete_function())
    file.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())


def output_names(file: Path) -> dict[str, str]:
    """The tensor names of ``boxes`` and ``classes``, told apart by their last dimension."""
    columns = {4: "boxes", len(LABELS): "classes"}
    interpreter = Interpreter(str(file))
    return {columns[int(one["shape"][-1])]: one["name"] for one in interpreter.get_output_details()}


def run_tflite(file: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs ``boxes`` and ``classes`` for normalised images [n, size, size, 3], one row an image."""
    interpreter = Interpreter(str(file), num_threads=2)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    index = {one["name"]: one["index"] for one in interpreter.get_output_details()}
    results: dict[str, list[np.ndarray]] = {"boxes": [], "classes": []}
    names = output_names(file)
    for image in images:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        for output, name in names.items():
            results[output].append(interpreter.get_tensor(index[name])[0])
    return {output: np.stack(values) for output, values in results.items()}


def write_head(file: Path, tensors: dict[str, str], evidence: str) -> None:
    """Write head.json (coralsmith/head/1).

    Args:
        file: Where to.
        tensors: The names of the ``boxes`` and ``classes`` tensors.
        evidence: Where the description comes from.
    """
    head = {
        "schema": "coralsmith/head/1",
        "input": {"size": [SIZE, SIZE], "scale": 1 / 127.5, "offset": -1.0, "resize": "stretch"},
        "outputs": {"boxes": tensors["boxes"], "scores": tensors["classes"]},
        # the shortest decimal that gives the same float32
        "anchors": [[float(str(value)) for value in anchor] for anchor in make_anchors()],
        "box_coder": {"order": "yxhw", "scales": CODER_SCALES.tolist()},
        "scores": {"activation": "sigmoid", "background": None},
        "nms": {"iou": 0.5, "score": 0.3, "max_detections": 20},
        "labels": LABELS,
        "category_ids": [i + 1 for i in range(len(LABELS))],
        "evidence": evidence,
    }
    file.write_text(json.dumps(head, separators=(",", ":")) + "\n")
