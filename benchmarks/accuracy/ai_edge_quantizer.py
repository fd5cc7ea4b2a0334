"""Program: the peer. ai-edge-quantizer's static int8 recipe, as its documentation shows it.

Arguments: a SavedModel, or a float `.tflite` file with a signature; the `.tflite` file to write; images' folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def float_model(source: Path) -> bytes:
    """The float model as `.tflite`."""
    if not source.is_dir():
        return source.read_bytes()
    import tensorflow as tf

    converted: bytes = tf.lite.TFLiteConverter.from_saved_model(str(source)).convert()
    return converted


def main() -> None:
    from ai_edge_quantizer import quantizer, recipe

    from coralsmith.detection.images import ImageFolder
    from coralsmith.graph.interpreter import load_interpreter

    source, target, images = (Path(argument) for argument in sys.argv[1:4])
    model = float_model(source)
    signatures = load_interpreter(model).get_signature_list()
    (name, signature), *_ = signatures.items()
    scale, offset = np.float32(1 / 127.5), np.float32(1.0)
    samples = [
        {signature["inputs"][0]: pixels[None].astype(np.float32) * scale - offset}
        for pixels in ImageFolder(images, (300, 300))
    ]
    peer = quantizer.Quantizer(bytearray(model))
    peer.load_quantization_recipe(recipe.static_wi8_ai8())
    target.write_bytes(peer.quantize(peer.calibrate({name: samples})).quantized_model)


if __name__ == "__main__":
    main()
