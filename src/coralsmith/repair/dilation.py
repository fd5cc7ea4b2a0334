"""Dilated convolutions written as SPACE_TO_BATCH_ND, CONV_2D, BATCH_TO_SPACE_ND become dilated convolutions.

Older converters emulate dilation that way. The batch grows above 1 in between, which the Edge TPU cannot map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import integer_attribute, integers, is_float, with_attributes
from coralsmith.repair.rewriter import Rewriter

_STEPS: Final = ("stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor")


@dataclass(frozen=True)
class RestoreDilation(RepairPass):
    """The three operators become PAD (where anything is left to pad) and one dilated convolution."""

    name = "restore-dilation"
    reason = "convolving each phase of a block apart is convolving with that dilation"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        outcomes: list[Change | Refusal] = []
        for to_space in rewriter.ops("BATCH_TO_SPACE_ND"):
            conv = rewriter.producer(to_space.inputs[0])
            to_batch = None if conv is None else rewriter.producer(conv.inputs[0])
            if conv is None or to_batch is None or to_batch.kind != "SPACE_TO_BATCH_ND":
                continue
            dilated = _dilated(rewriter, to_batch, conv, to_space)
            if isinstance(dilated, str):
                outcomes.append(self.refusal(to_space, dilated))
                continue
            rewriter.replace(to_space, *dilated)
            outcomes.append(self.change([to_batch, conv, to_space], dilated))
        return outcomes


def _dilated(rewriter: Rewriter, to_batch: Op, conv: Op, to_space: Op) -> list[Op] | str:
    """The operators in their place, or why there are none."""
    source = to_batch.inputs[0]
    block, paddings = integers(to_batch.inputs[1]), integers(to_batch.inputs[2])
    crops = integers(to_space.inputs[2])
    if source is None or block is None or paddings is None or crops is None or not is_float(conv):
        return "the block, paddings or crops are not constant, or the model is quantized already"
    if len(block) != 2 or len(source.shape) != 4 or block != integers(to_space.inputs[1]):
        return "the blocks are not two equal pairs"
    if conv.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or any(integer_attribute(conv, s) != 1 for s in _STEPS):
        return "there is no convolution with stride and dilation 1 in between"
    if conv.attributes.get("padding") != "VALID":
        return "the convolution in between pads each phase apart"
    amounts = tuple(padding - crop for padding, crop in zip(paddings, crops, strict=True))
    if min(amounts) < 0:
        return "it crops more than it pads"
    attributes = with_attributes(conv, dilation_h_factor=block[0], dilation_w_factor=block[1])
    padded, operators = _pad(rewriter, source, amounts)
    inputs = [padded, *conv.inputs[1:]]
    return [*operators, Op(conv.kind, inputs, to_space.outputs, attributes, options_table=conv.options_table)]


def _pad(rewriter: Rewriter, source: Tensor, amounts: tuple[int, ...]) -> tuple[Tensor, list[Op]]:
    """`source` with zeros around it (rows before and behind, columns before and behind), and what adds them."""
    if not any(amounts):
        return source, []
    batch, height, width, channels = source.shape
    shape = (batch, height + amounts[0] + amounts[1], width + amounts[2] + amounts[3], channels)
    padded = rewriter.tensor(source, "padded", shape)
    paddings = np.array([0, 0, *amounts, 0, 0], np.int32).reshape(4, 2)
    return padded, [Op("PAD", [source, rewriter.constant(source.name, "paddings", paddings)], [padded])]
