"""What does not depend on the image is computed once, and what no output depends on goes."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.errors import UsageError
from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.executor import Executor
from coralsmith.repair.fold_constants import FoldConstants
from coralsmith.repair.static_batch import StaticBatch
from coralsmith.repair.unused import RemoveUnused, drop_outputs, share_constants
from tests.builders import CONVOLUTION, activation, constant, graph, op, random_constant
from tests.repair.helpers import applied, apply, kinds, raw_op, refused

SLICE = dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask"), 0)


def vector(name: str, *values: int) -> Tensor:
    return constant(name, values, np.int32)


def keras_reshape(batch: int | None) -> Graph:
    """Flattening as Keras writes it for an unknown batch: SHAPE, STRIDED_SLICE, PACK, RESHAPE."""
    source = activation("input", (1, 4, 5, 6))
    unknown = (-1, 4, 5, 6)
    entry = op("TANH", [source], "entry")
    shape = raw_op("SHAPE", [entry.output], "shape", (4,), out_type="INT32")
    bounds = [vector("begin", 0), vector("end", 1), vector("strides", 1)]
    first = raw_op("STRIDED_SLICE", [shape.output, *bounds], "batch", (), **SLICE, shrink_axis_mask=1)
    shape.output.dtype = first.output.dtype = np.dtype(np.int32)
    sizes = [first.output, constant("minus_one", -1, np.int32), constant("six", 6, np.int32)]
    pack = raw_op("PACK", sizes, "target", (3,), values_count=3, axis=0)
    result = raw_op("RESHAPE", [entry.output, pack.output], "result", (1, 20, 6))
    model = graph([entry, shape, first, pack, result], [source])
    if batch is None:
        for tensor, signature in ((source, unknown), (entry.output, unknown), (result.output, (-1, -1, 6))):
            tensor.shape_signature = signature
        result.output.shape = (1, 1, 6)  # what converters write where they do not know
    return model


def test_the_shape_arithmetic_of_a_static_model_becomes_a_plain_reshape() -> None:
    result = applied(FoldConstants(), keras_reshape(batch=1))
    assert kinds(result) == ["TANH", "RESHAPE"]
    target = result.ops[-1].required_input("shape")
    assert target.data is not None and target.data.tolist() == [1, 20, 6]


def test_an_unknown_batch_becomes_1_everywhere() -> None:
    model = applied(StaticBatch(), keras_reshape(batch=None))
    assert all(tensor.shape_signature is None for tensor in model.tensors())
    assert model.outputs[0].shape == (1, 20, 6)
    assert kinds(applied(FoldConstants(), model)) == ["TANH", "RESHAPE"]


def test_a_known_batch_is_left_alone() -> None:
    assert refused(StaticBatch(), keras_reshape(batch=1)) == []


def test_weights_of_16_bits_become_float32() -> None:
    source = activation("input", (1, 4, 4, 3))
    half = constant("half", np.random.default_rng(0).normal(0, 1, (2, 3, 3, 3)), np.float16)
    wide = Op("DEQUANTIZE", [half], [activation("wide", (2, 3, 3, 3))])
    conv = op("CONV_2D", [source, wide.output, random_constant("bias", (2,))], "result", **CONVOLUTION)
    result = applied(FoldConstants(), graph([wide, conv], [source]))
    assert kinds(result) == ["CONV_2D"]
    weights = result.ops[0].required_input("filter")
    assert weights.data is not None and half.data is not None
    np.testing.assert_array_equal(weights.data, half.data.astype(np.float32))


def test_a_minus_one_in_a_shape_is_spelled_out() -> None:
    source = activation("input", (1, 4, 5, 6))
    model = graph([op("RESHAPE", [source, vector("shape", 1, -1, 6)], "result")], [source])
    target = applied(FoldConstants(), model).ops[0].required_input("shape")
    assert target.data is not None and target.data.tolist() == [1, 20, 6]


def test_nothing_is_folded_where_all_depends_on_the_image() -> None:
    source = activation("input", (1, 4))
    assert refused(FoldConstants(), graph([op("TANH", [source], "result")], [source])) == []


def test_what_the_interpreter_cannot_compute_stays_and_says_so() -> None:
    """The interpreter has no TANH of float64."""
    source, curve = activation("input", (1, 2), np.float64), activation("curve", (2,), np.float64)
    tanh = Op("TANH", [constant("numbers", [1.0, 2.0], np.float64)], [curve])
    total = op("ADD", [source, curve], "result", fused_activation_function="NONE")
    model = graph([tanh, total], [source])
    outcome = FoldConstants().apply(model.copy())
    assert len(outcome) == 1 and "cannot compute" in outcome[0].reason


def test_a_constant_output_keeps_its_operator() -> None:
    source = activation("input", (1, 4))
    two = raw_op("EXP", [constant("one", [1.0], np.float32)], "constant_output", (1,))
    use = op("TANH", [source], "result")
    refused(FoldConstants(), graph([two, use], [source], [use.output, two.output]))


def test_operators_without_use_go() -> None:
    source = activation("input", (1, 4))
    used, unused = op("TANH", [source], "result"), op("RELU", [source], "unused")
    assert kinds(applied(RemoveUnused(), graph([used, unused], [source], [used.output]))) == ["TANH"]


def test_outputs_that_nobody_reads_go_with_what_made_them() -> None:
    source = activation("input", (1, 4))
    used, unused = op("TANH", [source], "boxes"), op("RELU", [source], "features")
    model = graph([used, unused], [source], [unused.output, used.output])
    changes = drop_outputs(model, frozenset({"boxes"}))
    assert [change.before[0].name for change in changes] == ["features"]
    result, _, _ = apply(RemoveUnused(), model)
    assert kinds(result) == ["TANH"] and [tensor.name for tensor in result.outputs] == ["boxes"]


def test_asking_for_an_output_that_is_not_there_is_an_error() -> None:
    source = activation("input", (1, 4))
    with pytest.raises(UsageError, match="'scores'"):
        drop_outputs(graph([op("TANH", [source], "boxes")], [source]), frozenset({"boxes", "scores"}))


def test_equal_constants_share_one_array_but_stay_apart() -> None:
    source = activation("input", (1, 4))
    first = op("ADD", [source, constant("a", [1.0, 2, 3, 4], np.float32)], "one", fused_activation_function="NONE")
    second = op(
        "ADD", [first.output, constant("b", [1.0, 2, 3, 4], np.float32)], "two", fused_activation_function="NONE"
    )
    model = graph([first, second], [source])
    assert share_constants(model) == 1
    a, b = model.ops[0].inputs[1], model.ops[1].inputs[1]
    assert a is not None and b is not None and a is not b and a.data is b.data
    np.testing.assert_array_equal(Executor(model).run(np.zeros((1, 4), np.float32))[0], [[2, 4, 6, 8]])
