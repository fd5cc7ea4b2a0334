"""Grouped convolutions, which need a version of CONV_2D that the compiler of 2021 cannot parse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import float_weights, is_float, with_attributes
from coralsmith.repair.rewriter import Rewriter


@dataclass(frozen=True)
class SplitGroups(RepairPass):
    """A grouped CONV_2D becomes SPLIT, one CONV_2D a group, CONCATENATION; or DEPTHWISE_CONV_2D if it is one."""

    name = "split-grouped-convolution"
    reason = "each group of a grouped convolution reads its own channels only"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        outcomes: list[Change | Refusal] = []
        for op in rewriter.ops("CONV_2D"):
            source, weights = op.required_input("input"), op.required_input("filter")
            groups = source.shape[3] // weights.shape[3]
            constants = float_weights(op) if is_float(op) else None
            if groups == 1:
                continue
            if constants is None:
                outcomes.append(
                    self.refusal(op, "the model is quantized already, or its weights are no constants")
                )
                continue
            if weights.shape[3] == 1:
                replacement = [_depthwise(rewriter, op, *constants)]
            else:
                replacement = _split(rewriter, op, groups, *constants)
            rewriter.replace(op, *replacement)
            outcomes.append(self.change([op], replacement))
        return outcomes


def _depthwise(rewriter: Rewriter, op: Op, weights: Array, bias: Array) -> Op:
    """Groups of one channel: filter [outputs, h, w, 1] becomes [1, h, w, outputs]."""
    channels = op.required_input("input").shape[3]
    attributes = with_attributes(op, depth_multiplier=weights.shape[0] // channels)
    filters = rewriter.constant(op.name, "weights", np.transpose(weights, (3, 1, 2, 0)))
    inputs: list[Tensor | None] = [op.inputs[0], filters, rewriter.constant(op.name, "bias", bias)]
    return Op("DEPTHWISE_CONV_2D", inputs, op.outputs, _known_to_depthwise(attributes))


def _known_to_depthwise(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name != "quantized_bias_type"}


def _split(rewriter: Rewriter, op: Op, groups: int, weights: Array, bias: Array) -> list[Op]:
    source = op.required_input("input")
    per_group = (*source.shape[:3], source.shape[3] // groups)
    parts = [rewriter.tensor(source, f"group_{g}", per_group) for g in range(groups)]
    filters, biases = np.split(weights, groups), np.split(bias, groups)
    convolutions = []
    for g in range(groups):
        constants = [
            rewriter.constant(op.name, f"weights_{g}", filters[g]),
            rewriter.constant(op.name, f"bias_{g}", biases[g]),
        ]
        result = rewriter.tensor(op.output, f"group_{g}", (*op.output.shape[:3], filters[g].shape[0]))
        convolutions.append(Op(op.kind, [parts[g], *constants], [result], dict(op.attributes)))
    axis = rewriter.constant(op.name, "axis", np.array(3, np.int32))
    together: dict[str, Any] = {"axis": 3, "fused_activation_function": "NONE"}
    return [
        Op("SPLIT", [axis, source], parts, {"num_splits": groups}),
        *convolutions,
        Op("CONCATENATION", [conv.output for conv in convolutions], op.outputs, together),
    ]
