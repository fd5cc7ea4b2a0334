"""Program: the peer. TFLiteConverter of TensorFlow 2.21 with its new quantizer, as its documentation shows it.

Arguments: a SavedModel or a `.keras` file, the `.tflite` file to write, and a folder of images for full int8
(uint8 in, int8 out); without images the output is float. coralsmith decodes and resizes the images, so that both
quantizers see the same pixels. Prints how many seconds TensorFlow took to import and the rest, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

SIZE = (300, 300)


def load(source: Path) -> Any:
    """The model as one function of a batch of one image, its variables constants: what converts fastest."""
    import tensorflow as tf

    if source.is_dir():
        return tf.saved_model.load(str(source)).signatures["serving_default"]
    import keras
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = keras.models.load_model(source, compile=False)
    function = tf.function(lambda image: model(image, training=False))
    image = tf.TensorSpec((1, *SIZE, 3), tf.float32, name="image")
    return convert_variables_to_constants_v2(function.get_concrete_function(image))


def calibration(folder: Path) -> Iterator[list[Any]]:
    """Images mapped to [-1, 1]."""
    import numpy as np

    from coralsmith.detection.images import ImageFolder

    for pixels in ImageFolder(folder, SIZE):
        yield [pixels[None].astype(np.float32) * np.float32(1 / 127.5) - np.float32(1.0)]


def main() -> None:
    source, output, images = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    start = time.perf_counter()
    import tensorflow as tf

    imported = time.perf_counter()
    function = load(source)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if images:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: calibration(Path(images[0]))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.int8
        assert converter.experimental_new_quantizer, "the new quantizer is the default of TensorFlow 2.21"
    output.write_bytes(converter.convert())
    done = time.perf_counter()
    print(json.dumps({"import_seconds": imported - start, "rest_seconds": done - imported}))


if __name__ == "__main__":
    main()
