"""LEAKY_RELU, and PRELU that does not map, in one of two forms that the Edge TPU has.

PRELU with a constant 1-D alpha is documented for runtime 13 and later. The other form, relu(x) - relu(-alpha x),
lets each branch keep a scale of its own. Which one loses less in 8 bits is measured, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from coralsmith.graph import Array, Graph, Op, Tensor
from coralsmith.repair.int8_error import int8_sqnr
from coralsmith.repair.passes import Change, Refusal, RepairPass
from coralsmith.repair.patterns import arithmetic, is_float, per_channel
from coralsmith.repair.rewriter import Rewriter
from coralsmith.repair.samples import Samples

PRELU_RUNTIME: Final = 13

Measure = Callable[[Graph, Sequence[Array]], float]


@dataclass(frozen=True)
class ReplaceLeakyRelu(RepairPass):
    """Puts the better of both forms in the place of each LEAKY_RELU and each PRELU that does not map.

    Attributes:
        samples: Inputs of the model; the forms are compared on what the operator sees of them.
        min_runtime: Oldest Edge TPU runtime that the model shall run on.
        measure: Signal-to-noise ratio in dB of a form, a graph of one input and one output, in 8 bits.
    """

    name = "replace-leaky-relu"
    reason = "leaky ReLU is relu(x) - relu(-alpha x) for alpha >= 0, which is also what PRELU computes"

    samples: Samples
    min_runtime: int = 14
    measure: Measure = field(default=int8_sqnr, compare=False)

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        """See the class."""
        rewriter = Rewriter(graph)
        outcomes: list[Change | Refusal] = []
        found: dict[Op, tuple[Tensor, Array]] = {}
        for op in rewriter.ops("LEAKY_RELU", "PRELU"):
            slopes = _slopes(op)
            if op.kind == "PRELU" and self._maps(slopes):
                continue
            if isinstance(slopes, str):
                outcomes.append(self.refusal(op, slopes))
            else:
                found[op] = slopes
        captured = self.samples.values(graph, [source for source, _ in found.values()]) if found else {}
        for op, (source, alpha) in found.items():
            outcomes.append(self._replace(rewriter, op, source, alpha, captured[source]))
        return outcomes

    def _maps(self, slopes: tuple[Tensor, Array] | str) -> bool:
        """Whether a PRELU with these slopes runs on the Edge TPU as it is."""
        return self.min_runtime >= PRELU_RUNTIME and not isinstance(slopes, str)

    def _replace(
        self, rewriter: Rewriter, op: Op, source: Tensor, alpha: Array, values: Sequence[Array]
    ) -> Change:
        forms = {"two branches": _two_branches}
        if self.min_runtime >= PRELU_RUNTIME:
            forms["PRELU"] = _prelu
        sqnr = {name: self.measure(_alone(form, op, source, alpha), values) for name, form in forms.items()}
        best = max(sqnr, key=sqnr.__getitem__)
        replacement = forms[best](rewriter, op, source, alpha)
        rewriter.replace(op, *replacement)
        figures = ", ".join(f"{name} {value:.1f} dB" for name, value in sqnr.items())
        return self.change([op], replacement, f"{self.reason}; in 8 bits on the samples: {figures}")


def _slopes(op: Op) -> tuple[Tensor, Array] | str:
    """The input of a leaky ReLU and its slope for each channel, [channels]; or why it has none."""
    source = op.inputs[0]
    if source is None or not is_float(op):
        return "the model is quantized already: repair the float model"
    channels = source.shape[-1] if source.shape else 1
    if op.kind == "LEAKY_RELU":
        slope = op.attributes.get("alpha")
        alpha = np.full(channels, slope if isinstance(slope, float) else 0.0)
    else:
        found = per_channel(op.required_input("alpha"), channels)
        if found is None:
            return "its alpha is not one constant for each channel"
        alpha = found
    if np.any(alpha < 0):
        return "its alpha is negative"
    return source, alpha.astype(np.float32)


def _prelu(rewriter: Rewriter, op: Op, source: Tensor, alpha: Array) -> list[Op]:
    return [Op("PRELU", [source, rewriter.constant(op.name, "alpha", alpha)], op.outputs)]


def _two_branches(rewriter: Rewriter, op: Op, source: Tensor, alpha: Array) -> list[Op]:
    slopes = rewriter.constant(op.name, "minus_alpha", -alpha if np.ptp(alpha) else -alpha[0])
    positive, negative = rewriter.tensor(op.output, "positive"), rewriter.tensor(op.output, "negative")
    return [
        Op("RELU", [source], [positive]),
        arithmetic("MUL", source, slopes, negative, "RELU"),
        arithmetic("SUB", positive, negative, op.output),
    ]


def _alone(form: Callable[[Rewriter, Op, Tensor, Array], list[Op]], op: Op, source: Tensor, alpha: Array) -> Graph:
    """One form of the operator as a graph of its own."""
    entry = Tensor("input", source.shape, source.dtype)
    result = Tensor("output", op.output.shape, op.output.dtype)
    stand_in = Op(op.kind, [entry], [result])
    graph = Graph([stand_in], [entry], [result])
    rewriter = Rewriter(graph)
    rewriter.replace(stand_in, *form(rewriter, stand_in, entry, alpha))
    return graph
