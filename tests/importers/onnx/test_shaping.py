"""Shapes, parts and the layout of the whole graph against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coralsmith.importers.onnx.regrouping import regrouped
from coralsmith.importers.onnx.values import Value
from tests.builders import activation
from tests.importers.onnx.models import compared, kinds, model, node, noise, one


def head(shape: list[int], *, transposed_first: bool) -> list[str]:
    """The kinds of a head of 2 boxes of 5 numbers for each place, in one of the two usual spellings."""
    constants = {"w": noise(10, 3, 1, 1), "s": np.array(shape)}
    if transposed_first:
        nodes = [
            node("Conv", ["x", "w"], "c"),
            node("Transpose", ["c"], "t", perm=[0, 2, 3, 1]),
            node("Reshape", ["t", "s"]),
        ]
    else:
        constants["view"] = np.array([1, 2, 5, 8, 10])
        nodes = [
            node("Conv", ["x", "w"], "c"),
            node("Reshape", ["c", "view"], "v"),
            node("Transpose", ["v"], "t", perm=[0, 3, 4, 1, 2]),
            node("Reshape", ["t", "s"]),
        ]
    graph = compared(model(nodes, constants))
    assert graph.outputs[0].shape == (1, 160, 5)
    return kinds(graph)


@pytest.mark.parametrize("shape", [[1, -1, 5], [0, 160, 5], [-1, 160, 5]])
def test_a_head_of_permute_and_view_is_one_reshape(shape: list[int]) -> None:
    assert head(shape, transposed_first=True) == ["CONV_2D", "RESHAPE"]


def test_a_head_of_view_permute_and_reshape_is_one_reshape() -> None:
    assert head([1, -1, 5], transposed_first=False) == ["CONV_2D", "RESHAPE"]


def test_the_shape_arithmetic_of_exporters_is_constant() -> None:
    """view(x.size(0), -1, 5) as the TorchScript exporter writes it."""
    nodes = [
        node("Transpose", ["x"], "t", perm=[0, 2, 3, 1]),
        node("Shape", ["t"], "shape"),
        node("Gather", ["shape", "zero"], "batch", axis=0),
        node("Unsqueeze", ["batch", "axes"], "b"),
        node("Concat", ["b", "rest"], "s", axis=0),
        node("Reshape", ["t", "s"]),
    ]
    constants = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1, 5])}
    assert kinds(compared(model(nodes, constants))) == ["RESHAPE"]


def test_a_reshape_of_channels_before_places_must_move_them() -> None:
    assert kinds(one("Reshape", {"s": np.array([1, -1, 5])})) == ["TRANSPOSE", "RESHAPE"]


def test_a_flattened_mean_is_no_movement() -> None:
    nodes = [node("GlobalAveragePool", ["x"], "m"), node("Flatten", ["m"])]
    assert kinds(compared(model(nodes))) == ["MEAN", "RESHAPE"]


def test_an_input_with_its_channels_last_loses_its_transpose() -> None:
    nodes = [node("Transpose", ["x"], "t", perm=[0, 3, 1, 2]), node("Conv", ["t", "w"])]
    assert kinds(compared(model(nodes, {"w": noise(4, 3, 1, 1)}, shape=(1, 8, 10, 3)))) == ["CONV_2D"]


@settings(max_examples=20, deadline=None)
@given(
    st.permutations(range(4)), st.sampled_from([(6, 40), (1, 240), (2, 3, 40), (240,), (3, 8, 2, 5), (1, 3, 80)])
)
def test_any_permutation_and_reshape(perm: list[int], shape: tuple[int, ...]) -> None:
    nodes = [node("Transpose", ["x"], "t", perm=perm), node("Reshape", ["t", "s"])]
    compared(model(nodes, {"s": np.array(shape)}), clean=False)


@settings(max_examples=60, deadline=None)
@given(
    order=st.permutations(range(4)),
    shape=st.tuples(*[st.sampled_from([1, 2, 3, 4])] * 4),
    target=st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 12]), min_size=1, max_size=4),
)
def test_a_regrouping_without_movement_keeps_every_element(order, shape, target) -> None:
    elements = int(np.prod(shape))
    target = (*target, elements // int(np.prod(target)))
    if int(np.prod(target)) != elements:
        return
    source = np.arange(elements).reshape(shape)
    stored = source.transpose(order)
    found = regrouped(Value(activation("x", stored.shape), tuple(order)), target)
    if found is not None:
        stored_shape, new_order = found
        regained = stored.reshape(stored_shape).transpose(np.argsort(new_order))
        np.testing.assert_array_equal(regained, source.reshape(target))


@pytest.mark.parametrize(("opset", "axes"), [(9, {"axes": [2]}), (13, {})])
def test_axes_are_dropped_and_added(opset: int, axes: dict[str, list[int]]) -> None:
    inputs = [] if axes else ["a"]
    nodes = [
        node("ReduceMean", ["x"], "m", axes=[2]),
        node("Squeeze", ["m", *inputs], "s", **axes),
        node("Unsqueeze", ["s", *inputs], **axes),
    ]
    assert kinds(compared(model(nodes, {} if axes else {"a": np.array([2])}, opset=opset))) == ["MEAN"]


def test_a_squeeze_of_all_axes_of_length_1() -> None:
    nodes = [node("GlobalMaxPool", ["x"], "m"), node("Squeeze", ["m"])]
    assert compared(model(nodes)).outputs[0].shape == (3,)


def test_an_expansion_that_repeats_nothing() -> None:
    compared(model([node("Expand", ["x", "s"], "e"), node("Relu", ["e"])], {"s": np.array([1, 1, 1])}))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_a_flatten_at_any_axis(axis: int) -> None:
    one("Flatten", axis=axis)


@pytest.mark.parametrize("kind", ["DepthToSpace", "SpaceToDepth"])
def test_blocks_and_channels(kind: str) -> None:
    compared(model([node("Conv", ["x", "w"], "c"), node(kind, ["c"], blocksize=2)], {"w": noise(12, 3, 1, 1)}))


@pytest.mark.parametrize("axis", [1, 2, 3, -3])
def test_a_concatenation_along_any_axis(axis: int) -> None:
    nodes = [node("Relu", ["x"], "r"), node("Concat", ["x", "r", "k"], axis=axis)]
    compared(model(nodes, {"k": noise(1, 3, 8, 10)}))


@pytest.mark.parametrize("opset", [9, 13, 18])
@pytest.mark.parametrize(("axis", "sizes"), [(1, [1, 2]), (3, [5, 5]), (2, [2, 3, 3])])
def test_a_split(opset: int, axis: int, sizes: list[int]) -> None:
    parts = [f"p{number}" for number in range(len(sizes))]
    joined = node("Concat", parts[::-1], axis=axis)
    if opset < 13:
        source = model([node("Split", ["x"], parts, axis=axis, split=sizes), joined], opset=opset)
    else:
        nodes = [node("Split", ["x", "s"], parts, axis=axis), joined]
        source = model(nodes, {"s": np.array(sizes)}, opset=opset)
    assert ("SPLIT" in kinds(compared(source, clean=False))) == (len(set(sizes)) == 1)


def test_a_split_into_equal_parts() -> None:
    parts = ["a", "b", "c"]
    nodes = [node("Split", ["x"], parts, axis=2, num_outputs=3), node("Concat", parts, axis=2)]
    compared(model(nodes))


@pytest.mark.parametrize("opset", [9, 13])
@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps", "expected"),
    [
        ([1], [3], [1], None, "SLICE"),
        ([-4, 0], [2**63 - 1, -1], [2, 3], None, "SLICE"),
        ([0, 1], [8, 10], [2, 3], [2, 3], "STRIDED_SLICE"),
    ],
)
def test_a_slice(opset: int, starts, ends, axes, steps, expected: str) -> None:
    if opset < 10:
        if steps is None:
            assert kinds(one("Slice", opset=opset, starts=starts, ends=ends, axes=axes)) == [expected]
        return
    bounds = {"s": starts, "e": ends, "a": axes, **({} if steps is None else {"t": steps})}
    constants = {name: np.array(numbers) for name, numbers in bounds.items()}
    assert kinds(one("Slice", constants, opset=opset)) == [expected]


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize(
    ("indices", "expected"), [(0, "SLICE"), (-1, "SLICE"), ([1, 2], "SLICE"), ([2, 0], "GATHER"), ([1], "SLICE")]
)
def test_a_gather(axis: int, indices, expected: str) -> None:
    assert kinds(one("Gather", {"i": np.array(indices)}, axis=axis, clean=False))[0] == expected


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("constant", None, "PAD"),
        ("constant", 2.5, "PADV2"),
        ("reflect", None, "MIRROR_PAD"),
        ("edge", None, "MIRROR_PAD"),
    ],
)
def test_a_pad(opset: int, mode: str, value: float | None, expected: str) -> None:
    constants = {"p": np.array([0, 0, 1, 0, 0, 0, 1, 1])}
    if value is not None:
        constants["v"] = np.float32(value)
    assert kinds(one("Pad", constants, mode=mode, opset=opset)) == [expected]


def test_a_pad_of_some_axes() -> None:
    constants = {"p": np.array([1, 2, 3, 0]), "v": np.float32(0), "a": np.array([3, 2])}
    assert one("Pad", constants).outputs[0].shape == (1, 8 + 2, 10 + 1 + 3, 3)


def test_a_pad_of_the_oldest_operator_set() -> None:
    assert kinds(one("Pad", opset=9, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.0)) == ["PAD"]
