"""The shapes that the rules infer are those that the interpreter gives; what the rules refuse, it refuses too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coralsmith.graph import OPERATORS, Attribute, Graph, Op, Tensor
from coralsmith.graph.shapes import infer_shapes, same_padding, window_output
from tests.builders import activation, constant
from tests.graph.files import interpret

few = settings(max_examples=25, deadline=None)
sizes = st.integers(1, 6)
paddings = st.sampled_from(["SAME", "VALID"])
shapes = st.lists(sizes, min_size=1, max_size=4).map(tuple)
images = st.tuples(st.just(1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))


def operator(
    kind: str, inputs: Sequence[Tensor | None], outputs: int = 1, dtype: Any = None, **options: Attribute
) -> Op:
    """An operator whose outputs declare a wrong shape, so that nothing can be read off them."""
    first = next(tensor for tensor in inputs if tensor is not None and not tensor.is_constant)
    declared = [Tensor(f"output{i}", (1,), np.dtype(dtype or first.dtype)) for i in range(outputs)]
    return Op(kind, list(inputs), declared, dict(options))


def integers(*values: int) -> Tensor:
    return constant("integers", values, np.int32)


def assert_agrees(op: Op) -> None:
    """The rule and the interpreter give the same shapes, or both refuse."""
    sources = [tensor for tensor in op.inputs if tensor is not None and not tensor.is_constant]
    graph = Graph([op], list(dict.fromkeys(sources)), op.outputs)
    try:
        inferred = infer_shapes(op)
    except ValueError:
        with pytest.raises((RuntimeError, ValueError)):
            interpret(graph)
        return
    assert inferred == [output.shape for output in interpret(graph)]


@few
@given(
    image=images,
    window=st.tuples(sizes, sizes),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=paddings,
    kind=st.sampled_from(["CONV_2D", "DEPTHWISE_CONV_2D"]),
)
def test_convolutions(image, window, strides, dilations, padding, kind):
    channels = image[3]
    filters = (1, *window, 2 * channels) if kind == "DEPTHWISE_CONV_2D" else (5, *window, channels)
    weights = constant("weights", np.ones(filters), np.float32)
    bias = constant("bias", np.ones(filters[3] if filters[0] == 1 else 5), np.float32)
    options: dict[str, Attribute] = {"depth_multiplier": 2} if kind == "DEPTHWISE_CONV_2D" else {}
    op = operator(
        kind,
        [activation("input", image), weights, bias],
        padding=padding,
        stride_h=strides[0],
        stride_w=strides[1],
        dilation_h_factor=dilations[0],
        dilation_w_factor=dilations[1],
        **options,
    )
    try:
        infer_shapes(op)
    except ValueError:
        assume(False)  # the interpreter computes nonsense where a VALID window does not fit
    assert_agrees(op)


@few
@given(image=images, window=st.tuples(sizes, sizes), stride=st.integers(1, 3), padding=paddings)
def test_pools(image, window, stride, padding):
    assume(padding == "SAME" or (window[0] <= image[1] and window[1] <= image[2]))
    options: dict[str, Attribute] = {"filter_height": window[0], "filter_width": window[1], "padding": padding}
    for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        assert_agrees(operator(kind, [activation("input", image)], stride_h=stride, stride_w=stride, **options))


@few
@given(size=st.integers(1, 40), window=st.integers(1, 7), stride=st.integers(1, 4), dilation=st.integers(1, 3))
def test_same_padding_lets_the_last_window_end_where_the_padding_does(size, window, stride, dilation):
    before, after = same_padding(size, window, stride, dilation)
    covered = (window - 1) * dilation + 1
    outputs = window_output(size, window, stride, dilation, "SAME")
    assert 0 <= after - before <= 1
    assert size + before + after >= (outputs - 1) * stride + covered
    assert before + after in (0, (outputs - 1) * stride + covered - size)


def test_a_window_beyond_the_input_is_refused():
    with pytest.raises(ValueError, match="a window of 5 does not fit into 4"):
        window_output(4, 3, 1, 2, "VALID")


@few
@given(image=images, stride=st.integers(1, 3), window=st.integers(1, 4), padding=paddings)
def test_transposed_convolutions_go_back_where_a_convolution_came_from(image, stride, window, padding):
    assume(padding == "SAME" or window <= min(image[1:3]))
    small = [window_output(size, window, stride, 1, padding) for size in image[1:3]]
    weights = constant("weights", np.ones((image[3], window, window, 2)), np.float32)
    source = activation("input", (1, *small, 2))
    options: dict[str, Attribute] = {"padding": padding, "stride_h": stride, "stride_w": stride}
    assert_agrees(operator("TRANSPOSE_CONV", [integers(*image), weights, source], **options))


@few
@given(lead=st.lists(sizes, max_size=2), rows=sizes, units=sizes, keep=st.booleans())
def test_fully_connected(lead, rows, units, keep):
    weights = constant("weights", np.ones((units, rows)), np.float32)
    source = activation("input", (*lead, rows) if lead else (1, rows))
    options: dict[str, Attribute] = {"keep_num_dims": keep, "weights_format": "DEFAULT"}
    assert_agrees(operator("FULLY_CONNECTED", [source, weights, None], **options))


@few
@given(
    first=shapes,
    second=shapes,
    kind=st.sampled_from(["ADD", "SUB", "MUL", "DIV", "MAXIMUM", "SQUARED_DIFFERENCE"]),
)
def test_two_operands_broadcast(first, second, kind):
    assert_agrees(operator(kind, [activation("a", first), activation("b", second)]))


@few
@given(shape=shapes, axes=st.lists(st.integers(-5, 4), min_size=1, max_size=3), keep=st.booleans())
def test_reductions(shape, axes, keep):
    for kind in ("MEAN", "SUM", "REDUCE_MAX"):
        assert_agrees(operator(kind, [activation("input", shape), integers(*axes)], keep_dims=keep))


@few
@given(shape=shapes, axis=st.integers(-5, 4), extra=sizes)
def test_concatenation(shape, axis, extra):
    other = list(shape)
    if -len(shape) <= axis < len(shape):
        other[axis] = extra
    assert_agrees(operator("CONCATENATION", [activation("a", shape), activation("b", tuple(other))], axis=axis))


@few
@given(shape=shapes, axis=st.integers(-5, 5), parts=st.integers(1, 3))
def test_pack(shape, axis, parts):
    tensors = [activation(f"part{i}", shape) for i in range(parts)]
    assert_agrees(operator("PACK", tensors, axis=axis, values_count=parts))


@few
@given(shape=shapes, axis=st.integers(-4, 3))
def test_unpack(shape, axis):
    assume(-len(shape) <= axis < len(shape))
    assert_agrees(operator("UNPACK", [activation("input", shape)], shape[axis], axis=axis, num=shape[axis]))


@few
@given(shape=shapes, axis=st.integers(-4, 3), parts=st.integers(1, 3))
def test_split(shape, axis, parts):
    assert_agrees(operator("SPLIT", [integers(axis), activation("input", shape)], parts, num_splits=parts))


@few
@given(
    parts=st.lists(st.integers(1, 3), min_size=1, max_size=3), hidden=st.booleans(), axis=st.sampled_from([1, -1])
)
def test_split_v(parts, hidden, axis):
    told = [-1, *parts[1:]] if hidden else parts
    inputs = [activation("input", (2, sum(parts))), integers(*told), integers(axis)]
    assert_agrees(operator("SPLIT_V", inputs, len(parts), num_splits=len(parts)))


@few
@given(shape=shapes, data=st.data(), as_input=st.booleans())
def test_reshape(shape, data, as_input):
    order = data.draw(st.permutations(shape))
    target = data.draw(st.sampled_from([tuple(order), (-1,), (*order[:-1], -1), (*order, 1), (7, -1)]))
    inputs = [activation("input", shape), integers(*target)] if as_input else [activation("input", shape)]
    assert_agrees(operator("RESHAPE", inputs, new_shape=target))


@few
@given(shape=st.lists(st.integers(1, 2), min_size=1, max_size=4).map(tuple), data=st.data())
def test_squeeze(shape, data):
    dims = data.draw(st.lists(st.integers(-len(shape), len(shape) - 1), max_size=2).map(tuple))
    assert_agrees(operator("SQUEEZE", [activation("input", shape)], squeeze_dims=dims))


@few
@given(shape=shapes, axis=st.integers(-6, 5))
def test_expand_dims(shape, axis):
    assert_agrees(operator("EXPAND_DIMS", [activation("input", shape), integers(axis)]))


@few
@given(shape=shapes, data=st.data())
def test_transpose(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    assert_agrees(operator("TRANSPOSE", [activation("input", shape), integers(*order)]))


@few
@given(shape=shapes, data=st.data(), kind=st.sampled_from(["PAD", "PADV2", "MIRROR_PAD"]))
def test_pads(shape, data, kind):
    limit = 2 if kind != "MIRROR_PAD" else min(shape) - 1
    pads = data.draw(st.lists(st.integers(0, limit), min_size=2 * len(shape), max_size=2 * len(shape)))
    inputs = [activation("input", shape), constant("pads", np.reshape(pads, (-1, 2)), np.int32)]
    if kind == "PADV2":
        inputs.append(constant("value", [1.0], np.float32))
    assert_agrees(operator(kind, inputs, **({"mode": "REFLECT"} if kind == "MIRROR_PAD" else {})))


@few
@given(shape=shapes, data=st.data())
def test_slice(shape, data):
    begins = [data.draw(st.integers(0, size - 1)) for size in shape]
    lengths = [
        data.draw(st.sampled_from([-1, *range(1, size - b + 2)])) for size, b in zip(shape, begins, strict=True)
    ]
    op = operator("SLICE", [activation("input", shape), integers(*begins), integers(*lengths)])
    op.output.shape = tuple(size - b if n == -1 else n for size, b, n in zip(shape, begins, lengths, strict=True))
    assert_agrees(op)  # this kernel compares what it infers with what is declared


@few
@given(shape=shapes, data=st.data())
def test_strided_slice(shape, data):
    rows = [data.draw(bounds_of(size)) for size in shape]
    masks = {name: data.draw(st.integers(0, 15)) for name in ("begin_mask", "end_mask", "shrink_axis_mask")}
    backwards = sum(1 << axis for axis, (_, _, stride) in enumerate(rows) if stride < 0)
    masks["shrink_axis_mask"] &= ~backwards
    begins, ends, strides = (integers(*column) for column in zip(*rows, strict=True))
    assert_agrees(operator("STRIDED_SLICE", [activation("input", shape), begins, ends, strides], **masks))


@few
@given(shape=shapes, data=st.data())
def test_strided_slices_with_new_axes_and_an_ellipsis(shape, data):
    kinds = data.draw(st.lists(st.sampled_from(["keep", "new"]), min_size=1, max_size=4))
    if data.draw(st.booleans()):
        kinds.insert(data.draw(st.integers(0, len(kinds))), "ellipsis")
    masks = {
        f"{name}_mask": sum(1 << place for place, kind in enumerate(kinds) if kind == word)
        for name, word in (("new_axis", "new"), ("ellipsis", "ellipsis"))
    }
    assume(kinds.count("keep") + kinds.count("ellipsis") <= len(shape))
    begins, ends, strides = (integers(*[value] * len(kinds)) for value in (0, 1, 1))
    assert_agrees(operator("STRIDED_SLICE", [activation("input", shape), begins, ends, strides], **masks))


def test_an_ellipsis_for_no_dimension_is_refused():
    """The interpreter's kernel reads what is not there."""
    bounds = [integers(0, 0), integers(1, 1), integers(1, 1)]
    with pytest.raises(ValueError, match="1 bounds and 1 ellipses for 1 dimensions"):
        infer_shapes(operator("STRIDED_SLICE", [activation("input", (2,)), *bounds], ellipsis_mask=2))


