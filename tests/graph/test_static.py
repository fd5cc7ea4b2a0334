"""An unknown batch becomes 1, and every tensor gets the shape that it has when the graph runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coralsmith.errors import UnsupportedModelError
from coralsmith.graph import Graph, Op, Tensor
from coralsmith.graph.reader import read_tflite
from coralsmith.graph.static import make_static
from tests.builders import activation, constant, conv_graph, graph, op


def opened(name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor as converters declare it where the batch is unknown."""
    return Tensor(name, (1, *shape[1:]), np.dtype(np.float32), shape_signature=(-1, *shape[1:]))


def test_a_static_graph_stays_as_it_is():
    model = conv_graph()
    before = [(tensor, tensor.shape) for tensor in model.tensors()]
    make_static(model)
    assert [(tensor, tensor.shape) for tensor in model.tensors()] == before


def test_signatures_go():
    source = opened("input", (-1, 8))
    relu = Op("RELU", [source], [opened("output", (-1, 8))])
    model = Graph([relu], [source], relu.outputs)
    make_static(model)
    assert [tensor.shape_signature for tensor in model.tensors()] == [None, None]
    assert model.outputs[0].shape == (1, 8)


def test_the_batch_becomes_1_whatever_the_file_holds_in_its_place():
    source = opened("input", (-1, 8))
    source.shape = (7, 8)
    relu = Op("RELU", [source], [opened("output", (-1, 8))])
    model = Graph([relu], [source], relu.outputs)
    make_static(model)
    assert (source.shape, model.outputs[0].shape) == ((1, 8), (1, 8))


def test_shapes_that_are_computed_while_running_are_found():
    """[batch, 4, 2] into [batch, -1] by SHAPE, STRIDED_SLICE and PACK, as Keras exports Flatten."""
    source = opened("input", (-1, 4, 2))
    shape, batch, target = (
        activation(name, size, np.int32) for name, size in (("shape", (3,)), ("batch", ()), ("target", (2,)))
    )
    bounds = [constant(name, [value], np.int32) for name, value in (("begin", 0), ("end", 1), ("stride", 1))]
    flat = Tensor("flat", (1, 1), np.dtype(np.float32), shape_signature=(-1, -1))
    ops = [
        Op("SHAPE", [source], [shape], {"out_type": "INT32"}),
        Op("STRIDED_SLICE", [shape, *bounds], [batch], {"shrink_axis_mask": 1}),
        Op("PACK", [batch, constant("rest", -1, np.int32)], [target], {"axis": 0, "values_count": 2}),
        Op("RESHAPE", [source, target], [flat]),
    ]
    model = graph(ops, [source], [flat])
    make_static(model)
    assert flat.shape == (1, 8)
    model.verify("fixing the shapes")


def test_an_open_image_size_is_refused():
    source = Tensor("input", (1, 1, 1, 3), np.dtype(np.float32), shape_signature=(-1, -1, -1, 3))
    model = graph([op("RELU", [source], "output")], [source])
    with pytest.raises(UnsupportedModelError, match=r"'input' has no fixed size: \[-1, -1, -1, 3\]"):
        make_static(model)


def test_a_real_model_of_open_shapes(shared: Path):
    model = read_tflite(shared / "models/ultralight_face/version-RFB-320_without_postprocessing.tflite")
    assert any(tensor.shape_signature for tensor in model.tensors())
    make_static(model)
    model.verify("fixing the shapes")
    assert sorted(tensor.shape for tensor in model.outputs) == [(1, 4420, 2), (1, 4420, 4)]
