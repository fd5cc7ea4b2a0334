from __future__ import annotations

import random

import numpy as np
import pytest

from coralsmith.graph import Graph
from coralsmith.graph.executor import Executor
from coralsmith.graph.writer import serialize
from coralsmith.importers.canonical import canonicalise, order_operators
from tests.builders import CONVOLUTION, activation, graph, op, random_constant


def two_headed(prefix: str = "detector_1", *, swapped: bool = False) -> Graph:
    """A stem and two heads; exporters give it other prefixes, orders and names of constants."""
    image = activation(f"serving_default_{prefix}:0", (1, 8, 8, 3))

    def conv(source, filters: int, name: str):
        weights = random_constant(f"{prefix}{name}weights", (filters, 1, 1, source.shape[3]), filters)
        bias = random_constant(f"{prefix}{name};bias", (filters,), filters)
        return op("CONV_2D", [source, weights, bias], f"{prefix}/{name}/Conv2D;{prefix}/{name}/x", **CONVOLUTION)

    stem = conv(image, 6, "stem")
    boxes, classes = conv(stem.output, 4, "boxes"), conv(stem.output, 5, "classes")
    heads = [classes, boxes] if swapped else [boxes, classes]
    return graph([stem, *heads], [image], [head.output for head in heads])


def test_the_same_network_from_two_exporters_gives_the_same_bytes() -> None:
    files = []
    for source in (two_headed("a"), two_headed("StatefulPartitionedCall/b_7", swapped=True)):
        boxes = next(tensor.name for tensor in source.outputs if tensor.shape[-1] == 4)
        classes = next(tensor.name for tensor in source.outputs if tensor.shape[-1] == 5)
        canonicalise(source, {boxes: "boxes", classes: "scores"})
        source.verify("canonicalise")
        files.append(serialize(source))
    assert files[0] == files[1]


def test_names_say_the_layer_and_the_role_without_the_exporters_wrapping() -> None:
    source = two_headed("StatefulPartitionedCall/StatefulPartitionedCall/detector")
    canonicalise(source)
    assert source.inputs[0].name == "image"
    stem = source.ops[0]
    assert stem.name == "stem/Conv2D"
    assert [t.name for t in stem.inputs if t is not None] == ["image", "stem/Conv2D/filter", "stem/Conv2D/bias"]


def test_outputs_keep_their_names_and_boxes_come_first() -> None:
    source = two_headed(swapped=True)
    names = {tensor.name for tensor in source.outputs}
    canonicalise(source)
    assert {tensor.name for tensor in source.outputs} == names
    assert [tensor.shape[-1] for tensor in source.outputs] == [4, 5]


def test_an_inner_tensor_gives_way_to_an_output_of_the_same_name() -> None:
    source = two_headed()
    boxes, classes = (tensor.name for tensor in source.outputs)
    canonicalise(source, {boxes: "image", classes: "stem/Conv2D"})
    assert [tensor.name for tensor in source.outputs] == ["image", "stem/Conv2D"]
    assert len({tensor.name for tensor in source.tensors()}) == len(source.tensors())


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_operators_does_not_depend_on_the_order_in_the_file(seed: int) -> None:
    tangled, straight = two_headed(), two_headed()
    heads = tangled.ops[1:]
    random.Random(seed).shuffle(heads)
    tangled.ops[1:] = heads
    for each in (tangled, straight):
        order_operators(each)
    assert [each.name for each in tangled.ops] == [each.name for each in straight.ops]


def test_the_values_do_not_change() -> None:
    source = two_headed(swapped=True)
    image = np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype(np.float32)
    classes, boxes = Executor(source).run(image)
    canonicalise(source)
    boxes_after, classes_after = Executor(source).run(image)
    assert np.array_equal(boxes, boxes_after)
    assert np.array_equal(classes, classes_after)


def test_operators_that_no_output_needs_are_dropped() -> None:
    source = two_headed()
    source.outputs = source.outputs[:1]
    order_operators(source)
    assert [tensor.shape[-1] for each in source.ops for tensor in each.outputs] == [6, 4]
