"""A cut is named by the tensors that cross it, and bisection ends at the operator that breaks the compiler."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.compiler.cuts import Bisection, count_before, cut_tensors
from coralsmith.graph.model import Graph, Op
from coralsmith.graph.reader import read_tflite
from tests.compiler.chains import conv_chain, convolution


def branching() -> Graph:
    """stem -> left, right; left + right -> sum; right is an output too."""
    chain = conv_chain(1, name="stem")
    (stem,) = chain.ops
    left, right = convolution(stem.output, "left"), convolution(stem.output, "right")
    last = convolution(left.output, "last")
    total = Op("ADD", [left.output, right.output], [last.output], {"fused_activation_function": "NONE"})
    return Graph([stem, left, right, total], chain.inputs, [total.output, right.output])


@pytest.mark.parametrize(
    ("count", "names"),
    [(1, ("stem",)), (2, ("stem", "left")), (3, ("left", "right")), (4, ("right", "last"))],
)
def test_a_cut_is_what_the_first_operators_make_and_others_read(count, names):
    assert cut_tensors(branching(), count) == names


@pytest.mark.parametrize("name", ["a,{}", "line\n{}", ""])
def test_a_name_that_the_compiler_cannot_be_told_makes_no_cut(name):
    assert cut_tensors(conv_chain(4, name=name), 2) is None


def test_a_name_with_a_semicolon_makes_one():
    assert cut_tensors(conv_chain(4, name="a;b {}"), 2) == ("a;b 1",)


def test_a_cut_chosen_by_the_compiler_is_found_again():
    graph = branching()
    for count in (1, 2, 3):
        assert count_before(graph, cut_tensors(graph, count)[::-1]) == count
    assert count_before(graph, ["unheard of"]) is None


def test_every_cut_of_a_real_model_can_be_said(shared):
    graph = read_tflite(shared / "edgetpu/pairs/gcedgetpu__mobilenet_v2_1.0_224_quant/model.tflite")
    assert [count for count in range(1, len(graph.ops)) if cut_tensors(graph, count) is None] == []


@settings(max_examples=40)
@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))))
def test_bisection_names_the_operator_in_few_runs(case):
    length, culprit = case
    graph = conv_chain(length)
    bisection, runs = Bisection(graph, 0, length), 0
    while (cut := bisection.next_cut()) is not None:
        count, _ = cut
        bisection.note(count, compiles=culprit >= count)
        runs += 1
    assert bisection.suspects == (f"conv_{culprit}",)
    assert runs <= (length - 1).bit_length()


def test_where_no_cut_can_be_said_several_operators_stay_suspect():
    graph = conv_chain(6)
    graph.ops[2].output.name = "comma,"
    bisection = Bisection(graph, 2, 4)
    assert bisection.next_cut() is None
    assert bisection.suspects == ("comma,", "conv_3")
