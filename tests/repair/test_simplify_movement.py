"""Operators that only move values become the simplest ones that move them so, however they were written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.repair.simplify_movement import SimplifyMovement
from tests.builders import activation, constant, graph, op
from tests.repair.helpers import applied, kinds, outputs, raw_op, refused

PASS = SimplifyMovement()
PLAIN = {"fused_activation_function": "NONE"}
SLICE = dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0)


class Chain:
    """A graph under construction: TANH, then operators one behind the other, then TANH again."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.source = activation("input", shape)
        self.ops = [op("TANH", [self.source], "entry")]

    @property
    def last(self) -> Tensor:
        return self.ops[-1].output

    def add(self, added: Op) -> Chain:
        self.ops.append(added)
        return self

    def name(self) -> str:
        return f"step_{len(self.ops)}"

    def reshape(self, *shape: int) -> Chain:
        return self.add(op("RESHAPE", [self.last, constant("shape", shape, np.int32)], self.name()))

    def transpose(self, *order: int) -> Chain:
        return self.add(op("TRANSPOSE", [self.last, constant("order", order, np.int32)], self.name()))

    def pack(self, copies: int, axis: int) -> Chain:
        return self.add(op("PACK", [self.last] * copies, self.name(), axis=axis, values_count=copies))

    def concatenate(self, copies: int, axis: int) -> Chain:
        return self.add(op("CONCATENATION", [self.last] * copies, self.name(), axis=axis, **PLAIN))

    def tile(self, *multiples: int) -> Chain:
        shape = tuple(size * times for size, times in zip(self.last.shape, multiples, strict=True))
        return self.add(raw_op("TILE", [self.last, constant("times", multiples, np.int32)], self.name(), shape))

    def times_ones(self, *shape: int) -> Chain:
        return self.add(op("MUL", [self.last, constant("ones", np.ones(shape), np.float32)], self.name(), **PLAIN))

    def strided_slice(self, begin: list[int], end: list[int], strides: list[int]) -> Chain:
        shape = tuple(len(range(*bounds)) for bounds in zip(begin, end, strides, strict=True))
        vectors = [constant(n, v, np.int32) for n, v in (("b", begin), ("e", end), ("s", strides))]
        return self.add(raw_op("STRIDED_SLICE", [self.last, *vectors], self.name(), shape, **SLICE))

    def graph(self) -> Graph:
        return graph([*self.ops, op("TANH", [self.last], "result")], [self.source])


def simplified(chain: Chain) -> list[str]:
    """The operators between the two TANH after the pass."""
    found = kinds(applied(PASS, chain.graph()))
    assert found[0] == found[-1] == "TANH"
    return found[1:-1]


def left(chain: Chain) -> list[str]:
    """The reasons why the pass leaves everything as it is."""
    return refused(PASS, chain.graph())


@pytest.mark.parametrize(
    "identity",
    [
        lambda c: c.reshape(1, 4, 6, 3),
        lambda c: c.transpose(0, 1, 2, 3),
        lambda c: c.strided_slice([0, 0, 0, 0], [1, 4, 6, 3], [1, 1, 1, 1]),
        lambda c: c.reshape(1, 72).reshape(1, 4, 6, 3),
        lambda c: c.transpose(0, 3, 1, 2).transpose(0, 2, 3, 1),
        lambda c: c.times_ones(1),
        lambda c: c.tile(1, 1, 1, 1),
        lambda c: c.concatenate(2, 1).strided_slice([0, 4, 0, 0], [1, 8, 6, 3], [1, 1, 1, 1]),
        lambda c: c.reshape(1, 2, 2, 6, 3).transpose(0, 2, 1, 3, 4).transpose(0, 2, 1, 3, 4).reshape(1, 4, 6, 3),
    ],
)
def test_identities_vanish(identity: Any) -> None:
    assert simplified(identity(Chain((1, 4, 6, 3)))) == []


@pytest.mark.parametrize(
    "reshaping",
    [
        lambda c: c.reshape(1, 24, 3).reshape(1, 72),
        lambda c: c.reshape(2, 2, 6, 3, 1).reshape(1, 24, 3),
        lambda c: c.transpose(1, 0, 2, 3),
        lambda c: c.add(raw_op("SQUEEZE", [c.last], "squeezed", (4, 6, 3), squeeze_dims=(0,))),
        lambda c: c.add(raw_op("EXPAND_DIMS", [c.last, constant("axis", 0, np.int32)], "more", (1, 1, 4, 6, 3))),
    ],
)
def test_what_keeps_the_order_of_the_values_is_one_reshape(reshaping: Any) -> None:
    assert simplified(reshaping(Chain((1, 4, 6, 3)))) == ["RESHAPE"]


@pytest.mark.parametrize(
    "upsampling",
    [
        lambda c: c.pack(2, 3).pack(2, 2).reshape(1, 8, 12, 3),
        lambda c: c.reshape(1, 4, 1, 6, 1, 3).tile(1, 1, 2, 1, 2, 1).reshape(1, 8, 12, 3),
        lambda c: c.reshape(1, 4, 1, 6, 1, 3).times_ones(1, 1, 2, 1, 2, 1).reshape(1, 8, 12, 3),
        lambda c: c.concatenate(2, 3).reshape(1, 4, 12, 3).concatenate(2, 2).reshape(1, 8, 12, 3),
    ],
)
def test_nearest_upsampling_is_one_resize(upsampling: Any) -> None:
    assert simplified(upsampling(Chain((1, 4, 6, 3)))) == ["RESIZE_NEAREST_NEIGHBOR"]


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 5), width=st.integers(1, 5), down=st.integers(1, 4), across=st.integers(1, 4))
def test_upsampling_by_any_whole_factors_is_recognised(height: int, width: int, down: int, across: int) -> None:
    chain = Chain((1, height, width, 2)).reshape(1, height, 1, width, 1, 2)
    chain = chain.tile(1, 1, down, 1, across, 1).reshape(1, height * down, width * across, 2)
    expected = ["RESIZE_NEAREST_NEIGHBOR"] if down * across > 1 else []
    assert simplified(chain) == expected


