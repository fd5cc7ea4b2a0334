"""Runs ONNX models with onnxruntime: the reference that every import is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array
from coralsmith.importers.framework_child import essential_line
from coralsmith.importers.onnx.image_input import ImageInput


def open_session(content: bytes) -> Any:
    """An onnxruntime session on the CPU that says nothing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_source(content: bytes, image: ImageInput, inputs: Array) -> dict[str, Array]:
    """What a model computes for inputs that are stored as the graph's.

    Args:
        content: The serialized model.
        image: Its input.
        inputs: [pictures, *stored shape].

    Returns:
        For each output its values, [pictures, *shape of the source].

    Raises:
        UnsupportedModelError: onnxruntime cannot run it.
    """
    try:
        session = open_session(content)
        names = [output.name for output in session.get_outputs()]
        runs = [session.run(names, {image.name: image.as_source(stored)}) for stored in inputs]
    except Exception as error:  # onnxruntime raises many types, documented nowhere
        raise UnsupportedModelError(
            f"onnxruntime cannot run the model. {essential_line(error)}",
            hint="Check that it runs with batch 1 and a fixed image size, or export it again.",
        ) from error
    return {name: np.stack(values) for name, *values in zip(names, *runs, strict=True)}