@pytest.mark.parametrize(
    "masks", [{"new_axis_mask": 4}, {"ellipsis_mask": 4}, {"new_axis_mask": 1, "ellipsis_mask": 1}]
)
def test_masks_belong_to_one_bound_each(masks):
    bounds = [integers(0, 0), integers(1, 1), integers(1, 1)]
    with pytest.raises(ValueError, match="for 2 bounds"):
        infer_shapes(operator("STRIDED_SLICE", [activation("input", (2, 2)), *bounds], **masks))


@st.composite
def bounds_of(draw, size):
    """Begin, end and stride that take at least one of `size` elements, counted from either side, or backwards."""
    begin = draw(st.integers(0, size - 1))
    end = draw(st.integers(begin + 1, size))
    backwards, from_the_end = draw(st.booleans()), draw(st.booleans())
    if backwards:
        return end - 1, begin - 1 - size, -1
    return (
        begin - size * from_the_end,
        (end - size if from_the_end and end < size else end),
        draw(st.integers(1, 3)),
    )


@few
@given(shape=shapes, indices=shapes.filter(lambda s: len(s) < 3), axis=st.integers(-4, 3))
def test_gather(shape, indices, axis):
    chosen = constant("indices", np.zeros(indices), np.int32)
    assert_agrees(operator("GATHER", [activation("input", shape), chosen], axis=axis, batch_dims=0))