def test_tiling_is_not_taken_for_upsampling() -> None:
    assert left(Chain((1, 4, 6, 3)).tile(1, 2, 2, 1)) == []


def test_a_slice_that_leaves_something_out_stays() -> None:
    assert left(Chain((1, 4, 6, 3)).strided_slice([0, 0, 0, 0], [1, 4, 6, 3], [1, 2, 2, 1])) == []


def test_reversing_is_not_taken_for_an_identity() -> None:
    chain = Chain((1, 4, 6, 3))
    left(chain.add(raw_op("REVERSE_V2", [chain.last, constant("axis", [1], np.int32)], "mirror", (1, 4, 6, 3))))


def test_a_transpose_that_is_needed_stays_and_says_so() -> None:
    reasons = left(Chain((1, 4, 6, 3)).transpose(0, 3, 1, 2))
    assert reasons == ["it moves values, and no simpler operator moves them so"]


def test_two_transpositions_become_one() -> None:
    assert simplified(Chain((1, 4, 6, 3)).transpose(0, 3, 1, 2).transpose(0, 1, 3, 2)) == ["TRANSPOSE"]


def test_a_channel_shuffle_needs_no_fifth_dimension() -> None:
    shuffle = Chain((1, 4, 6, 8)).reshape(1, 4, 6, 2, 4).transpose(0, 1, 2, 4, 3).reshape(1, 4, 6, 8)
    assert simplified(shuffle) == ["RESHAPE", "TRANSPOSE", "RESHAPE"]
    result = applied(PASS, shuffle.graph())
    assert max(len(tensor.shape) for step in result.ops for tensor in step.outputs) <= 4


def test_the_head_of_a_pytorch_ssd_needs_no_fifth_dimension() -> None:
    """[1, anchors * values, h, w] to [1, h * w * anchors, values], as torchvision writes it."""
    head = Chain((1, 5, 6, 24)).transpose(0, 3, 1, 2).reshape(1, 6, 4, 5, 6).transpose(0, 3, 4, 1, 2)
    assert simplified(head.reshape(1, 180, 4)) == ["RESHAPE"]


def test_a_constant_that_is_joined_is_not_taken_for_moved_values() -> None:
    """The zero of the constant must not pass for the address of the first value."""
    chain = Chain((1, 3))
    first = raw_op("STRIDED_SLICE", [chain.last, *(constant(n, v, np.int32) for n, v in
                   (("b", [0, 1]), ("e", [1, 3]), ("s", [1, 1])))], "tail", (1, 2), **SLICE)  # fmt: skip
    joined = op("CONCATENATION", [constant("zero", [[0.0]], np.float32), first.output], "joined", axis=1, **PLAIN)
    left(chain.add(first).add(joined))


def test_a_value_that_others_read_stays() -> None:
    chain = Chain((1, 4, 6, 3)).reshape(1, 24, 3)
    middle = chain.last
    chain = chain.reshape(1, 72)
    model = chain.graph()
    model.outputs.append(middle)
    assert refused(PASS, model) == []


def test_an_identity_between_input_and_output_of_the_graph_stays() -> None:
    source = activation("input", (1, 4))
    refused(PASS, graph([op("RESHAPE", [source, constant("s", (1, 4), np.int32)], "result")], [source]))


def test_the_name_of_an_output_outlives_the_operator_that_wrote_it() -> None:
    chain = Chain((1, 4)).reshape(1, 4)
    model = graph(chain.ops, [chain.source])
    result = applied(PASS, model)
    assert kinds(result) == ["TANH"]
    assert result.outputs[0].name == chain.last.name


def test_a_requantization_is_not_taken_for_an_identity() -> None:
    source = activation("input", (1, 4), np.int8, Quant.per_tensor(0.1, 0))
    doubled = op("RESHAPE", [source, constant("s", (1, 4), np.int32)], "result")
    doubled.output.quant = Quant.per_tensor(0.2, 0)
    end = op("LOGISTIC", [doubled.output], "end")
    end.output.quant = Quant.per_tensor(1 / 256, -128)
    refused(PASS, graph([doubled, end], [source]))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_chain_of_reshapes_and_transpositions_keeps_its_values(data: st.DataObject) -> None:
    chain = Chain((1, 4, 6, 3))
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            chain.reshape(
                *data.draw(st.sampled_from([(1, 72), (4, 6, 3), (1, 8, 9), (1, 2, 2, 6, 3), (1, 4, 6, 3)]))
            )
        else:
            chain.transpose(*data.draw(st.permutations(range(len(chain.last.shape)))))
    model = chain.graph()
    result = model.copy()
    PASS.apply(result)
    result.verify("the pass")
    assert len(result.ops) <= len(model.ops) + 1
    values = [np.random.default_rng(0).standard_normal(model.inputs[0].shape).astype(np.float32)]
    np.testing.assert_array_equal(outputs(result, values)[0], outputs(model, values)[0])
