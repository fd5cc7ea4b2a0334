"""The outer side of an int8 graph: the element type of its input and of its raw heads.

uint8 is what cameras and hosts hold, so it is the default input; QUANTIZE between uint8 and int8 runs on the
Edge TPU, between float and int8 on the CPU (docs/supported-ops.md).
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from coralsmith.graph import Graph, Op, Quant, Tensor

ElementType = Literal["uint8", "int8", "float"]
_UINT8_SHIFT: Final = 128


def set_input_type(graph: Graph, element_type: ElementType) -> None:
    """Give every int8 graph input the element type that the host feeds, in place; names are kept."""
    if element_type == "int8":
        return
    for position, inner in enumerate(graph.inputs):
        outer = _outer(inner, element_type)
        inner.name = graph.unique_name(f"{outer.name}_int8")
        graph.ops.insert(position, Op("QUANTIZE", [outer], [inner]))
        graph.inputs[position] = outer


def set_output_type(graph: Graph, element_type: ElementType) -> None:
    """Give every int8 graph output the element type that the host reads, in place; names are kept."""
    if element_type == "int8":
        return
    for position, inner in enumerate(graph.outputs):
        outer = _outer(inner, element_type)
        inner.name = graph.unique_name(f"{outer.name}_int8")
        kind = "DEQUANTIZE" if element_type == "float" else "QUANTIZE"
        graph.ops.append(Op(kind, [inner], [outer]))
        graph.outputs[position] = outer


def _outer(inner: Tensor, element_type: ElementType) -> Tensor:
    if element_type == "float":
        return Tensor(inner.name, inner.shape, np.dtype(np.float32))
    assert inner.quant is not None, "an int8 activation has a scale"
    shifted = Quant(inner.quant.scale, inner.quant.zero_point + _UINT8_SHIFT)
    return Tensor(inner.name, inner.shape, np.dtype(np.uint8), quant=shifted)
