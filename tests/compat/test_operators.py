"""Each kind of operator, in a minimal graph, runs where the table says, for every runtime."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compat import check_graph
from coralsmith.edgetpu.rules import rule_book
from coralsmith.edgetpu.statuses import MAPPED
from coralsmith.edgetpu.support import UNKNOWN
from tests.compat.operator_graphs import OPERATOR_GRAPHS

OPERATORS = rule_book().operators
RUNTIMES = range(10, 15)

# Their values are not of 8 bits, or not all of them, and the compiler names that first.
NAMED_BY_TYPE = {
    "ARG_MAX": "unsupported-data-type",
    "DEQUANTIZE": "float-output",
    "SELECT_V2": "unsupported-data-type",
}


def test_every_kind_has_a_graph():
    assert set(OPERATOR_GRAPHS) == set(OPERATORS)


@pytest.mark.parametrize("kind", sorted(OPERATORS))
def test_it_runs_where_the_table_says(kind):
    facts = OPERATORS[kind]
    fate = check_graph(OPERATOR_GRAPHS[kind](np.int8)).ops[-1]
    assert (fate.kind, fate.target) == (kind, facts.target)
    if facts.target == "edgetpu":
        assert (fate.status, fate.rule) == (MAPPED, None)
    elif facts.target == "cpu":
        expected = rule_book().rules[NAMED_BY_TYPE.get(kind, "operation-not-supported")]
        assert (fate.status, fate.rule) == (expected.status, expected.id)
    else:
        expected_id = "unknown-operator" if facts.is_unheard_of else "uncertain-operator"
        assert (fate.status, fate.rule) == (UNKNOWN, expected_id)


@pytest.mark.parametrize("kind", [kind for kind, facts in sorted(OPERATORS.items()) if facts.target == "edgetpu"])
def test_runtimes_older_than_the_operator_leave_it_or_are_unknown(kind):
    facts = OPERATORS[kind]
    graph = OPERATOR_GRAPHS[kind](np.uint8)
    for runtime in RUNTIMES:
        (fate,) = check_graph(graph, min_runtime=runtime).ops
        if runtime >= facts.since:
            assert (fate.target, fate.rule) == ("edgetpu", None), runtime
        else:
            older = "cpu" if facts.since_evidence == "documented" else "unknown"
            assert (fate.target, fate.rule) == (older, "operation-runtime"), runtime


@pytest.mark.parametrize("kind", ["CONV_2D", "RELU", "QUANTIZE", "LEAKY_RELU"])
@pytest.mark.parametrize("runtime", [10, 11])
def test_int8_asks_for_runtime_12_whatever_the_operator(kind, runtime):
    (fate,) = check_graph(OPERATOR_GRAPHS[kind](np.int8), min_runtime=runtime).ops
    assert (fate.target, fate.rule) == ("cpu", "int8-runtime")


def test_a_kind_that_nobody_has_heard_of_is_unknown_with_advice_where_there_is_some():
    (split,) = check_graph(OPERATOR_GRAPHS["SPLIT_V"](np.int8)).findings
    assert (split.rule, split.severity) == ("unknown-operator", "warning")
    assert split.fix == "Use SPLIT into equal parts, or SLICE."
