"""Program: cuts the COCO detector out of its frozen graph and saves it as a SavedModel.

Arguments: the frozen graph, the folder to make, and AddN (as it is) or AddV2 (AddN rewritten to it).

In front of the first feature-extractor convolution lies a loop that resizes images; behind the raw heads `concat`
(boxes) and `concat_1` (scores) lies the decoding. TFLiteConverter can quantize neither, so both are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

INPUT_SHAPE = (1, 300, 300, 3)
HEADS = ("concat:0", "concat_1:0")


def main() -> None:
    frozen, saved_model, adds = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(frozen.read_bytes())
    for node in definition.node:
        if adds == "AddV2" and node.op == "AddN":
            node.op = "AddV2"
            del node.attr["N"]
    first = next(node for node in definition.node if node.op == "Conv2D" and "FeatureExtractor" in node.name)
    image = tf.TensorSpec(INPUT_SHAPE, tf.float32, name="image")

    def whole_graph(tensor: Any) -> Any:
        return tf.import_graph_def(
            definition, input_map={first.input[0]: tensor}, return_elements=list(HEADS), name=""
        )

    wrapped = tf.compat.v1.wrap_function(whole_graph, [image])
    heads = wrapped.prune(wrapped.inputs[0], list(wrapped.outputs))

    def named_heads(tensor: Any) -> dict[str, Any]:
        boxes, scores = heads(tensor)
        return {"boxes": tf.squeeze(boxes, axis=2), "scores": scores}

    module = tf.Module()
    module.serve = tf.function(named_heads, input_signature=[image])
    tf.saved_model.save(module, saved_model, signatures=module.serve)


if __name__ == "__main__":
    main()
