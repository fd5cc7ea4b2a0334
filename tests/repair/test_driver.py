"""The driver proves each pass on the interpreter, drops what fails, and tells what the user should know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from coralsmith.errors import GraphInvariantError
from coralsmith.graph import Attribute, Graph, Op
from coralsmith.repair import Change, Refusal, RepairPass, repair
from coralsmith.repair.samples import EXACT_TOLERANCE, Difference, Samples
from coralsmith.repair.workbench import MAX_ROUNDS, Workbench
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant
from tests.repair.helpers import assert_same_function, kinds, raw_op

PLAIN = {"fused_activation_function": "NONE"}


def swish_net(kind: str = "HARD_SWISH", **attributes: Attribute) -> Graph:
    """Convolution, an activation, convolution."""
    source = activation("input", (1, 8, 8, 3))
    first = op(
        "CONV_2D",
        [source, random_constant("w1", (4, 3, 3, 3)), random_constant("b1", (4,))],
        "first",
        **CONVOLUTION,
    )
    act = op(kind, [first.output], "act", **attributes)
    last = op(
        "CONV_2D",
        [act.output, random_constant("w2", (2, 3, 3, 4)), random_constant("b2", (2,))],
        "last",
        **CONVOLUTION,
    )
    return graph([first, act, last], [source])


@dataclass(frozen=True)
class Lie(RepairPass):
    """Claims to be exact, but doubles the result."""

    name = "lie"
    reason = "for the test"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        last = graph.ops[-1]
        inner = Op(last.kind, last.inputs, [activation("inner", last.output.shape)], last.attributes)
        graph.ops[-1:] = [inner, Op("ADD", [inner.output] * 2, last.outputs, dict(PLAIN))]
        return [self.change([last], graph.ops[-2:])]


@dataclass(frozen=True)
class Breaker(Lie):
    """Leaves an invalid graph behind."""

    name = "breaker"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        removed = graph.ops.pop()
        return [self.change([removed], [])]


@dataclass(frozen=True)
class Restless(Lie):
    """Puts an identity behind the last operator, again and again."""

    name = "restless"

    def apply(self, graph: Graph) -> list[Change | Refusal]:
        last = graph.ops[-1]
        inner = Op(
            last.kind, last.inputs, [activation(graph.unique_name("inner"), last.output.shape)], last.attributes
        )
        graph.ops[-1:] = [
            inner,
            Op("ADD", [inner.output, constant("zero", 0.0, np.float32)], last.outputs, dict(PLAIN)),
        ]
        return [self.change([last], graph.ops[-2:])]


@dataclass(frozen=True)
class Declared(Lie):
    """Doubles the result, and says that it is not exact."""

    name = "declared"
    exact = False


def workbench(model: Graph) -> Workbench:
    return Workbench(model, Samples.of(model, None))


def test_a_pass_that_changes_the_outputs_is_dropped_and_named() -> None:
    model = swish_net()
    bench = workbench(model)
    bench.run([Lie()])
    assert bench.graph is model and bench.changes == []
    (finding,) = bench.findings
    assert finding.rule == "repair-not-proved" and "'lie'" in finding.reason


def test_a_pass_that_breaks_the_graph_is_a_bug_that_names_itself() -> None:
    with pytest.raises(GraphInvariantError, match="breaker"):
        workbench(swish_net()).run([Breaker()])


def test_a_pass_that_never_ends_is_stopped() -> None:
    bench = workbench(swish_net())
    bench.run([Restless()])
    assert len(bench.changes) == MAX_ROUNDS
    assert [finding.rule for finding in bench.findings] == ["repair-unfinished"]


def test_an_approximate_pass_is_kept_with_its_measured_difference() -> None:
    bench = workbench(swish_net())
    assert bench.attempt(Declared()) == "changed"
    (change,) = bench.changes
    assert (
        change.worst_difference == pytest.approx(bench.total_difference().worst) and change.worst_difference > 0.1
    )
    assert change.sqnr == pytest.approx(0.0, abs=1e-6)  # the error is as large as the signal


def test_hard_swish_ends_in_operators_that_map_and_the_convolution_absorbs_the_sixth() -> None:
    model = swish_net()
    result = repair(model)
    assert kinds(result.graph) == ["CONV_2D", "ADD", "MUL", "CONV_2D"]
    assert_same_function(model, result.graph)
    assert all(c.worst_difference is not None and c.worst_difference <= EXACT_TOLERANCE for c in result.changes)


def test_the_graph_given_is_untouched() -> None:
    model = swish_net()
    repair(model)
    assert kinds(model) == ["CONV_2D", "HARD_SWISH", "CONV_2D"]


def test_an_inserted_mul_is_told_with_its_evidence() -> None:
    (finding,) = repair(swish_net()).findings
    assert finding.rule == "repair-inserted-mul" and "users report" in finding.reason.lower()
    assert finding.measured == "1 MUL operators" and "377" in finding.evidence


def test_mode_off_changes_nothing() -> None:
    result = repair(swish_net(), "off")
    assert kinds(result.graph) == ["CONV_2D", "HARD_SWISH", "CONV_2D"]
    assert not result.changes and not result.findings


@pytest.mark.parametrize("kind", ["HARD_SWISH", "LEAKY_RELU", "ELU"])
def test_mode_approx_swaps_activations_and_measures_the_loss(kind: str) -> None:
    result = repair(swish_net(kind, **({"alpha": 0.2} if kind == "LEAKY_RELU" else {})), "approx")
    assert kinds(result.graph) == ["CONV_2D", "CONV_2D"]
    swap = next(change for change in result.changes if change.pass_name == "swap-activation")
    assert not swap.exact and swap.sqnr is not None and 0 < swap.sqnr < 60
    assert [finding.rule for finding in result.findings] == ["repair-approximate"]


def test_silu_is_swapped_in_mode_approx_only() -> None:
    source = activation("input", (1, 4, 4, 3))
    gate = op("LOGISTIC", [source], "gate")
    model = graph([gate, op("MUL", [source, gate.output], "silu", **PLAIN)], [source])
    assert kinds(repair(model).graph) == ["LOGISTIC", "MUL"]
    assert kinds(repair(model, "approx").graph)[0].startswith("RELU")


def test_the_nearer_rectifier_is_chosen() -> None:
    """Far above 6, hard-swish is the identity: RELU; inputs below 6 cannot tell RELU6 from RELU."""
    source = activation("input", (1, 100))
    model = graph([op("HARD_SWISH", [source], "result")], [source])
    wide = [np.linspace(-4, 40, 100, dtype=np.float32).reshape(1, 100)]
    assert kinds(repair(model, "approx", inputs=[wide]).graph) == ["RELU"]


def test_what_only_an_approximation_can_repair_is_refused_with_the_way_out() -> None:
    result = repair(swish_net("ELU"))
    assert "ELU" in kinds(result.graph)
    assert [(r.op.kind, "--repair approx" in r.reason) for r in result.refused] == [("ELU", True)]
    (finding,) = result.findings
    assert finding.rule == "repair-left-activation" and "--repair approx" in finding.fix


def test_gelu_with_the_error_function_needs_mode_approx() -> None:
    model = swish_net("GELU", approximate=False)
    assert "GELU" in kinds(repair(model).graph)
    result = repair(model, "approx")
    assert "GELU" not in kinds(result.graph)
    assert result.difference is not None and result.difference.worst < 1e-3


def test_outputs_that_are_not_used_go() -> None:
    model = swish_net()
    model.outputs.append(model.ops[0].output)
    result = repair(model, used_outputs=["last"])
    assert [tensor.name for tensor in result.graph.outputs] == ["last"]
    assert result.changes[0].pass_name == "unused-outputs"


def test_a_model_that_the_interpreter_cannot_run_is_left_alone_and_says_so() -> None:
    source = activation("input", (1, 4))
    unknown = raw_op("CUSTOM", [source], "result", (1, 4))
    unknown.custom_code = "NobodyKnowsThisOperator"
    result = repair(graph([unknown], [source]))
    assert [finding.rule for finding in result.findings] == ["repair-impossible"]
    assert kinds(result.graph) == ["CUSTOM"]


def test_repairing_twice_changes_nothing_more() -> None:
    assert repair(repair(swish_net()).graph).changes == []


def test_not_a_number_is_no_proof() -> None:
    good, bad = np.ones((1, 2), np.float32), np.array([[1, np.nan]], np.float32)
    assert not Difference.between([good], [bad]).is_rounding
    assert Difference.between([bad], [bad]).is_rounding


def test_the_difference_counts_in_parts_of_the_outputs_range() -> None:
    reference, found = np.array([[0.0, 50.0]]), np.array([[0.5, 50.0]])
    assert Difference.between([reference], [found]).worst == pytest.approx(0.01)
