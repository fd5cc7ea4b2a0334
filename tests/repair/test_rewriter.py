"""Replacing an operator keeps the graph consistent and removes what it alone needed."""

from __future__ import annotations

from coralsmith.graph import Graph, Op, Tensor
from coralsmith.repair.rewriter import Rewriter
from tests.builders import activation, graph, op
from tests.repair.helpers import kinds


def chain(*steps: str) -> Graph:
    """One unary operator behind the other, each writing a tensor called like itself."""
    source = activation("input", (1, 4))
    ops: list[Op] = []
    for kind in steps:
        ops.append(op(kind, [ops[-1].output if ops else source], kind.lower()))
    return graph(ops, [source])


def reader_of(tensor: Tensor, kind: str) -> Op:
    return op(kind, [tensor], f"{tensor.name}_{kind.lower()}")


def test_operators_that_only_the_replaced_one_needed_go_with_it() -> None:
    model = chain("TANH", "RELU", "LOGISTIC")
    rewriter = Rewriter(model)
    last = model.ops[-1]
    rewriter.replace(last, Op("ABS", [model.inputs[0]], last.outputs))
    model.verify("replacing")
    assert kinds(model) == ["ABS"]


def test_operators_that_others_need_stay() -> None:
    model = chain("TANH", "RELU", "LOGISTIC")
    model.outputs.append(model.ops[0].output)
    rewriter = Rewriter(model)
    last = model.ops[-1]
    rewriter.replace(last, Op("ABS", [model.inputs[0]], last.outputs))
    assert kinds(model) == ["TANH", "ABS"]


def test_a_new_operator_is_known_at_once() -> None:
    model = chain("TANH", "RELU")
    rewriter = Rewriter(model)
    old, last = model.ops
    new = Op("ABS", list(old.inputs), old.outputs)
    rewriter.replace(old, new)
    assert rewriter.producer(last.inputs[0]) is new
    assert list(rewriter.ops("TANH")) == []
    assert rewriter.readers(model.inputs[0]) == (new,)


def test_readers_of_a_bypassed_operator_read_its_source() -> None:
    model = chain("TANH", "RELU", "LOGISTIC")
    rewriter = Rewriter(model)
    first, middle, last = model.ops
    assert rewriter.bypass(middle, first.output)
    model.verify("bypassing")
    assert last.inputs == [first.output] and rewriter.readers(first.output) == (last,)


def test_a_bypassed_output_leaves_its_name_to_the_operator_before() -> None:
    model = chain("TANH", "RELU")
    first, last = model.ops
    side = reader_of(first.output, "LOGISTIC")
    model.ops.insert(1, side)
    model.outputs.append(side.output)
    rewriter = Rewriter(model)
    assert rewriter.bypass(last, first.output)
    model.verify("bypassing")
    assert first.output.name == "relu" and side.inputs == [first.output]


def test_an_output_that_is_the_input_cannot_be_bypassed() -> None:
    model = chain("RELU")
    assert not Rewriter(model).bypass(model.ops[0], model.inputs[0])
    assert kinds(model) == ["RELU"]


def test_names_are_given_once() -> None:
    model = chain("TANH")
    rewriter = Rewriter(model)
    names = [rewriter.tensor(model.inputs[0], "part").name for _ in range(3)]
    assert names == ["input/part", "input/part_1", "input/part_2"]