@few
@given(shape=shapes, data=st.data())
def test_tile(shape, data):
    multiples = data.draw(st.lists(st.integers(1, 3), min_size=len(shape), max_size=len(shape)))
    assert_agrees(operator("TILE", [activation("input", shape), integers(*multiples)]))


@few
@given(image=images, block=st.integers(1, 3))
def test_space_and_depth(image, block):
    wide = (1, image[1] * block, image[2] * block, image[3])
    deep = (*image[:3], image[3] * block * block)
    assert_agrees(operator("SPACE_TO_DEPTH", [activation("input", wide)], block_size=block))
    assert_agrees(operator("DEPTH_TO_SPACE", [activation("input", deep)], block_size=block))


@few
@given(image=images, blocks=st.tuples(st.integers(1, 3), st.integers(1, 3)), border=st.integers(0, 2))
def test_space_and_batch(image, blocks, border):
    block, borders = integers(*blocks), constant("borders", [[0, border], [border, 0]], np.int32)
    assert_agrees(operator("SPACE_TO_BATCH_ND", [activation("input", image), block, borders]))
    batched = (blocks[0] * blocks[1], *image[1:])
    assume(image[1] * blocks[0] > border and image[2] * blocks[1] > border)
    assert_agrees(operator("BATCH_TO_SPACE_ND", [activation("input", batched), block, borders]))


