"""What a valid graph is: each test breaks one rule, and the verifier says which."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from coralsmith.graph import Graph, Op, Quant, Tensor
from coralsmith.graph.verify import violations
from tests.builders import activation, constant, conv_graph, graph, op

INT8 = Quant.per_tensor(0.1, 0)


def complaint(model: Graph) -> str:
    """The first violation, or nothing."""
    return next(iter(violations(model)), "")


def test_a_valid_graph_has_no_violations():
    assert complaint(conv_graph()) == ""


def chain() -> Graph:
    source = activation("input", (1, 4))
    relu = op("RELU", [source], "first")
    return graph([relu, op("TANH", [relu.output], "second")], [source])


FLOW: dict[str, Callable[[Graph], object]] = {
    "reads 'first' before anything writes it": lambda g: g.ops.reverse(),
    "writes 'first', which has another source": lambda g: g.ops.insert(1, g.ops[0]),
    "writes 'input', which has another source": lambda g: g.ops[0].outputs.__setitem__(0, g.inputs[0]),
    "nothing writes the output 'stranger'": lambda g: g.outputs.append(activation("stranger", (1,))),
    "an input is constant or listed twice": lambda g: g.inputs.append(g.inputs[0]),
    "it has no output": lambda g: g.ops[1].outputs.clear(),
}


@pytest.mark.parametrize("message", FLOW)
def test_values_have_one_source_that_comes_first(message):
    model = chain()
    FLOW[message](model)
    assert any(message in problem for problem in violations(model))


def test_an_input_is_no_constant():
    model = chain()
    model.inputs.append(constant("weights", [1.0]))
    assert complaint(model) == "an input is constant or listed twice"


def test_an_operator_cannot_write_a_constant():
    model = chain()
    model.ops[1].outputs[0] = constant("weights", np.zeros((1, 4)), np.float32)
    model.outputs = model.ops[1].outputs
    assert "writes 'weights', which has another source" in complaint(model)


def test_variables_may_be_read_before_they_are_written():
    model = chain()
    state = Tensor("state", (1, 4), np.dtype(np.float32), is_variable=True)
    total = op("ADD", [model.inputs[0], state], "total")
    graph([total], [model.inputs[0]])


def test_a_constant_holds_what_it_declares():
    model = conv_graph()
    model.ops[0].inputs[2].shape = (5,)
    assert "constant 'bias' holds float32[4], not what it declares" in complaint(model)


def test_activations_have_elements():
    model = chain()
    for tensor in model.tensors():
        tensor.shape = (1, 0)
    assert "has no elements" in complaint(model)


def test_each_activation_is_bounded():
    source, output = activation("input", (1 << 13, 1 << 13)), activation("output", (1 << 13, 1 << 13))
    model = Graph([Op("RELU", [source], [output])], [source], [output])
    assert complaint(model) == ""
    source.shape = output.shape = (1 << 13, (1 << 13) + 1)
    assert complaint(model) == "one activation takes 268468224 bytes, more than 268435456"


def test_sizes_whose_product_leaves_64_bits_are_not_taken_for_small():
    """2^64 elements, which 64 bits would hold as none."""
    source, output = (
        activation("input", (1 << 30, 1 << 30, 1 << 4)),
        activation("output", (1 << 30, 1 << 30, 1 << 4)),
    )
    model = Graph([Op("RELU", [source], [output])], [source], [output])
    assert complaint(model) == "one activation takes 73786976294838206464 bytes, more than 268435456"


def test_all_activations_together_are_bounded():
    tensors = [activation(f"value{i}", (1 << 13, 1 << 13)) for i in range(9)]
    ops = [Op("RELU", [before], [after]) for before, after in pairwise(tensors)]
    assert complaint(Graph(ops[:-1], tensors[:1], tensors[7:8])) == ""
    assert (
        complaint(Graph(ops, tensors[:1], tensors[8:]))
        == "the activations take 2415919104 bytes, more than 2147483648"
    )


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, 1e-45])
def test_scales_are_positive_numbers(scale):
    model = chain()
    model.inputs[0].quant = Quant(np.array([scale], np.float32), np.zeros(1, np.int64))
    assert "has a scale that is not positive" in complaint(model)


@pytest.mark.parametrize("axis", [-1, 1, 4])
def test_there_is_a_scale_for_each_channel_of_its_dimension(axis):
    model = conv_graph()
    model.ops[0].inputs[1].quant = Quant(np.ones(4, np.float32), np.zeros(4, np.int64), axis)
    assert f"has 4 scales along dimension {axis}" in complaint(model)


@pytest.mark.parametrize(
    ("dtype", "zero_point"), [(np.int8, 128), (np.int8, -129), (np.uint8, -1), (np.uint8, 256)]
)
def test_zero_points_lie_in_the_range_of_the_type(dtype, zero_point):
    source = activation("input", (1, 4), dtype, Quant.per_tensor(0.1, zero_point))
    model = Graph(
        [Op("RESHAPE", [source, constant("shape", [4], np.int32)], [activation("output", (4,), dtype)])],
        [source],
        [],
    )
    assert f"has a zero point outside {np.dtype(dtype).name}" in complaint(model)


def test_required_inputs_are_there():
    model = conv_graph()
    model.ops[0].inputs[1] = None
    assert complaint(model) == "CONV_2D 'conv': it lacks one of its 2 inputs"


def test_there_are_no_more_inputs_than_the_operator_has():
    model = chain()
    model.ops[0].inputs.append(model.inputs[0])
    assert complaint(model) == "RELU 'first': it has 2 inputs"


def test_there_are_no_more_outputs_than_the_operator_has():
    model = chain()
    model.ops[0].outputs.append(activation("more", (1, 4)))
    assert complaint(model) == "RELU 'first': it has 2 outputs"


@pytest.mark.parametrize("name", ["stride_h", "stride_w", "dilation_h_factor", "dilation_w_factor"])
@pytest.mark.parametrize("value", [0, -1])
def test_strides_and_dilations_are_positive(name, value):
    model = conv_graph()
    model.ops[0].attributes[name] = value
    assert complaint(model) == f"CONV_2D 'conv': {name} is {value}"


def test_shapes_follow_from_the_inputs():
    model = conv_graph()
    model.outputs[0].shape = (1, 8, 8, 5)
    assert complaint(model) == "CONV_2D 'conv': it gives [1, 8, 8, 4], the model says [1, 8, 8, 5]"


def test_shapes_that_do_not_fit_are_named():
    model = conv_graph()
    model.inputs[0].shape = (1, 8, 8, 2)
    assert "the shapes do not fit: 3 filter channels for 2 input channels" in complaint(model)


def test_open_dimensions_are_followed_through_the_graph():
    """The file declares 1 for each open dimension; a wrong shape further down is noticed all the same."""
    model = chain()
    for tensor in model.tensors():
        tensor.shape_signature = (-1, -1)
    model.ops[1].outputs[0].shape = (3, 3)
    assert complaint(model) == ""
    model.ops[1].outputs[0].shape_signature = None
    assert complaint(model) == "TANH 'second': it gives [1, 4], the model says [3, 3]"


def test_only_open_dimensions_differ_from_their_declaration():
    model = chain()
    model.inputs[0].shape_signature = (-1, 5)
    assert complaint(model) == "tensor 'input' of shape [1, 4] was declared [-1, 5]"


def test_an_open_dimension_cannot_hide_an_enormous_one():
    source = Tensor("input", (1, 4), np.dtype(np.float32), shape_signature=(-1, 4))
    pads = constant("pads", [[0, 1 << 30], [0, 0]], np.int32)
    output = Tensor("output", (1, 4), np.dtype(np.float32), shape_signature=(-1, 4))
    model = Graph([Op("PAD", [source, pads], [output])], [source], [output])
    assert "one activation takes 17179869200 bytes" in complaint(model)


def mixed(kind: str, *dtypes: type, **options: float) -> Graph:
    """An operator whose last type is that of its output."""
    inputs = [activation(f"input{i}", (1, 4), dtype) for i, dtype in enumerate(dtypes[:-1])]
    output = activation("output", (1, 4), dtypes[-1])
    for tensor in (*inputs, output):
        tensor.quant = INT8 if tensor.dtype.itemsize == 1 else None
    return Graph([Op(kind, list(inputs), [output], dict(options))], inputs, [output])


@pytest.mark.parametrize(
    "model",
    [
        mixed("RELU", np.float32, np.int8),
        mixed("SOFTMAX", np.float32, np.int8, beta=1.0),
        mixed("ADD", np.int8, np.uint8, np.int8),
        mixed("MUL", np.float32, np.float32, np.int32),
    ],
)
def test_operators_compute_in_one_element_type(model):
    assert "it mixes" in complaint(model)


@pytest.mark.parametrize("kind", ["QUANTIZE", "DEQUANTIZE", "CAST"])
def test_converting_operators_change_the_element_type(kind):
    assert complaint(mixed(kind, np.float32, np.int8)) == ""


def test_axes_are_integers():
    source = activation("input", (1, 4))
    mean = Op("MEAN", [source, constant("axis", [1.0], np.float32)], [activation("output", (1,))])
    assert complaint(Graph([mean], [source], mean.outputs)) == "MEAN 'output': its axis is of type float32"


@pytest.mark.parametrize(
    ("data", "weights", "bias", "message"),
    [
        (np.int8, np.uint8, np.int32, "its filter is of type uint8 beside int8"),
        (np.int8, np.int8, np.int8, "its bias is of type int8 beside int8"),
        (np.uint8, np.uint8, np.float32, "its bias is of type float32 beside uint8"),
        (np.float32, np.float16, np.float32, "its filter is of type float16 beside float32"),
        (np.float32, np.int8, np.float32, ""),
        (np.int16, np.int8, np.int64, ""),
    ],
)
def test_weights_and_biases_have_the_types_that_belong_to_the_data(data, weights, bias, message):
    model = conv_graph()
    (conv,) = model.ops
    source = activation("input", model.inputs[0].shape, data, INT8)
    conv.inputs = [
        source,
        constant("weights", np.ones(conv.inputs[1].shape), weights, INT8),
        constant("bias", np.ones(4), bias, INT8),
    ]
    conv.outputs = [activation("output", conv.output.shape, data, INT8)]
    assert complaint(Graph([conv], [source], conv.outputs)).removeprefix("CONV_2D 'output': ") == message


def test_eight_bits_that_are_computed_with_have_a_scale():
    model = mixed("ADD", np.int8, np.int8, np.int8)
    model.ops[0].output.quant = None
    assert complaint(model) == "ADD 'output': 'output' has no scale"


def test_sixteen_bits_have_a_scale_all_together_or_none():
    model = mixed("ADD", np.int16, np.int16, np.int16)
    assert complaint(model) == ""
    model.inputs[0].quant = INT8
    assert complaint(model) == "ADD 'output': 'input1' has no scale"


def test_eight_bits_that_are_only_moved_need_no_scale():
    source = activation("input", (1, 4), np.uint8)
    transpose = Op(
        "TRANSPOSE", [source, constant("order", [1, 0], np.int32)], [activation("output", (4, 1), np.uint8)]
    )
    assert complaint(Graph([transpose], [source], transpose.outputs)) == ""


@pytest.mark.parametrize(
    ("kind", "operand", "options", "shape"),
    [
        ("GATHER", [4], {"axis": 1}, (1, 1)),
        ("SPLIT", 2, {"num_splits": 1}, (1, 4)),
        ("MIRROR_PAD", [[0, 0], [0, 4]], {"mode": "REFLECT"}, (1, 8)),
        ("EXPAND_DIMS", [3], {}, (1, 4, 1)),
        ("TILE", [1, 0], {}, (1, 1)),
        ("SLICE", [0, 2], {}, (1, 4)),
    ],
)
def test_indices_axes_and_paddings_stay_inside(kind, operand, options, shape):
    source, numbers = activation("input", (1, 4)), constant("numbers", operand, np.int32)
    inputs = [numbers, source] if kind == "SPLIT" else [source, numbers]
    if kind == "SLICE":
        inputs.append(constant("size", [1, 4], np.int32))
    model = Graph([Op(kind, list(inputs), [activation("output", shape)], dict(options))], [source], [])
    assert "the shapes do not fit" in complaint(model)
