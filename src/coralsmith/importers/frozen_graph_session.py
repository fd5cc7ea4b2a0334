"""Runs a TensorFlow 1 graph from any tensors to any tensors. In the child process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coralsmith.errors import MalformedModelError
from coralsmith.importers.framework_child import essential_line


class GraphSession:
    """A TensorFlow 1 graph that can be run from any tensors to any tensors.

    Raises:
        MalformedModelError: The nodes do not fit together.
    """

    def __init__(self, graph_def: Any) -> None:
        import tensorflow as tf

        graph = tf.Graph()
        try:
            with graph.as_default():
                tf.import_graph_def(graph_def, name="")
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise MalformedModelError(
                f"The nodes of the graph do not fit together. {essential_line(error)}",
                hint="The graph is damaged: export or download the model again.",
            ) from error
        self.graph = graph
        # The graph is run a hundred times from other tensors each; optimising it anew takes longer than running.
        configuration = tf.compat.v1.ConfigProto()
        configuration.graph_options.rewrite_options.disable_meta_optimizer = True
        self._session = tf.compat.v1.Session(graph=graph, config=configuration)

    def run(self, tensors: Sequence[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The values of tensors ("node" or "node:0") for fed ones."""
        values = self._session.run([_full(t) for t in tensors], {_full(t): v for t, v in feeds.items()})
        return [np.asarray(value) for value in values]

    def try_run(self, tensor: str, feeds: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
        """The value of a tensor, or None where it has none outside of a loop or is no array."""
        import tensorflow as tf

        try:
            return self.run([tensor], feeds)[0]
        except (tf.errors.OpError, ValueError, TypeError):
            return None


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"


def rounded(value: float, digits: int = 6) -> float:
    """The value to as many digits as float32 arithmetic leaves of it."""
    return float(f"{value:.{digits}g}")
