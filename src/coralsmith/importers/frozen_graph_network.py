"""Cuts the network out of a TensorFlow 1 graph. In the child process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coralsmith.errors import UnsupportedModelError
from coralsmith.importers.frozen_graph_entry import Entry
from coralsmith.importers.frozen_graph_structure import CONTROL_FLOW, NodeGraph


def network_function(graph: NodeGraph, entry: Entry, outputs: Mapping[str, tuple[int, ...] | None]) -> Any:
    """The nodes between entry and outputs as a concrete function; each output in the given shape, if one is."""
    import tensorflow as tf

    begin = entry.tensor.partition(":")[0]
    needed = {begin, *outputs}
    for output in outputs:
        needed.update(graph.upstream_until(output, begin))
    _refuse_control_flow(graph, needed - {begin})
    part = tf.compat.v1.GraphDef()
    part.node.extend(graph.nodes[name] for name in sorted(needed - {begin}))
    for node in part.node:  # their order of execution may name nodes that are left out
        node.input[:] = [tensor for tensor in node.input if not tensor.startswith("^")]

    def call(image: Any) -> list[Any]:
        values = tf.graph_util.import_graph_def(
            part,
            input_map={entry.tensor: image},
            return_elements=[f"{output}:0" for output in outputs],
            name="",
        )
        shaped = zip(values, outputs.values(), strict=True)
        return [value if shape is None else tf.reshape(value, shape) for value, shape in shaped]

    specification = tf.TensorSpec(entry.shape, tf.float32, name="image")
    return tf.function(call, autograph=False).get_concrete_function(specification)


def _refuse_control_flow(graph: NodeGraph, names: set[str]) -> None:
    steering = sorted(name for name in names if graph.kind(name) in CONTROL_FLOW)
    if steering:
        raise UnsupportedModelError(
            f"The network holds control flow: the node '{steering[0]}' is {graph.kind(steering[0])}.",
            hint="Export the network for inference, without loops and conditions between image and raw heads.",
        )
