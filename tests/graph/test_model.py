"""The common form itself: what quantization means, and what a graph can be asked and told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralsmith.errors import GraphInvariantError
from coralsmith.graph import Graph, Op, Quant, Tensor
from tests.builders import activation, constant, conv_graph, graph, op

scales = st.floats(2**-10, 2**3, width=32)


@given(scale=scales, zero_point=st.integers(-128, 127))
def test_integers_survive_the_way_to_real_numbers_and_back(scale, zero_point):
    quant = Quant.per_tensor(scale, zero_point)
    integers = np.arange(-128, 128, dtype=np.int8)
    assert np.array_equal(quant.quantize(quant.dequantize(integers), np.dtype(np.int8)), integers)


@given(scale=scales, zero_point=st.integers(0, 255), real=st.floats(-1e4, 1e4, width=32))
def test_a_real_number_moves_by_at_most_half_a_step_or_to_the_end_of_the_range(scale, zero_point, real):
    quant = Quant.per_tensor(scale, zero_point)
    low, high = (quant.dequantize(np.array([end], np.uint8))[0] for end in (0, 255))
    (back,) = quant.dequantize(quant.quantize(np.array([real], np.float32), np.dtype(np.uint8)))
    assert abs(back - np.clip(real, low, high)) <= scale / 2 * 1.0001


def test_ties_go_to_the_even_integer():
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32)
    assert Quant.per_tensor(1.0, 0).quantize(halves, np.dtype(np.int8)).tolist() == [0, 2, 2, 0, -2]


def test_each_channel_has_its_own_scale():
    quant = Quant(np.array([1.0, 10.0], np.float32), np.array([0, 1]), axis=1)
    assert quant.dequantize(np.ones((2, 2), np.int8)).tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_quantizations_are_the_same_where_integers_mean_the_same():
    first = Quant.per_tensor(0.5, 3)
    assert first.same_as(Quant(first.scale.copy(), first.zero_point.copy(), axis=2))
    assert not first.same_as(Quant.per_tensor(0.5, 4))
    assert not first.same_as(None)
    channels = np.ones(2, np.float32), np.zeros(2, np.int64)
    assert not Quant(*channels, axis=0).same_as(Quant(*channels, axis=1))


def test_constants_cannot_be_written_to():
    tensor = Tensor.constant("weights", np.zeros((2, 2), np.float32))
    assert tensor.data is not None
    with pytest.raises(ValueError, match="read-only"):
        tensor.data[0, 0] = 1


def test_a_constant_leaves_the_array_that_it_was_made_of_alone():
    array = np.zeros(3, np.float32)
    Tensor.constant("weights", array)
    array[0] = 1


def test_elements_of_absurd_shapes_are_counted_exactly():
    assert Tensor("huge", (1 << 31,) * 4, np.dtype(np.int8)).elements == 1 << 124


def test_inputs_are_found_by_their_role():
    (conv,) = conv_graph().ops
    assert conv.input("bias") is conv.inputs[2]
    assert conv.required_input("filter") is conv.inputs[1]
    conv.inputs = conv.inputs[:2]
    assert conv.input("bias") is None
    with pytest.raises(KeyError, match="lacks its input 'bias'"):
        conv.required_input("bias")
    with pytest.raises(KeyError, match="no input called 'alpha'"):
        conv.input("alpha")


def chain(*kinds: str) -> Graph:
    """Operators of one input, one behind the other."""
    source = activation("input", (1, 4))
    ops: list[Op] = []
    for number, kind in enumerate(kinds):
        ops.append(op(kind, [ops[-1].output if ops else source], f"value{number}"))
    return graph(ops, [source])


def test_edges_are_shared_tensors():
    model = chain("RELU", "TANH")
    relu, tanh = model.ops
    assert model.producers()[relu.output] is relu
    assert model.consumers()[relu.output] == [tanh]
    assert model.tensors() == [model.inputs[0], relu.output, tanh.output]


def test_tensors_are_found_by_name_only_where_the_name_is_unique():
    model = chain("RELU", "TANH")
    assert model.tensor("value0") is model.ops[0].output
    model.ops[1].output.name = "value0"
    for name in ("value0", "nothing"):
        with pytest.raises(KeyError):
            model.tensor(name)


def test_replacing_a_tensor_reaches_readers_and_outputs():
    model = chain("RELU", "TANH")
    relu, tanh = model.ops
    model.outputs.append(relu.output)
    model.replace_tensor(relu.output, model.inputs[0])
    assert tanh.inputs == [model.inputs[0]]
    assert model.outputs == [tanh.output, model.inputs[0]]


def test_pruning_removes_what_reaches_no_output():
    model = chain("RELU", "TANH", "EXP")
    model.outputs = [model.ops[0].output]
    model.prune()
    assert [operator.kind for operator in model.ops] == ["RELU"]


def test_new_names_do_not_clash():
    model = chain("RELU", "TANH")
    assert model.unique_name("fresh") == "fresh"
    assert model.unique_name("value0") == "value0_1"


def test_a_copy_shares_constants_and_nothing_else():
    model = conv_graph()
    copy = model.copy()
    assert not set(copy.tensors()) & set(model.tensors())
    assert copy.ops[0].inputs[1].data is model.ops[0].inputs[1].data
    copy.ops[0].attributes["stride_w"] = 2
    copy.ops[0].inputs[2] = constant("other", [0.0])
    copy.outputs[0].shape = (9,)
    model.verify("changing its copy")
    assert model.ops[0].attributes["stride_w"] == 1


def test_a_broken_graph_names_the_step_that_broke_it():
    model = chain("RELU", "TANH")
    model.ops.reverse()
    with pytest.raises(
        GraphInvariantError, match="After folding the graph is broken: TANH 'value1' reads 'value0'"
    ):
        model.verify("folding")
