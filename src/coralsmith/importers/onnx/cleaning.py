"""Cleans a model up with onnxslim: dead nodes, shape arithmetic, normalisations behind convolutions."""

from __future__ import annotations

from typing import Any

import onnxslim

from coralsmith.importers.framework_child import essential_line


def cleaned(model: Any) -> tuple[Any, str]:
    """A model that computes the same with fewer nodes, and what is worth telling about it.

    onnxslim is a help, not a need: where it fails, the model is translated as it is.
    """
    before = len(model.graph.node)
    try:
        slim = onnxslim.slim(_copy(model))
    except BaseException as error:  # it ends the process on some failures
        if isinstance(error, KeyboardInterrupt):
            raise
        return model, f"onnxslim could not clean the model up ({essential_line(error)}); it is read as it is."
    kept = [entry.name for entry in slim.graph.output] == [entry.name for entry in model.graph.output]
    if not kept:
        return model, "onnxslim changed the outputs; the model is read as it is."
    return slim, f"onnxslim left {len(slim.graph.node)} of {before} nodes."


def _copy(model: Any) -> Any:
    copy = type(model)()
    copy.CopyFrom(model)
    return copy
