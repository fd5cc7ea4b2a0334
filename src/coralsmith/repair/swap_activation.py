"""Swaps smooth activations for RELU or RELU6: cheaper on the Edge TPU, but no longer the same function.

Without training afterwards this costs accuracy, so it is opt-in and its effect is measured. GELU is not among
them: its tanh form maps and is nearly exact (see `gelu`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import is_float
from coralsmith.repair.rewriter import Rewriter
from coralsmith.repair.samples import Samples, signal_to_noise

_SMOOTH: Final = ("HARD_SWISH", "LEAKY_RELU", "ELU")
_CEILINGS: Final = {"RELU": np.inf, "RELU6": 6.0}


@dataclass(frozen=True)
class SwapActivation(RepairPass):
    """HARD_SWISH, SiLU, LEAKY_RELU and ELU become RELU or RELU6, whichever is nearer on the samples.

    Attributes:
        samples: Inputs of the model; nearness is judged on what each activation sees of them.
    """

    name = "swap-activation"
    reason = "a rectifier costs nothing behind a convolution; it changes the result"
    exact = False

    samples: Samples

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        smooth = dict(_smooth_activations(rewriter))
        if not smooth:
            return []
        tensors = {tensor: None for op, source in smooth.items() for tensor in (source, op.output)}
        values = self.samples.values(graph, list(tensors))
        changes: list[Change | Refusal] = []
        for op, source in smooth.items():
            kind = _nearest(values[source], values[op.output])
            swapped = Op(kind, [source], op.outputs)
            rewriter.replace(op, swapped)
            changes.append(self.change([op], [swapped]))
        return changes


def _smooth_activations(rewriter: Rewriter) -> list[tuple[Op, Tensor]]:
    """Each smooth activation, by the operator that writes its result, and what it is applied to."""
    found = []
    for op in rewriter.ops(*_SMOOTH, "MUL"):
        source = _silu_argument(rewriter, op) if op.kind == "MUL" else op.inputs[0]
        if source is not None and is_float(op):
            found.append((op, source))
    return found


def _silu_argument(rewriter: Rewriter, op: Op) -> Tensor | None:
    """x, where `op` computes x * sigmoid(x)."""
    for value, gate in (op.inputs, op.inputs[::-1]):
        producer = rewriter.producer(gate)
        if producer is not None and producer.kind == "LOGISTIC" and producer.inputs[0] is value:
            return value
    return None


def _nearest(inputs: list[Array], outputs: list[Array]) -> str:
    """The rectifier whose results on `inputs` are nearest to `outputs`."""

    def fidelity(kind: str) -> float:
        return signal_to_noise(outputs, [np.clip(values, 0.0, _CEILINGS[kind]) for values in inputs])

    return max(_CEILINGS, key=fidelity)
