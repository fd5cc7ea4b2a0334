"""What the compiler adds to a program is known by its constants; anything else without an owner is not."""

from __future__ import annotations

import numpy as np
import pytest

from coralsmith.compiled.program import RequantBlock
from coralsmith.compiled.verification.added_blocks import is_added, padding_values
from coralsmith.compiled.verification.other_operators import other_operators
from coralsmith.graph.model import Graph, Op, Quant
from tests.builders import CONVOLUTION, activation, constant

BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


def block(multiplier, low, high, output=0, inputs=0, weights=0, bias=0):
    return RequantBlock(100, multiplier, low, high, bias, output, inputs, weights)


@pytest.mark.parametrize(
    ("one", "kinds", "known"),
    [
        (block(1.0, 0.0, 255.0), {"MAX_POOL_2D"}, True),
        (block(BELOW_ONE, -84.99999237060547, 169.99998474121094, 85, 85), {"CONCATENATION"}, True),
        (block(1.0, -255.0, 0.0, 255, 0, 1), {"RESHAPE"}, True),
        (block(1.0, 0.0, 255.0), {"CONV_2D"}, False),
        (block(1.000001, 0.0, 255.0), {"RESHAPE"}, False),
        (block(1.0, 0.0, 254.0), {"RESHAPE"}, False),
        (block(1.0, -84.0, 171.0, 85, 85), {"RESHAPE"}, False),
        (block(1.0, -85.0, 170.0, 85, 86), {"RESHAPE"}, False),
        (block(1.0, float(np.float32(-13.0380983)), 0.0, 0, 255), {"SOFTMAX"}, True),
        (block(1.0, float(np.float32(-13.0380983)), 0.0, 0, 255), {"RESHAPE"}, False),
        (block(1.19214e-07, 0.0, 255.0), {"SOFTMAX"}, True),
        (block(1.19214e-07, 0.0, 255.0), {"RESHAPE"}, False),
        (block(0.5, 0.0, 255.0), {"SOFTMAX", "RESHAPE", "MAX_POOL_2D"}, False),
    ],
)
def test_blocks_without_an_owner(one, kinds, known):
    assert is_added(one, kinds) is known


@pytest.mark.parametrize(
    ("padding", "size", "values"), [("SAME", 3, {131}), ("SAME", 1, set()), ("VALID", 3, set())]
)
def test_a_convolution_pads_with_its_input_zero_point_if_it_reads_beyond_the_edge(padding, size, values):
    flow = activation("input", (1, 6, 6, 4), np.int8, Quant.per_tensor(0.5, 3))
    weights = constant("weights", np.ones((4, size, size, 4), np.int8), quant=Quant.per_tensor(0.5, 0))
    output = activation("output", (1, 6, 6, 4), np.int8, Quant.per_tensor(0.5, 9))
    op = Op("CONV_2D", [flow, weights], [output], {**CONVOLUTION, "padding": padding})
    assert padding_values(Graph([op], [flow], [output])) == values


def product(first: int, second: int) -> Graph:
    sides = [
        activation(name, (1, 4), np.int8, Quant.per_tensor(0.5, zero))
        for name, zero in (("a", first), ("b", second))
    ]
    output = activation("output", (1, 4), np.int8, Quant.per_tensor(0.25, -128))
    return Graph([Op("MUL", sides, [output], {"fused_activation_function": "NONE"})], sides, [output])


def test_a_product_has_the_block_of_a_layer_whose_weights_are_its_second_operand():
    (found,) = other_operators(product(3, 3), [0])
    ((_, constants),) = found.blocks
    assert (constants.multiplier, constants.input_zero_point, constants.weight_zero_point) == (1.0, 131, 131)


def test_a_product_of_two_zero_points_and_an_average_in_another_scale_have_no_known_block():
    (found,) = other_operators(product(3, 4), [0])
    assert found.blocks == () and "zero points differ" in found.reason
    flow = activation("input", (1, 4, 4, 8), np.int8, Quant.per_tensor(0.5, 3))
    output = activation("output", (1, 1, 1, 8), np.int8, Quant.per_tensor(0.25, 3))
    pool = Op("AVERAGE_POOL_2D", [flow], [output], {"filter_height": 4, "filter_width": 4})
    (found,) = other_operators(Graph([pool], [flow], [output]), [0])
    assert found.blocks == () and "another scale" in found.reason
