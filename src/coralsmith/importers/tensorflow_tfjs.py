"""Reads a TensorFlow.js graph model: a frozen graph whose weights lie elsewhere. Runs in the child process."""

from __future__ import annotations

from pathlib import Path

from coralsmith.importers.framework_exchange import Request
from coralsmith.importers.tensorflow_conversion import TensorFlowSource
from coralsmith.importers.tensorflow_frozen_graph import graph_source
from coralsmith.importers.tfjs.graph_def import graph_with_weights
from coralsmith.importers.tfjs.model_files import ModelFiles


def read_tfjs_graph(request: Request) -> TensorFlowSource:
    """The network of a graph model, cut as a frozen graph is; its outputs by the names of its signature.

    Raises:
        InputError: The model cannot be used; the subclass says how.
    """
    files = ModelFiles.read(Path(request.path))
    return graph_source(graph_with_weights(files), request, files.outputs)
