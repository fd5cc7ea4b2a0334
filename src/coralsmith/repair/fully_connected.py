"""Dense layers over more than one vector, which need a version of FULLY_CONNECTED that the compiler refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import float_weights, fused_activation, is_float, reshape, with_attributes
from coralsmith.repair.rewriter import Rewriter

_POINTWISE: Final[dict[str, Any]] = {
    "padding": "VALID",
    "stride_w": 1,
    "stride_h": 1,
    "dilation_w_factor": 1,
    "dilation_h_factor": 1,
}


@dataclass(frozen=True)
class FlattenFullyConnected(RepairPass):
    """FULLY_CONNECTED that keeps its dimensions becomes a plain one; over several vectors a 1x1 CONV_2D.

    The Edge TPU documents a one-dimensional output for FULLY_CONNECTED, and a 1x1 convolution is the same layer
    applied to each vector.
    """

    name = "flatten-fully-connected"
    reason = "a dense layer treats each vector of the last dimension alike, as a 1x1 convolution does"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        outcomes: list[Change | Refusal] = []
        for op in rewriter.ops("FULLY_CONNECTED"):
            outputs = op.output.shape[-1] if op.output.shape else 1
            vectors = op.output.elements // max(outputs, 1)
            if vectors == 1 and not op.attributes.get("keep_num_dims"):
                continue
            if vectors > 1 and (not is_float(op) or float_weights(op) is None):
                outcomes.append(
                    self.refusal(op, "the model is quantized already, or its weights are no constants")
                )
                continue
            replacement = _plain(rewriter, op) if vectors == 1 else _pointwise(rewriter, op, vectors)
            rewriter.replace(op, *replacement)
            outcomes.append(self.change([op], replacement))
        return outcomes


def _plain(rewriter: Rewriter, op: Op) -> list[Op]:
    source, weights = op.required_input("input"), op.required_input("filter")
    vector = rewriter.tensor(source, "vector", (1, weights.shape[1]))
    result = rewriter.tensor(op.output, "vector", (1, weights.shape[0]))
    attributes = with_attributes(op, keep_num_dims=False)
    dense = Op(op.kind, [vector, *op.inputs[1:]], [result], attributes, options_table=op.options_table)
    return [reshape(source, vector), dense, reshape(result, op.output)]


def _pointwise(rewriter: Rewriter, op: Op, vectors: int) -> list[Op]:
    source = op.required_input("input")
    constants = float_weights(op)
    assert constants is not None, "the caller has looked"
    weights, bias = constants
    outputs, inputs = weights.shape
    row = rewriter.tensor(source, "row", (1, 1, vectors, inputs))
    result = rewriter.tensor(op.output, "row", (1, 1, vectors, outputs))
    parameters: list[Tensor | None] = [
        rewriter.constant(op.name, "weights", weights.reshape(outputs, 1, 1, inputs)),
        rewriter.constant(op.name, "bias", bias),
    ]
    attributes = {**_POINTWISE, "fused_activation_function": fused_activation(op)}
    return [
        reshape(source, row),
        Op("CONV_2D", [row, *parameters], [result], attributes),
        reshape(result, op.output),
    ]
