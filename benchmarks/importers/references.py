"""What three trained detectors find by their own frameworks and their makers' own decoding; a process of its own.

Usage: python -m benchmarks.importers.references cells|cells-fp16|coco|faces MODEL PICTURES.npy OUT.npz

Writes boxes [pictures, N, 4] (ymin, xmin, ymax, xmax; normalised) and scores [pictures, N, classes] without
background.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
Found = tuple[np.ndarray, np.ndarray]


def cells(model: Path, pictures: np.ndarray) -> Found:
    """The Keras model, decoded with its own table of anchors as its makers' decode.py does it."""
    import keras

    detector = keras.models.load_model(model, compile=False)
    raw, logits = detector.predict(pictures.astype("float32") / 127.5 - 1, batch_size=8, verbose=0)
    return _decoded(raw, logits, np.load(model.parent / "anchors.npy"))


def halved_cells(model: Path, pictures: np.ndarray) -> Found:
    """Its fp16 `.tflite` on LiteRT, decoded in the same way; its weights are other ones, rounded."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    found: list[dict[int, np.ndarray]] = []
    for picture in pictures:
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], picture[None].astype("float32") / 127.5 - 1
        )
        interpreter.invoke()
        values = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
        found.append({value.shape[2]: value[0] for value in values})
    raw, logits = (np.stack([part[columns] for part in found]) for columns in (4, 3))
    return _decoded(raw, logits, np.load(model.with_name("cells_anchors.npy")))


def _decoded(raw: np.ndarray, logits: np.ndarray, anchors: np.ndarray) -> Found:
    centres = raw[..., :2] / 10 * anchors[:, 2:] + anchors[:, :2]
    halves = np.exp(raw[..., 2:].astype(np.float64) / 5) * anchors[:, 2:] / 2
    return np.concatenate([centres - halves, centres + halves], axis=2), 1 / (1 + np.exp(-logits))


def coco(model: Path, pictures: np.ndarray) -> Found:
    """The frozen graph as it is, read in front of its own suppression."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        definition = tf.compat.v1.GraphDef.FromString(model.read_bytes())
        tf.import_graph_def(definition, name="")
    names = ["Postprocessor/ExpandDims_1:0", "Postprocessor/Slice:0"]
    with tf.compat.v1.Session(graph=graph) as session:
        found = [session.run(names, {"image_tensor:0": picture[None]}) for picture in pictures]
    boxes, scores = (np.stack([part[index] for part in found]) for index in (0, 1))
    return boxes.reshape(len(pictures), -1, 4), scores.reshape(len(pictures), -1, scores.shape[-1])


def faces(model: Path, pictures: np.ndarray) -> Found:
    """The published ONNX file that decodes its boxes itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    inputs = ((pictures.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)
    found = [session.run(["boxes", "scores"], {name: picture[None]}) for picture in inputs]
    boxes, scores = (np.concatenate([part[index] for part in found]) for index in (0, 1))
    return boxes[..., [1, 0, 3, 2]], scores[..., 1:]


if __name__ == "__main__":
    detectors: dict[str, Callable[[Path, np.ndarray], Found]] = {
        "cells": cells,
        "cells-fp16": halved_cells,
        "coco": coco,
        "faces": faces,
    }
    found_boxes, found_scores = detectors[sys.argv[1]](Path(sys.argv[2]), np.load(sys.argv[3]))
    np.savez(sys.argv[4], boxes=found_boxes.astype(np.float32), scores=found_scores.astype(np.float32))
