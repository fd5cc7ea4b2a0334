"""Names of attributes and enumerations: those of the schema, and back again."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from coralsmith.graph import OPERATORS
from coralsmith.graph.schema import (
    NUMPY_TYPES,
    OPERATOR_CODES,
    OPTIONS_CODES,
    TENSOR_TYPES,
    attribute_fields,
    from_attribute,
    to_attribute,
    vector_lengths,
)

TABLES = sorted({spec.options for spec in OPERATORS.values() if spec.options})


def test_every_operator_of_the_table_is_one_of_the_schema():
    assert set(OPERATORS) <= set(OPERATOR_CODES)
    assert set(TABLES) <= set(OPTIONS_CODES)


@pytest.mark.parametrize("kind", sorted(OPERATORS))
def test_required_inputs_are_named_and_come_first(kind):
    spec = OPERATORS[kind]
    assert spec.variadic or spec.required <= len(spec.inputs)
    assert len(set(spec.inputs)) == len(spec.inputs)


@pytest.mark.parametrize("table", TABLES)
def test_attributes_survive_the_way_into_the_schema_and_back(table):
    """The defaults of the schema, and what they become."""
    options = getattr(schema, table + "T")()
    for attribute, field in attribute_fields(table).items():
        default = getattr(options, field)
        assert attribute == attribute.lower()
        assert from_attribute(attribute, to_attribute(attribute, default)) == default


def test_attribute_names_are_those_of_the_schema_file():
    assert list(attribute_fields("Conv2DOptions"))[:5] == [
        "padding",
        "stride_w",
        "stride_h",
        "fused_activation_function",
        "dilation_w_factor",
    ]


def test_vectors_of_numbers_are_tuples():
    assert to_attribute("new_shape", np.array([1, -1], np.int32)) == (1, -1)
    assert from_attribute("new_shape", (1, -1)) == [1, -1]
    assert vector_lengths("ReshapeOptions") == ("NewShapeLength",)


def test_a_number_without_a_name_is_refused():
    with pytest.raises(ValueError, match="fused_activation_function holds 99"):
        to_attribute("fused_activation_function", 99)


def test_a_nested_table_has_no_form():
    with pytest.raises(ValueError, match="nested table"):
        to_attribute("anything", schema.BufferT())


def test_element_types_and_their_numbers_belong_together():
    assert all(TENSOR_TYPES[dtype] == number for number, dtype in NUMPY_TYPES.items())
    assert NUMPY_TYPES[schema.TensorType.INT8] == np.int8
