"""A model's raw outputs for images, as real numbers, whatever the types of its input and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from coralsmith.detection.feeding import model_input
from coralsmith.detection.head import InputSpec
from coralsmith.graph import Array, Graph
from coralsmith.graph.executor import Executor, real_outputs


def raw_outputs(graph: Graph, spec: InputSpec, images: Iterable[NDArray[np.uint8]]) -> Iterator[list[Array]]:
    """Run a model on images.

    Args:
        graph: A model with one image input, float or quantized.
        spec: How the images are normalised.
        images: uint8 RGB, each [height, width, 3] of the input's size.

    Yields:
        The outputs for each image as real numbers, in the order of the graph's outputs.

    Raises:
        ValueError: An image has another size.
    """
    executor = Executor(graph)
    source = graph.inputs[0]
    for image in images:
        if image.shape != source.shape[1:]:
            raise ValueError(f"an image is {list(image.shape)}, the model's input {list(source.shape)}")
        executor.invoke(model_input(source, image[None], spec))
        yield real_outputs(executor)
