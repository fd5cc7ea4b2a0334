"""Fixes an unknown batch to 1: the Edge TPU compiler refuses every tensor without a static shape."""

from __future__ import annotations

from dataclasses import dataclass

from coralsmith.graph import Graph
from coralsmith.graph.static import make_static
from coralsmith.repair.passes import Change, Refusal, RepairPass


@dataclass(frozen=True)
class StaticBatch(RepairPass):
    """Sets batch 1 and gives each tensor the shape that it has when the graph runs."""

    name = "static-batch"
    reason = "one image at a time is all that the Edge TPU computes, and with batch 1 every shape is known"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        unknown = sum(tensor.shape_signature is not None for tensor in graph.tensors())
        if not unknown:
            return []
        make_static(graph)
        return [self.change([], [], f"{self.reason}; {unknown} tensors had an unknown dimension")]