@few
@given(image=images, size=st.tuples(sizes, sizes))
def test_resizing(image, size):
    for kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        assert_agrees(operator(kind, [activation("input", image), integers(*size)]))


@few
@given(first=shapes, second=shapes, kind=st.sampled_from(["EQUAL", "LESS", "GREATER_EQUAL", "FLOOR_MOD"]))
def test_comparisons_broadcast(first, second, kind):
    dtype = np.float32 if kind == "FLOOR_MOD" else np.bool_
    assert_agrees(operator(kind, [activation("a", first), activation("b", second)], dtype=dtype))


@few
@given(condition=shapes, first=shapes, second=shapes)
def test_selections(condition, first, second):
    assume(set(first) != {1})  # of single elements the kernel forgets the dimensions
    inputs = [activation("condition", condition, np.bool_), activation("a", first), activation("b", second)]
    assert_agrees(operator("SELECT_V2", inputs, dtype=np.float32))
    for chooser in (condition, first, first[:1]):
        inputs = [activation("condition", chooser, np.bool_), activation("a", first), activation("b", first)]
        assert_agrees(operator("SELECT", inputs, dtype=np.float32))


@few
@given(shape=shapes, depth=st.integers(1, 5), lead=shapes.filter(lambda s: len(s) < 3))
def test_gather_nd(shape, depth, lead):
    indices = constant("indices", np.zeros((*lead, depth)), np.int32)
    assert_agrees(operator("GATHER_ND", [activation("input", shape), indices]))


