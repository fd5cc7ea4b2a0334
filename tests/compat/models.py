"""Small quantized models for the tests of this room."""

from __future__ import annotations

import numpy as np

from coralsmith.compat import CheckReport
from coralsmith.graph.model import Graph, Op, Quant, Tensor
from tests.builders import activation

QUANT = Quant.per_tensor(0.5, 0)


def int8(name: str, *shape: int) -> Tensor:
    return activation(name, shape, np.int8, QUANT)


def chain(*kinds: str) -> Graph:
    """Operators of these kinds one behind the other, on int8 values."""
    tensors = [int8(f"t{index}", 1, 8) for index in range(len(kinds) + 1)]
    ops = [
        Op(kind, [tensors[i]], [tensors[i + 1]], custom_code="TFLite_Detection_PostProcess" * (kind == "CUSTOM"))
        for i, kind in enumerate(kinds)
    ]
    return Graph(ops, tensors[:1], tensors[-1:])


def targets(report: CheckReport) -> list[str]:
    return [fate.target for fate in report.ops]
