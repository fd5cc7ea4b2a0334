"""Lets a convolution or pooling pad by itself where a PAD before it adds exactly what SAME would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.shapes import window_output
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import (
    fused_activation,
    integer_attribute,
    integers,
    same_paddings,
    same_quant,
    scalar,
    window,
    with_attributes,
)
from coralsmith.repair.rewriter import Rewriter

_CONVOLUTIONS: Final = ("CONV_2D", "DEPTHWISE_CONV_2D")
_NEVER_NEGATIVE: Final = ("RELU", "RELU6")


@dataclass(frozen=True)
class FoldPadding(RepairPass):
    """PAD and a VALID convolution become a SAME convolution; PAD and a VALID MAX_POOL_2D likewise.

    SAME puts the odd row and column behind (TensorFlow's rule), so the same number before and the same output
    size mean the same windows. A pooling ignores what SAME adds; that equals a PAD by zeros where no value is
    negative, and a PAD by the lowest number always.
    """

    name = "fold-padding"
    reason = "SAME adds the same rows and columns as the PAD"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        outcomes: list[Change | Refusal] = []
        for op in rewriter.ops(*_CONVOLUTIONS, "MAX_POOL_2D"):
            pad = rewriter.producer(op.inputs[0])
            if pad is None or pad.kind not in ("PAD", "PADV2") or op.attributes.get("padding") != "VALID":
                continue
            obstacle = _obstacle(rewriter, pad, op)
            if obstacle:
                outcomes.append(self.refusal(pad, obstacle))
                continue
            attributes = with_attributes(op, padding="SAME")
            inputs = [pad.inputs[0], *op.inputs[1:]]
            same = Op(op.kind, inputs, op.outputs, attributes, options_table=op.options_table)
            rewriter.replace(op, same)
            outcomes.append(self.change([pad, op], [same]))
        return outcomes


def _obstacle(rewriter: Rewriter, pad: Op, op: Op) -> str:
    """Why `pad` cannot go into `op`; empty where it can."""
    source, amounts = pad.inputs[0], integers(pad.input("paddings"))
    if source is None or amounts is None or len(source.shape) != 4 or not same_quant(source, pad.output):
        return "its amounts are not constant, or it changes the quantization"
    rows, columns = same_paddings(op, source.shape)
    strides = integer_attribute(op, "stride_h"), integer_attribute(op, "stride_w")
    sizes = tuple(window_output(source.shape[1 + i], window(op)[i], strides[i], 1, "SAME") for i in (0, 1))
    if any((*amounts[:2], *amounts[6:])):
        return "it pads the batch or the channels"
    if (amounts[2], amounts[4]) != (rows[0], columns[0]) or op.output.shape[1:3] != sizes:
        return f"it adds rows {amounts[2:4]} and columns {amounts[4:6]}, SAME would add {rows} and {columns}"
    if not _pads_like_same(rewriter, pad, op, source):
        return "the pooling would ignore the padding instead of counting it"
    return ""


def _pads_like_same(rewriter: Rewriter, pad: Op, op: Op, source: Tensor) -> bool:
    """Whether the padded value is the one that has no effect in `op`."""
    value = pad.input("value") if pad.kind == "PADV2" else None
    if pad.kind == "PADV2" and (value is None or value.data is None):
        return False
    if op.kind in _CONVOLUTIONS:
        return value is None or _is_zero(value)
    fill = scalar(value)
    if fill is not None and fill <= np.finfo(np.float32).min:
        return True
    producer = rewriter.producer(source)
    activation = "" if producer is None else (fused_activation(producer), producer.kind)
    return (value is None or _is_zero(value)) and any(kind in _NEVER_NEGATIVE for kind in activation)


def _is_zero(value: Tensor) -> bool:
    """Whether a constant stands for the real number zero."""
    assert value.data is not None, "the caller has looked"
    zero_point = 0 if value.quant is None else int(value.quant.zero_point[0])
    return bool(np.all(value.data == zero_point))
