"""Gives every tensor of a graph with an unknown batch its true static shape."""

from __future__ import annotations

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.executor import Executor
from coralsmith.graph.model import Graph


def make_static(graph: Graph) -> None:
    """Fix batch 1 and set each tensor's shape to the one it has when the graph runs, in place.

    Converters write 1 into a dynamic tensor's shape wherever the true size is only known at run time, so those
    shapes are wrong for everything but an input whose one unknown dimension is the batch. The interpreter knows.

    Raises:
        UnsupportedModelError: An input has an unknown dimension other than the batch.
    """
    if not any(tensor.shape_signature for tensor in graph.tensors()):
        return
    for tensor in graph.inputs:
        if tensor.shape_signature and -1 in tensor.shape_signature[1:]:
            raise UnsupportedModelError(
                f"The input '{tensor.name}' has no fixed size: {list(tensor.shape_signature)}.",
                hint="Export the model with a fixed image height and width; the Edge TPU needs static shapes.",
            )
        if tensor.shape_signature:
            tensor.shape = (1, *tensor.shape[1:])
    executor = Executor(graph, keep_all=True)
    executor.invoke(*(np.zeros(tensor.shape, tensor.dtype) for tensor in graph.inputs))
    for tensor in graph.tensors():
        if not tensor.is_constant:
            tensor.shape = tuple(executor.value(tensor).shape)
        tensor.shape_signature = None
