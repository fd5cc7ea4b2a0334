"""Writes the blood cell detector in the forms that TensorFlow makes of it; a process of its own.

Usage: python -m benchmarks.importers.tensorflow_sources DETECTOR.keras FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import tensorflow as tf

if __name__ == "__main__":
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    saved = folder / "cells_saved_model"
    keras.models.load_model(source, compile=False).export(saved, verbose=False)
    for name, types in (("float", []), ("half", [tf.float16])):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        if types:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = types
        (folder / f"cells_{name}.tflite").write_bytes(converter.convert())