@few
@given(shape=shapes, target=shapes)
def test_broadcast_to(shape, target):
    assert_agrees(operator("BROADCAST_TO", [activation("input", shape), integers(*target)]))


@few
@given(shape=shapes, axis=st.integers(-5, 4))
def test_reversing_and_summing_along_an_axis(shape, axis):
    for kind in ("REVERSE_V2", "CUMSUM"):
        assert_agrees(operator(kind, [activation("input", shape), integers(axis)]))


@few
@given(shape=shapes, axis=st.integers(-5, 4))
def test_arg_max(shape, axis):
    assert_agrees(
        operator("ARG_MAX", [activation("input", shape), integers(axis)], dtype=np.int32, output_type="INT32")
    )


@few
@given(shape=shapes)
def test_shape_and_fill(shape):
    assert_agrees(operator("SHAPE", [activation("input", shape)], dtype=np.int32, out_type="INT32"))
    assert_agrees(operator("RANK", [activation("input", shape)], dtype=np.int32))
    assert_agrees(operator("FILL", [integers(*shape), activation("value", ())]))


@few
@given(shape=shapes)
def test_operators_on_each_element_keep_the_shape(shape):
    for kind in ("RELU", "LOGISTIC", "HARD_SWISH", "EXP", "ABS", "ELU", "SIN", "FLOOR", "ROUND", "ZEROS_LIKE"):
        assert_agrees(operator(kind, [activation("input", shape)]))


@few
@given(shape=shapes, data=st.data())
def test_prelu_takes_an_alpha_that_broadcasts_to_the_input(shape, data):
    alpha = tuple(data.draw(st.sampled_from([1, size, size + 1])) for size in shape)
    assert_agrees(operator("PRELU", [activation("input", shape), activation("alpha", alpha)]))


def test_every_operator_of_the_table_has_a_rule():
    source = activation("input", (1, 4, 4, 4))
    for kind in OPERATORS:
        missing = Op(kind, [], [source])
        with pytest.raises((ValueError, IndexError)):  # the rule misses its input; None would mean no rule
            assert infer_shapes(missing) is not None


def test_what_only_the_running_model_decides_is_not_judged():
    source, shape = activation("input", (2, 6)), activation("shape", (2,), np.int32)
    reshape = Op("RESHAPE", [source, shape], [activation("output", (3, 4))])
    assert infer_shapes(reshape) is None


def test_elements_that_get_lost_are_noticed_even_where_the_shape_is_decided_at_run_time():
    source, shape = activation("input", (2, 6)), activation("shape", (2,), np.int32)
    with pytest.raises(ValueError, match=r"\[2, 6\] into \[3, 5\]"):
        infer_shapes(Op("RESHAPE", [source, shape], [activation("output", (3, 5))]))


def test_true_shapes_take_the_place_of_open_ones():
    source = Tensor("input", (1, 8), np.dtype(np.float32), shape_signature=(-1, 8))
    relu = operator("RELU", [source])
    assert infer_shapes(relu, {source: (4, 8)}) == [(4, 8)]
    assert infer_shapes(relu, {}) is None
    assert infer_shapes(relu) == [(1, 8)]


def test_operators_without_a_rule_are_not_judged():
    assert infer_shapes(Op("TOPK_V2", [activation("input", (4,))], [activation("output", (2,))])) is None
