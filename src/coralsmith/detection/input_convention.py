"""The input normalisation of a model that does not tell it: stated by a quantized input, else a convention."""

from __future__ import annotations

import numpy as np

from coralsmith.detection.head import InputSpec
from coralsmith.errors import DetectionHeadError
from coralsmith.graph import Graph


def conventional_input(graph: Graph) -> tuple[InputSpec, str]:
    """How a model's input is fed if nothing else is known, and on what evidence.

    The integers of a quantized input are the pixels themselves (int8: less 128), so its scale and zero point
    are the normalisation. A float input is taken for MobileNet's [-1, 1].

    Raises:
        DetectionHeadError: The model has not one image input.
    """
    shapes = [list(tensor.shape) for tensor in graph.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][0] != 1 or shapes[0][3] != 3:
        raise DetectionHeadError(
            f"The model's inputs have the shapes {shapes}; a detector has one, [1, height, width, 3]."
        )
    image = graph.inputs[0]
    size = (image.shape[1], image.shape[2])
    if image.is_float or image.quant is None:
        return InputSpec(size, scale=1 / 127.5, offset=-1.0), "input [-1, 1]: convention of MobileNet"
    scale, zero_point = float(image.quant.scale[0]), int(image.quant.zero_point[0])
    pixel_of_zero = zero_point - int(np.iinfo(image.dtype).min)
    spec = InputSpec(size, scale=scale, offset=-scale * pixel_of_zero)
    return spec, "input: scale and zero point of the model's input"
