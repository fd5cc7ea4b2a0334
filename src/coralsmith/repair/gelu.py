"""GELU in operators that the Edge TPU has.

The tanh form of GELU (Hendrycks and Gimpel 2016), 0.5 x (1 + tanh(u)) with u = sqrt(2/pi) (x + 0.044715 x^3),
is x * sigmoid(2u), because 0.5 (1 + tanh(u)) = sigmoid(2u): two operators fewer than with TANH. The operator
itself is newer than the compiler ("Op builtin_code out of range: 150").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import arithmetic, is_float
from coralsmith.repair.rewriter import Rewriter

_LINEAR: Final = 2.0 * np.sqrt(2.0 / np.pi)
_CUBIC: Final = 0.044715 * _LINEAR


@dataclass(frozen=True)
class ExpandGelu(RepairPass):
    """GELU in its tanh form becomes MUL, ADD and LOGISTIC."""

    name = "expand-gelu"
    reason = "the tanh form of GELU is x * sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        return _apply(self, graph, tanh_form=True)


@dataclass(frozen=True)
class ApproximateGelu(RepairPass):
    """GELU with the error function becomes the tanh form, which is off by at most 5e-4."""

    name = "approximate-gelu"
    reason = "the tanh form differs from GELU with the error function by at most 5e-4"
    exact = False

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        return _apply(self, graph, tanh_form=False)


def _apply(repair: RepairPass, graph: Graph, *, tanh_form: bool) -> list[Change | Refusal]:
    rewriter = Rewriter(graph)
    changes: list[Change | Refusal] = []
    for op in rewriter.ops("GELU"):
        source = op.inputs[0]
        if source is None or not is_float(op) or bool(op.attributes.get("approximate")) != tanh_form:
            continue
        expanded = _expand(rewriter, op, source)
        rewriter.replace(op, *expanded)
        changes.append(repair.change([op], expanded))
    return changes


def _expand(rewriter: Rewriter, op: Op, source: Tensor) -> list[Op]:
    cubic = rewriter.number(op.name, "cubic", _CUBIC)
    linear = rewriter.number(op.name, "linear", _LINEAR)
    square, scaled, slope, argument, gate = (
        rewriter.tensor(op.output, name) for name in ("square", "scaled", "slope", "argument", "gate")
    )
    return [
        arithmetic("MUL", source, source, square),
        arithmetic("MUL", square, cubic, scaled),
        arithmetic("ADD", scaled, linear, slope),
        arithmetic("MUL", source, slope, argument),
        Op("LOGISTIC", [argument], [gate]),
        arithmetic("MUL", source, gate, op.output),
    ]
