"""TFLite_Detection_PostProcess alone, as a graph from raw heads to detections: the C++ reference of decoding."""

from __future__ import annotations

import numpy as np

from coralsmith.detection.head import DetectionHead
from coralsmith.detection.postprocess_op import attach_postprocess_op
from coralsmith.graph import Graph, Op, Tensor


def operator_graph(head: DetectionHead, boxes: Tensor, scores: Tensor) -> Graph:
    """A graph whose inputs are the raw heads: DEQUANTIZE where they are integers, then the operator.

    Args:
        head: Whose scores are probabilities.
        boxes: Box output of a model.
        scores: Score output of the same model.
    """
    names = (head.boxes, head.scores)
    heads = [Tensor(name, t.shape, t.dtype, quant=t.quant) for name, t in zip(names, (boxes, scores), strict=True)]
    image = Tensor("image", (1, *head.input.size, 3), np.dtype(np.float32))
    model = Graph([Op("CUSTOM", [image], heads, custom_code="stands for the model")], [image], heads)
    attached = attach_postprocess_op(model, head)
    inputs = list(attached.ops[0].outputs)
    return Graph(attached.ops[1:], inputs, attached.outputs)
