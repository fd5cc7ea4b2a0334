"""Known topologies have the layers and the packed size of the published models that they describe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coralsmith.compiled.packed_layer import packed_layer
from coralsmith.compiled.recovery.skeleton import layers, skeletons_of
from coralsmith.compiled.recovery.topologies.known import known_topologies
from coralsmith.errors import UnsupportedModelError
from coralsmith.graph.model import Graph, Tensor
from coralsmith.graph.reader import read_tflite
from tests.builders import CONVOLUTION, activation, graph, op, random_constant
from tests.compiled.recovery.recovered import V1, V2, layers_of, source_of, ssd_source


def tensor(*shape: int) -> Tensor:
    return Tensor("t", shape, np.dtype(np.uint8))


def known(inputs: list[Tensor], outputs: list[Tensor]) -> dict[str, Graph]:
    return {skeleton.name: skeleton.graph for skeleton in known_topologies(inputs, outputs)}


def shapes(ops) -> list[tuple[int, ...]]:
    """Of the filters; a dense layer on one pixel is a 1x1 convolution."""
    found = [operator.required_input("filter").shape for operator in ops]
    return [(shape[0], 1, 1, shape[1]) if len(shape) == 2 else shape for shape in found]


@pytest.mark.parametrize(("pair", "name"), [(V1, "MobileNet V1 0.25"), (V2, "MobileNet V2 1")])
def test_a_classifier_has_the_layers_of_the_published_one(shared, pair, name):
    source = read_tflite(source_of(shared, pair))
    drawn = known(source.inputs, source.outputs)[name]
    drawn.verify("drawing a topology")
    assert shapes(layers(drawn)) == shapes(layers_of(source))
    assert [t.shape for t in drawn.outputs] == [t.shape for t in source.outputs]


def test_a_detector_has_the_layers_of_the_published_one(shared):
    source = read_tflite(ssd_source(shared))
    boxes, scores = (operator.inputs[0] for operator in source.ops if operator.kind == "DEQUANTIZE")
    drawn = known(source.inputs, [boxes, scores])["SSD MobileNet V2"]
    drawn.verify("drawing a topology")
    assert sorted(shapes(layers(drawn))) == sorted(shapes(layers_of(source)))


@pytest.mark.parametrize(
    ("name", "count", "size"), [("SSD MobileNet V1", 47, 21_172_800 // 3), ("SSD MobileNet V2", 72, 6_523_264)]
)
def test_a_detector_has_the_packed_size_of_the_compiled_one(name, count, size):
    """Of V1 the bytes of three splits of Coral's compiled model are known."""
    drawn = known([tensor(1, 300, 300, 3)], [tensor(1, 1917, 4), tensor(1, 1917, 91)])[name]
    readers = drawn.consumers()
    forms = [replace(packed_layer(operator, readers, 12), has_bias=True) for operator in layers(drawn)]
    assert len(forms) == count and sum(form.size for form in forms) == size


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([tensor(1, 8, 8, 3)] * 2, [tensor(1, 10)]),
        ([tensor(1, 10)], [tensor(1, 8, 8, 3)]),
        ([tensor(1, 300, 300, 3)], [tensor(1, 1000, 4), tensor(1, 1000, 91)]),
        ([tensor(1, 300, 300, 3)], [tensor(1, 1917, 5), tensor(1, 1917, 91)]),
        ([tensor(1, 64, 64, 3)], [tensor(1, 32, 32, 8)]),
    ],
)
def test_no_topology_is_known_for_other_boundaries(inputs, outputs):
    assert not known(inputs, outputs)


def two_heads(*, size: int = 4) -> Graph:
    """A convolution with two heads of one shape behind it."""
    source = activation("in", (1, size, size, 4))
    trunk = op("CONV_2D", [source, random_constant("w", (8, 1, 1, 4))], "trunk", **CONVOLUTION)
    heads = [
        op("CONV_2D", [trunk.output, random_constant(f"w_{name}", (8, 1, 1, 8))], name, **CONVOLUTION)
        for name in ("left", "right")
    ]
    return graph([trunk, *heads], [source], [head.output for head in heads])


def test_outputs_of_one_shape_are_told_apart_by_name_or_taken_in_both_orders():
    outer = [Tensor(name, (1, 4, 4, 8), np.dtype(np.uint8)) for name in ("right", "left")]
    given = [Tensor("in", (1, 4, 4, 4), np.dtype(np.uint8))]
    (named,) = skeletons_of(two_heads(), "x", given, outer)
    assert [t.name for t in named.graph.outputs] == ["right", "left"]
    for tensor_ in outer:
        tensor_.name = f"other {tensor_.name}"
    orders = [[t.name for t in s.graph.outputs] for s in skeletons_of(two_heads(), "x", given, outer)]
    assert orders == [["left", "right"], ["right", "left"]]


def test_a_model_of_another_size_or_with_unknown_operators_is_no_topology():
    outer = [Tensor(name, (1, 4, 4, 8), np.dtype(np.uint8)) for name in ("a", "b")]
    given = [Tensor("in", (1, 4, 4, 4), np.dtype(np.uint8))]
    with pytest.raises(UnsupportedModelError, match="leads from"):
        list(skeletons_of(two_heads(size=6), "x", given, outer))
    strange = two_heads()
    strange.ops[0].attributes["fused_activation_function"] = "TANH"
    with pytest.raises(UnsupportedModelError, match="trunk"):
        list(skeletons_of(strange, "x", given, outer))
