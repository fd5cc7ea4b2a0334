"""The interpreter behind `Executor` computes what the arithmetic says, for every tensor and any input."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Array, Graph, Op, Quant, Tensor
from coralsmith.graph.executor import Executor, as_real, random_inputs, real_outputs
from tests.builders import activation, constant, conv_graph, graph, op


def pointwise() -> Graph:
    """2 x + 1 behind RELU."""
    source = activation("input", (1, 2, 3))
    relu = op("RELU", [source], "relu")
    double = op(
        "MUL", [relu.output, constant("two", [2.0], np.float32)], "double", fused_activation_function="NONE"
    )
    one = constant("one", [1.0], np.float32)
    return graph(
        [relu, double, op("ADD", [double.output, one], "sum", fused_activation_function="NONE")], [source]
    )


VALUES = np.array([[[-1, 0, 1], [2, -3, 4]]], np.float32)


@pytest.mark.parametrize("reference", [False, True])
def test_outputs_are_computed(reference):
    (output,) = Executor(pointwise(), reference_kernels=reference).run(VALUES)
    assert np.array_equal(output, 2 * np.maximum(VALUES, 0) + 1)


def test_a_convolution_is_the_sum_over_its_window():
    model = conv_graph(size=5, padding="VALID")
    source = np.random.default_rng(0).normal(size=(1, 5, 5, 3)).astype(np.float32)
    weights, bias = (tensor.data for tensor in model.ops[0].inputs[1:])
    windows = np.lib.stride_tricks.sliding_window_view(source, (3, 3), (1, 2))
    expected = np.einsum("bhwcij,oijc->bhwo", windows, weights) + bias
    (output,) = Executor(model).run(source)
    assert np.allclose(output, expected, atol=1e-5)


def test_every_tensor_can_be_asked_for():
    model = pointwise()
    executor = Executor(model, keep_all=True)
    executor.invoke(VALUES)
    assert np.array_equal(executor.value(model.tensor("relu")), np.maximum(VALUES, 0))
    assert np.array_equal(executor.view(model.tensor("double")), 2 * np.maximum(VALUES, 0))
    assert np.array_equal(executor.value(model.inputs[0]), VALUES)


def test_values_outlive_the_next_run_and_views_do_not():
    model = pointwise()
    executor = Executor(model)
    executor.invoke(VALUES)
    value = executor.value(model.outputs[0])
    assert np.array_equal(executor.view(model.outputs[0]), value)
    before = value.copy()
    executor.invoke(VALUES + 5)
    assert np.array_equal(value, before)


def test_a_twin_computes_the_same_and_keeps_its_own_values():
    model = pointwise()
    executor = Executor(model)
    twin = executor.twin()
    executor.invoke(VALUES)
    twin.invoke(VALUES + 1)
    assert np.array_equal(executor.value(model.outputs[0]), 2 * np.maximum(VALUES, 0) + 1)
    assert np.array_equal(twin.value(model.outputs[0]), 2 * np.maximum(VALUES + 1, 0) + 1)


def test_outputs_come_in_the_order_of_the_graph():
    model = pointwise()
    model.outputs = [model.tensor("sum"), model.tensor("relu")]
    first, second = Executor(model).run(VALUES)
    assert np.array_equal(first, 2 * second + 1)


def test_inputs_may_lie_in_memory_in_any_order():
    strided = np.repeat(VALUES, 2, axis=2)[:, :, ::2]
    (output,) = Executor(pointwise()).run(strided)
    assert np.array_equal(output, 2 * np.maximum(VALUES, 0) + 1)


def test_scalars_are_inputs_too():
    source = activation("input", ())
    (output,) = Executor(graph([op("RELU", [source], "output")], [source])).run(np.float32(3))
    assert output.shape == () and output == 3


def test_the_graph_may_change_after_the_executor_was_made():
    model = pointwise()
    executor = Executor(model)
    model.ops.clear()
    (output,) = executor.run(VALUES)
    assert np.array_equal(output, 2 * np.maximum(VALUES, 0) + 1)


def test_another_number_of_inputs_is_the_caller_s_mistake():
    with pytest.raises(ValueError, match="shorter"):
        Executor(pointwise()).run()


def test_what_the_interpreter_refuses_is_a_typed_error():
    model = conv_graph()
    model.ops[0].inputs[2] = None
    with pytest.raises(UnsupportedModelError, match="The interpreter refuses the model: Tensor at index 2"):
        Executor(model)


def test_a_custom_operator_is_a_typed_error():
    source = activation("input", (1,))
    custom = Op("CUSTOM", [source], [activation("output", (1,))], custom_code="Mine")
    with pytest.raises(UnsupportedModelError, match="Mine 'output'"):
        Executor(Graph([custom], [source], custom.outputs))


def test_what_a_kernel_refuses_while_running_is_a_typed_error():
    source, chosen = activation("input", (1, 4)), activation("chosen", (1,), np.int32)
    gather = op("GATHER", [source, chosen], "output", axis=1, batch_dims=0)
    executor = Executor(graph([gather], [source, chosen]))
    with pytest.raises(UnsupportedModelError, match="index out of bounds"):
        executor.run(np.zeros((1, 4), np.float32), np.array([9], np.int32))


def test_quantized_outputs_as_real_numbers():
    quant = Quant.per_tensor(0.5, 10)
    source = activation("input", (1, 3), np.int8, quant)
    model = graph([op("RESHAPE", [source], "output", new_shape=(3,))], [source])
    executor = Executor(model)
    executor.invoke(np.array([[10, 12, 8]], np.int8))
    (output,) = real_outputs(executor)
    assert output.tolist() == [0.0, 1.0, -1.0]


def test_numbers_without_a_scale_are_taken_as_they_are():
    values: Array = np.array([1, 2], np.int32)
    assert as_real(activation("count", (2,), np.int32), values) is values


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8, np.int64, np.bool_, np.complex64])
def test_noise_of_every_type(dtype):
    model = Graph([], [Tensor("input", (64, 8), np.dtype(dtype))], [])
    (first,), (again,) = (random_inputs(model, np.random.default_rng(3)) for _ in range(2))
    assert first.dtype == dtype and first.shape == (64, 8)
    assert np.array_equal(first, again)
    assert len(np.unique(first)) > 1


def test_noise_reaches_the_ends_of_the_integers():
    model = Graph([], [Tensor("input", (64, 64), np.dtype(np.int8))], [])
    (noise,) = random_inputs(model, np.random.default_rng(0))
    assert (noise.min(), noise.max()) == (-128, 127)
